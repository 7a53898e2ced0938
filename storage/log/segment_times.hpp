// When the records of sealed segments were received and what device times they carry, of all
// segments of a log directory in one small file (FORMAT.md, "Times"): whoever asks for some hours
// need not open segments to find out which have them. Made by the curator, from the segments; a
// reader checks what it says of the segments that it opens and goes without where it is wrong.
// Cold; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/bytes.hpp"
#include "engine/base/result.hpp"
#include "engine/io/sys.hpp"
#include "storage/log/segment.hpp"
#include "storage/log/segment_list.hpp"
#include "storage/log/time_ranges.hpp"

namespace ringgate::log {

inline constexpr std::string_view times_file_name = "times";

struct SegmentTimes {
  std::uint64_t epoch = 0;
  Position end = 0;  // the seal's, as the next three
  std::uint64_t records = 0;
  WallUs first_received_us = 0;
  WallUs last_received_us = 0;
  std::vector<TimeSpan> device_times;  // rising; empty: no record has one

  // Whether it is of the segment with this header and seal.
  bool fits(const SegmentHeader& header, const Seal& seal) const {
    return epoch == header.epoch && end == seal.end && records == seal.records &&
           first_received_us == seal.first_received_us && last_received_us == seal.last_received_us;
  }
  // Whether a record may have a device time at or after `from_us` and before `to_us`.
  bool may_hold(WallUs from_us, WallUs to_us) const;
  friend bool operator==(const SegmentTimes&, const SegmentTimes&) = default;
};
SegmentTimes times_of(const SegmentHeader& header, const Seal& seal, std::vector<TimeSpan> spans);

using SegmentKey = std::pair<StreamId, Position>;  // and base
using TimesTable = std::map<SegmentKey, SegmentTimes>;

std::vector<std::uint8_t> encode_times(const TimesTable& table);
// Error: why it is of no use.
Result<TimesTable> decode_times(Bytes bytes);

// Error: code ENOENT where there is none; else why it is of no use. `bytes_read`: from disk, added.
Result<TimesTable> read_times(io::Sys& sys, const std::string& directory,
                              std::uint64_t& bytes_read);
Result<void> write_times(io::Sys& sys, const std::string& directory, const TimesTable& table);

// The times of one sealed segment, from its index or the directory of its compressed file: wider
// than what make_index gives, as these know blocks only. Error: neither is there.
Result<SegmentTimes> look_up_times(io::Sys& sys, const std::string& directory,
                                   const SegmentEntry& segment);

}  // namespace ringgate::log
