// Walks a segment from record to record and picks what is wanted; where an index says so, only
// parts of it. One owner, any thread but a shard's.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "storage/log/segment_file.hpp"
#include "storage/log/segment_records.hpp"
#include "storage/log/wanted_filter.hpp"

namespace ringgate::log {

// A part of a segment that an index names: a record begins at `begin` that was received then.
struct IndexedSpan {
  Position begin = 0;
  Position end = 0;
  WallUs received_us = 0;
};

// What an index says of one record. Those on the border of what it leaves out show whether it tells
// times as they are.
struct Witness {
  Position position = 0;
  WallUs received_us = 0;
};
bool agrees(SegmentFile& file, const Witness& witness);

class SegmentScan final : public SegmentRecords {
 public:
  // `begin`: where to begin, 0: at the first record. `problem`: what is known already.
  SegmentScan(std::unique_ptr<SegmentFile> file, const WantedFilter& filter, Position begin,
              std::string problem);
  // Only these parts; `index_bytes` were read to know them.
  SegmentScan(std::unique_ptr<SegmentFile> file, const WantedFilter& filter,
              std::vector<IndexedSpan> spans, std::uint64_t index_bytes);

  const SegmentHeader& header() const override { return file_->header(); }
  bool next(Record& record) override;
  bool gone() const override { return gone_; }
  const std::string& problem() const override { return problem_; }
  std::uint64_t bytes_read() const override { return index_bytes_ + file_->bytes_read(); }
  IndexState index_state() const override { return index_state_; }
  // They are heard before the first record is handed out.
  void set_witnesses(std::vector<Witness> witnesses) { witnesses_ = std::move(witnesses); }
  // What came of the index before this scan was chosen.
  void set_index_state(IndexState state) { index_state_ = state; }

 private:
  bool pass_damage();
  bool next_span();
  bool span_holds();
  void hear_witnesses();
  void go_on_without_index();

  std::unique_ptr<SegmentFile> file_;
  WantedFilter filter_;
  Position at_ = 0;
  Position limit_ = 0;
  Position all_ = 0;     // limit_ without spans
  Position passed_ = 0;  // everything wanted below was handed out
  bool open_end_ = false;
  bool gone_ = false;
  IndexState index_state_ = IndexState::none;
  std::string problem_;
  std::vector<IndexedSpan> spans_;
  std::vector<Witness> witnesses_;  // until they were heard
  std::size_t span_ = 0;
  std::uint64_t index_bytes_ = 0;
};

}  // namespace ringgate::log
