// One stream of the log as a scan sees it: its segments that may hold selected records, one after
// the other. Part of a scan; one owner, any thread but a shard's. Memory: a window while a segment
// is read.
#pragma once

#include <cstdint>
#include <deque>
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
  // For progress: of segments that may hold something.
  std::uint64_t bytes_done = 0;
  std::uint64_t bytes_total = 0;
  std::vector<std::string> problems;
  std::function<bool()> keep_going = {};  // Scan::Parts
  bool stopped = false;                   // it said no
  std::function<bool()> pause = {};       // Scan::Parts
  bool paused = false;
  std::function<void(const std::string&)> index_lied = {};  // Scan::Parts

  void report(const std::string& problem);
  // The file of times is wrong about a segment: none of it is believed any more.
  void distrust_times();
  bool times_lied = false;
  std::size_t opened_ahead = 0;  // segments, by all sources
};

class Source {
 public:
  Source(SourceParts& parts, const log::StreamId& stream, KnownSegments segments);

  const log::StreamId& stream() const { return stream_; }
  // Passes over segments that end before what is selected. Error: see OnGone.
  Result<void> begin();
  // Takes segments that are known to begin after what is selected out of the progress.
  void leave_out_late();
  // For some devices: opens the first segments that may have something, so that the disk fetches
  // what all sources want while the first of it is looked at.
  void open_ahead();
  // Nothing more comes.
  bool done() const { return !loaded_ && !records_ && index_ >= segments_.size(); }
  // Received time of the loaded record; without one, no later than that of the next.
  WallUs due_us() const { return due_us_; }
  bool loaded() const { return loaded_; }
  const log::Record& record() const { return record_; }  // valid until the next load()
  // Finds the next selected record, or goes on to a later due_us(), or pauses; the one that is
  // loaded is passed. Error: see OnGone.
  Result<void> load();

 private:
  struct Head {
    bool there = false;
    bool sealed = false;
    Heads::Times times;
  };
  // A segment opened before its turn.
  struct Ahead {
    std::size_t index = 0;
    std::unique_ptr<log::SegmentRecords> records;
  };
  enum class Trust : std::uint8_t { told, checked };  // what is enough to know
  Result<Head> head(std::size_t index, Trust trust);
  Result<std::size_t> first_wanted();
  bool out_of_device_times(const Head& head) const;
  bool nothing_committed() const;
  Result<std::unique_ptr<log::SegmentRecords>> open_segment(std::size_t index, Position from,
                                                            Position to);
  bool take_ahead();
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
  std::deque<Ahead> ahead_;  // rising
  std::size_t looked_ahead_ = 0;
  std::size_t left_out_ = 0;  // from here on segments are no part of the progress
  Position to_ = 0;      // of records_
  Position passed_ = 0;  // in it
  bool entered_ = false;
  bool loaded_ = false;
  WallUs due_us_ = log::no_time_before;
  log::Record record_;
  std::map<Position, Position> growing_ends_;  // by base; of segments without a seal
};

}  // namespace ringgate::query
