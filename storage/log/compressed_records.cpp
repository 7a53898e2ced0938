#include "storage/log/compressed_records.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "storage/log/device_hash.hpp"

namespace ringgate::log {

namespace {

bool may_hold(const ChunkEntry& chunk, const WantedFilter& filter) {
  const Wanted& wanted = filter.wanted();
  return chunk.end > wanted.from && chunk.begin < wanted.to &&
         chunk.last_received_us >= wanted.received_from_us &&
         chunk.first_received_us < wanted.received_to_us &&
         filter.takes_device_times(chunk.device_first_us, chunk.device_last_us);
}

}  // namespace

std::vector<IndexedSpan> wanted_chunks(const CompressedSegment& segment,
                                       const WantedFilter& filter) {
  std::vector<IndexedSpan> out;
  for (const ChunkEntry& chunk : segment.chunks()) {
    if (may_hold(chunk, filter)) {
      out.push_back({chunk.begin, chunk.end, chunk.first_received_us});
    }
  }
  return out;
}

CompressedRecords::CompressedRecords(io::Sys& sys, std::string path,
                                     std::unique_ptr<CompressedSegment> segment,
                                     const WantedFilter& filter)
    : sys_(sys), path_(std::move(path)), segment_(std::move(segment)), filter_(filter) {}

std::uint64_t CompressedRecords::bytes_read() const {
  return segment_->bytes_read() + (scan_ ? scan_->bytes_read() : 0);
}

bool CompressedRecords::next(Record& record) {
  if (!planned_ && !plan()) fall_back("its directory is damaged");
  while (!scan_ && !gone_) {
    if (handed_ < batch_.size()) {
      record = batch_[handed_++];
      passed_ = record.end();
      return true;
    }
    if (chunk_ >= segment_->chunks().size()) return false;
    const std::size_t number = chunk_++;
    if (may_hold(segment_->chunks()[number], filter_) && !load_chunk(number)) {
      fall_back(fmt::format("a block of positions {} to {} is damaged, or not what its directory "
                            "says",
                            segment_->chunks()[number].begin, segment_->chunks()[number].end));
    }
  }
  return scan_ && scan_->next(record);
}

bool CompressedRecords::plan() {
  planned_ = true;
  for (const auto& [hash, device] : filter_.devices()) {
    const auto blocks = segment_->blocks_of(hash);
    if (!blocks) return false;
    for (const std::uint32_t block : *blocks) blocks_[block].push_back(hash);
  }
  return true;
}

bool CompressedRecords::load_chunk(std::size_t number) {
  const ChunkEntry& chunk = segment_->chunks()[number];
  batch_.clear();
  handed_ = 0;
  memory_.clear();
  auto at = blocks_.lower_bound(chunk.first_block);
  for (; at != blocks_.end() && at->first < chunk.first_block + chunk.blocks; ++at) {
    if (!take_block(number, at->first)) {
      batch_.clear();
      return false;
    }
  }
  std::sort(batch_.begin(), batch_.end(), [](const Record& a, const Record& b) {
    return a.header.position < b.header.position;
  });
  return true;
}

bool CompressedRecords::take_block(std::size_t chunk, std::uint32_t block) {
  std::vector<ColumnDecoder::Place> records;
  std::vector<std::uint8_t>& memory = memory_.emplace_back();
  if (!segment_->inflate_block(chunk, block, memory, records)) return false;
  std::vector<std::uint64_t> hashes = blocks_.at(block);  // each must be met
  for (const ColumnDecoder::Place& place : records) {
    Record record;
    std::memcpy(&record.header, place.at, record_header_size);
    const std::uint8_t* device = place.at + record_header_size;
    record.device = {reinterpret_cast<const char*>(device), record.header.device_size};
    record.payload = {device + record.header.device_size,
                      place.size_bytes - record_header_size - record.header.device_size};
    const std::uint64_t hash = device_hash(record.header.ns, record.device);
    std::erase(hashes, hash);
    if (filter_.takes(record)) batch_.push_back(record);
  }
  return hashes.empty();
}

void CompressedRecords::fall_back(const std::string& why) {
  batch_.clear();
  handed_ = 0;
  lied_ = true;
  auto file = SegmentFile::open(sys_, path_);
  if (!file) {
    // Retention took it: what was found is good, no more comes.
    gone_ = true;
    chunk_ = segment_->chunks().size();
    return;
  }
  scan_ = std::make_unique<SegmentScan>(std::move(*file), filter_, passed_,
                                        fmt::format("{}: {}; all of it was read", path_, why));
}

}  // namespace ringgate::log
