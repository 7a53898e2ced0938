// Reads all streams of a data directory, merged by received time. Read-only; safe on a live log, of
// which it shows what is committed and nothing else. One owner, any thread; memory is bounded by a
// window per stream that is being read and a few hundred bytes per segment.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/io/sys.hpp"
#include "storage/log/recovery.hpp"

namespace ringgate::log {

struct ReaderOptions {
  // Segments that lie wholly outside are skipped; single records are not looked at.
  WallUs from_us = std::numeric_limits<WallUs>::min();
  WallUs to_us = std::numeric_limits<WallUs>::max();
};

struct Entry {
  StreamId stream;
  Record record;
};

class Reader {
 public:
  // Error: what about the directory can't be read.
  static Result<std::unique_ptr<Reader>> open(io::Sys& sys, const std::string& data_dir,
                                              const ReaderOptions& options);
  ~Reader();

  const NodeId& node() const { return node_; }
  // Whether a process was writing the log at the last look.
  bool live() const { return live_; }

  // The next record by received time, without the log's own marks. It points into the reader and is
  // valid until the next call. False: nothing more; refresh() may find some.
  bool next(Entry& entry);
  // Looks for new records and segments. False: the directory can't be listed any more.
  bool refresh();
  // Damage and unreadable files met so far, a sentence each.
  const std::vector<std::string>& problems() const { return problems_; }

  // How far it is, for a progress line: bytes of segments passed and in all.
  std::uint64_t bytes_done() const { return bytes_done_; }
  std::uint64_t bytes_total() const { return bytes_total_; }

 private:
  // One stream and the place in it.
  struct Cursor {
    Stream stream;
    std::size_t index = 0;  // of the segment being read
    Position at = 0;        // in it; 0: at its base
    bool loaded = false;    // `record` is there
    bool queued = false;
    WallUs due_us = 0;  // received time of `record`, or no later than that of the next one
    Record record;
  };

  Reader(io::Sys& sys, std::string data_dir, const ReaderOptions& options);
  void take_new_segments(Inventory& fresh);
  void forget_missing(const std::vector<io::DirectoryEntry>& entries);
  void settle(Cursor& cursor);
  void queue(Cursor& cursor);
  bool load(Cursor& cursor);
  void leave_segment(Cursor& cursor);
  bool unwanted(const SegmentState& segment) const;
  void report(std::string problem);

  io::Sys& sys_;
  std::string data_dir_;
  ReaderOptions options_;
  NodeId node_{};
  bool live_ = false;
  std::map<StreamId, std::unique_ptr<Cursor>> cursors_;
  std::vector<Cursor*> heap_;
  Cursor* last_ = nullptr;  // whose record next() handed out
  std::vector<std::string> problems_;
  std::uint64_t bytes_done_ = 0;
  std::uint64_t bytes_total_ = 0;
};

}  // namespace ringgate::log
