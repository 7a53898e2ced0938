// The records of some devices in a compressed segment: inflates the blocks that its directory
// names and no others. One owner, any thread but a shard's; memory: the named blocks of a chunk.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "storage/log/compressed.hpp"
#include "storage/log/segment_scan.hpp"
#include "storage/log/wanted_filter.hpp"

namespace ringgate::log {

class CompressedRecords final : public SegmentRecords {
 public:
  CompressedRecords(io::Sys& sys, std::string path, std::unique_ptr<CompressedSegment> segment,
                    const WantedFilter& filter);

  const SegmentHeader& header() const override { return segment_->header(); }
  bool next(Record& record) override;
  bool gone() const override { return scan_ ? scan_->gone() : gone_; }
  const std::string& problem() const override { return scan_ ? scan_->problem() : problem_; }
  std::uint64_t bytes_read() const override;
  IndexState index_state() const override {
    return lied_ ? IndexState::lied : IndexState::good;
  }

 private:
  bool plan();
  bool load_chunk(std::size_t number);
  bool take_block(std::size_t chunk, std::uint32_t block);
  void fall_back(const std::string& why);

  io::Sys& sys_;
  std::string path_;
  std::unique_ptr<CompressedSegment> segment_;
  WantedFilter filter_;
  bool planned_ = false;
  // Block by block whose hashes it must hold.
  std::map<std::uint32_t, std::vector<std::uint64_t>> blocks_;
  std::size_t chunk_ = 0;
  std::vector<std::vector<std::uint8_t>> memory_;  // of the chunk's blocks
  std::vector<Record> batch_;
  std::size_t handed_ = 0;
  Position passed_ = 0;
  bool lied_ = false;
  bool gone_ = false;
  std::string problem_;
  std::unique_ptr<SegmentScan> scan_;
};

// Which chunks may hold what is wanted, devices aside.
std::vector<IndexedSpan> wanted_chunks(const CompressedSegment& segment,
                                       const WantedFilter& filter);

}  // namespace ringgate::log
