// The index of one sealed segment (FORMAT.md, "Index"): where to look for times and devices. It is
// made of the segment's records and can be made again at any time; whoever uses it checks what it
// finds. IndexBuilder and IndexFile: one owner each, any thread but a shard's.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/io/sys.hpp"
#include "storage/event/rows.hpp"
#include "storage/log/hash_directory.hpp"
#include "storage/log/pages.hpp"
#include "storage/log/record.hpp"
#include "storage/log/segment.hpp"
#include "storage/log/time_ranges.hpp"

namespace ringgate::log {

// What begins within index_block bytes of positions.
struct IndexBlock {
  WallUs first_received_us = 0;
  Position first_position = 0;  // of the first record that begins here or later
  TimeSpan device_times;
};

// Takes the records of a segment in order. Memory: about 3 bytes a record, and 100 a device.
class IndexBuilder {
 public:
  explicit IndexBuilder(const SegmentHeader& header) : header_(header) {}
  void add(const Record& record, const std::optional<event::DeviceTimes>& times);
  // The file's bytes. `end`: the seal's.
  std::vector<std::uint8_t> finish(Position end);
  // All device times of the records so far.
  const TimeRanges& device_times() const { return device_times_; }

 private:
  struct Device {
    std::vector<std::uint8_t> places;
    std::uint64_t count = 0;
    Position last = 0;
    TimeSpan times;
  };
  SegmentHeader header_;
  std::uint64_t records_ = 0;
  TimeRanges device_times_;
  std::vector<IndexBlock> blocks_;
  std::unordered_map<std::uint64_t, Device> devices_;
};

class IndexFile {
 public:
  // Error: why it is of no use: none there (ENOENT), short, of another epoch or version, damaged.
  static Result<std::unique_ptr<IndexFile>> open(io::Sys& sys, const std::string& path,
                                                 const SegmentHeader& header, Position end);
  ~IndexFile();
  IndexFile(const IndexFile&) = delete;
  IndexFile& operator=(const IndexFile&) = delete;

  std::uint64_t records() const { return records_; }
  std::uint32_t blocks() const { return blocks_; }
  std::uint32_t devices() const { return directory_.size(); }
  std::optional<IndexBlock> block(std::uint32_t number);
  // The first block of which no record was received before `at_us`; blocks() where there is none.
  // Nothing where the index is damaged, here and below.
  std::optional<std::uint32_t> first_block_from(WallUs at_us);

  struct Places {
    std::vector<Position> positions;  // rising
    TimeSpan device_times;
  };
  // Where the records of a device begin; empty where it has none here.
  std::optional<Places> places(std::uint64_t device_hash);

  // Reads all of it.
  bool check() { return pages_->check(); }
  std::uint64_t bytes_read() const { return pages_->bytes_read(); }

 private:
  IndexFile(io::Sys& sys, int fd) : sys_(sys), fd_(fd) {}
  Result<void> load(const SegmentHeader& header, Position end);

  io::Sys& sys_;
  int fd_;
  std::unique_ptr<PageReader> pages_;
  Position base_ = 0;
  Position end_ = 0;
  std::uint64_t records_ = 0;
  std::uint32_t blocks_ = 0;
  HashDirectory directory_;
};

}  // namespace ringgate::log
