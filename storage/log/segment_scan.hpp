// Walks a segment from record to record and picks what is wanted; where an index says so, only
// parts of it. One owner, any thread but a shard's.
#pragma once

#include <memory>
#include <string>
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
  bool index_lied() const override { return lied_; }

 private:
  bool pass_damage();
  bool next_span();
  bool span_holds();

  std::unique_ptr<SegmentFile> file_;
  WantedFilter filter_;
  Position at_ = 0;
  Position limit_ = 0;
  Position all_ = 0;     // limit_ without spans
  Position passed_ = 0;  // everything wanted below was handed out
  bool open_end_ = false;
  bool gone_ = false;
  bool lied_ = false;
  std::string problem_;
  std::vector<IndexedSpan> spans_;
  std::size_t span_ = 0;
  std::uint64_t index_bytes_ = 0;
};

}  // namespace ringgate::log
