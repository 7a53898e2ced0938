// One stream of the log as a scan sees it: its segments that may hold selected records, one after
// the other. Part of a scan; one owner, any thread but a shard's. Memory: a window while a segment
// is read.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "storage/log/segment_records.hpp"
#include "storage/query/directory.hpp"
#include "storage/query/scan.hpp"

namespace ringgate::query {

// What the sources of one scan share.
struct SourceParts {
  io::Sys& sys;
  Directory& directory;
  const Selection& selection;
  const event::CatalogSet& catalogs;
  const log::CommitBoard* board = nullptr;
  OnGone on_gone = OnGone::skip;
  Heads& heads;
  ScanStats stats;
  std::uint64_t bytes_done = 0;
  std::vector<std::string> problems;
  std::function<bool()> keep_going = {};  // Scan::Parts
  bool stopped = false;                   // it said no

  void report(const std::string& problem);
};

class Source {
 public:
  Source(SourceParts& parts, const log::StreamId& stream, KnownSegments segments);

  const log::StreamId& stream() const { return stream_; }
  // Passes over segments that end before what is selected. Error: see OnGone.
  Result<void> begin();
  // Nothing more comes.
  bool done() const { return !loaded_ && !records_ && index_ >= segments_.size(); }
  // Received time of the loaded record; without one, no later than that of the next.
  WallUs due_us() const { return due_us_; }
  bool loaded() const { return loaded_; }
  const log::Record& record() const { return record_; }  // valid until the next load()
  // Finds the next selected record, or goes on to a later due_us(); the one that is loaded is
  // passed. Error: see OnGone.
  Result<void> load();

 private:
  struct Head {
    bool there = false;
    bool sealed = false;
    Heads::Times times;
  };
  Result<Head> head(std::size_t index);
  Result<bool> enter();
  Result<bool> enter_growing();
  Position growing_end(const log::SegmentFile& file);
  Result<void> open_records(Position to);
  Result<void> ended();
  Result<void> gone(std::size_t index);
  void next_segment();
  void finish();

  SourceParts& parts_;
  log::StreamId stream_;
  KnownSegments segments_;
  std::size_t index_ = 0;
  std::unique_ptr<log::SegmentRecords> records_;
  Position to_ = 0;      // of records_
  Position passed_ = 0;  // in it
  bool entered_ = false;
  bool loaded_ = false;
  WallUs due_us_ = log::no_time_before;
  log::Record record_;
  std::map<Position, Position> growing_ends_;  // by base; of segments without a seal
};

}  // namespace ringgate::query
