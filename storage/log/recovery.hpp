// What the segments of a stream hold, by the rules of FORMAT.md ("Reading after the writer is
// gone"), and the sealing of what an unclean stop left. Bounded memory: one window per open
// segment. Cold; any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/io/sys.hpp"
#include "storage/log/data_dir.hpp"
#include "storage/log/segment.hpp"
#include "storage/log/segment_file.hpp"

namespace ringgate::log {

// A stretch of a segment without a gap between its valid records.
struct Stretch {
  Position begin = 0;
  Position end = 0;
  std::uint64_t records = 0;  // without the log's own marks
  WallUs first_received_us = 0;
  WallUs last_received_us = 0;
  Position proves = 0;  // the highest position that one of its records proves committed
};

// A place that should hold records and does not.
struct Damage {
  Position begin = 0;
  Position end = 0;
  std::uint64_t file_offset = 0;
};

// One segment and what was found in it.
struct SegmentState {
  std::string name;
  std::unique_ptr<SegmentFile> file;
  // Found by scan():
  std::vector<Stretch> stretches;
  bool end_marked = false;
  bool scanned = false;
  bool gone = false;  // retention took it while it was read
  // Found by judge():
  Position end = 0;  // readers go this far
  std::uint64_t records = 0;
  WallUs first_received_us = 0;
  WallUs last_received_us = 0;
  std::vector<Damage> damage;
  std::uint64_t dropped_records = 0;  // complete but never acknowledged
  std::uint64_t dropped_bytes = 0;

  const SegmentHeader& header() const { return file->header(); }
};

struct Stream {
  StreamId id;
  std::vector<SegmentState> segments;  // by base
  Position proven = 0;
};

// A file that looks like a segment and can't be read as one.
struct Unreadable {
  std::string path;
  std::string reason;
  bool newer = false;  // of a later format version: no damage
};

struct Inventory {
  std::map<StreamId, Stream> streams;
  std::vector<Unreadable> unreadable;
  std::uint64_t spare_bytes = 0;
};

// Called now and then with bytes done and bytes in all.
using Progress = std::function<void(std::uint64_t, std::uint64_t)>;

// Opens every segment of the data directory (header and seal only).
Result<Inventory> take_inventory(io::Sys& sys, const std::string& data_dir);

// Where a segment of `stream` has to end because the next one begins (next_base() where none does).
Position limit_of(const Stream& stream, std::size_t index);

// Finds the stretches of one segment below `limit`. On a live log a bad place is looked at once
// more before it is left behind.
void scan(SegmentState& segment, Position limit,
          const std::function<void(std::uint64_t)>& read_bytes);
// Goes on where the last scan's last stretch ended, or at the base, as far as there is no gap.
void extend(SegmentState& segment, Position limit);

// The first position >= from and < limit where a valid record begins, or limit.
Position find_record(SegmentFile& file, Position from, Position limit);

// Raises `stream.proven` by what headers, seals and scanned segments prove.
void prove(Stream& stream);

// With `proven` known: each segment's end, damage and what is dropped. `live`: what is not proven
// stays out, and what is missing at the end is not damage but not there yet.
void judge(Stream& stream, bool live);

// scan (unsealed segments, or all), prove and judge. A live stream's segments that are known
// already are extended.
void examine(Stream& stream, bool live, bool sealed_too,
             const std::function<void(std::uint64_t)>& read_bytes);

// After examine() of a live stream: counts the records of growing segments again, so that those
// beyond what is proven are left out. Reads them once more.
void count_proven(Stream& stream);

struct RecoveryReport {
  std::uint64_t segments_seen = 0;
  std::uint64_t segments_sealed = 0;
  std::uint64_t segments_removed = 0;  // never used
  std::uint64_t records = 0;           // in the segments sealed now
  std::uint64_t dropped_records = 0;
  std::uint64_t dropped_bytes = 0;
  std::vector<std::string> problems;  // damage and unreadable files, a sentence each
};

// Seals what earlier runs left unsealed. Error: what could not be read or written; or a file of a
// later format version is there, and nothing was changed (FORMAT.md, "Versions").
Result<RecoveryReport> recover(io::Sys& sys, const DataDir& dir);

// "FILE: 128 bytes at offset 8192 ..." for people.
std::string describe(const SegmentFile& file, const Damage& damage);
std::string describe(const SegmentState& segment, const Damage& damage);

}  // namespace ringgate::log
