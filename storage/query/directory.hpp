// Which segments the log has, by their names: what tails and scans find their way by. A listing
// that is taken while files are renamed may miss one that is there all the time, so a name is
// forgotten only when two listings in a row lack it.
//
// One owner, any thread but a shard's. Memory: some 40 bytes per segment.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/io/sys.hpp"
#include "storage/log/segment.hpp"
#include "storage/log/segment_file.hpp"

namespace ringgate::query {

struct KnownSegment {
  Position base = 0;
  std::uint64_t file_bytes = 0;
  bool missing = false;  // the last listing lacks it
  bool compressed = false;
};
using KnownSegments = std::vector<KnownSegment>;  // by base

class Directory {
 public:
  Directory(io::Sys& sys, std::string data_dir);

  // Lists the directory. 0 or -errno.
  int list();
  // Whether a process held the log just after the last listing: what of that listing's runs is not
  // sealed then grows, or else does not change any more.
  bool held() const { return held_; }
  MonoNs listed_ns() const { return listed_ns_; }
  MonoNs listing_took_ns() const { return took_ns_; }
  std::uint64_t listings() const { return listings_; }

  const std::map<log::StreamId, KnownSegments>& streams() const { return streams_; }
  // Null: no segment of that stream is known.
  const KnownSegments* find(const log::StreamId& stream) const;
  std::uint32_t newest_run() const;                  // 0: none
  std::uint32_t run_after(std::uint32_t run) const;  // the lowest above it; 0: none
  // Where streams end, as far as names and sizes told: those of older runs to a block, those of
  // the newest at least. Also of streams that have gone since.
  const std::map<log::StreamId, Position>& ends() const { return ends_; }
  Position end_of(const log::StreamId& stream) const;  // 0: unknown
  void forget_ends_below(std::uint32_t run);
  std::uint64_t file_bytes() const;  // of all segments

  // Of the plain file; what opens it finds the compressed one by it too.
  std::string path_of(const log::StreamId& stream, Position base) const;
  // Opens a segment. Error: code ENOENT where it has gone; else what is wrong with it.
  Result<std::unique_ptr<log::SegmentFile>> open(const log::StreamId& stream, Position base,
                                                 log::Access access = log::Access::sequential);
  // A segment was found without a listing.
  void learn(const log::StreamId& stream, Position base, std::uint64_t file_bytes);
  // The segment has gone: it is left out until a listing shows it again.
  void forget(const log::StreamId& stream, Position base);

 private:
  void note_ends();

  io::Sys& sys_;
  std::string data_dir_;
  std::map<log::StreamId, KnownSegments> streams_;
  std::map<log::StreamId, Position> ends_;
  std::uint32_t ends_from_ = 0;  // of runs below nobody asks any more
  bool held_ = false;
  MonoNs listed_ns_ = 0;
  MonoNs took_ns_ = 0;
  std::uint64_t listings_ = 0;
};

}  // namespace ringgate::query
