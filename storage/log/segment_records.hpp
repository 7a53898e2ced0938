// The records of one segment that may be wanted, read with as little as its index allows: the one
// way in which queries touch a sealed segment, be it plain or compressed. Without a usable index it
// reads everything and picks; the answer is the same. One owner, any thread; never a shard.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>

#include "engine/base/ids.hpp"
#include "engine/base/result.hpp"
#include "engine/io/sys.hpp"
#include "storage/log/record.hpp"
#include "storage/log/segment.hpp"

namespace ringgate::log {

constexpr WallUs no_time_before = std::numeric_limits<WallUs>::min();
constexpr WallUs no_time_after = std::numeric_limits<WallUs>::max();

// What of a segment is wanted. All conditions must hold.
struct Wanted {
  std::span<const DeviceKey> devices;  // empty: all
  WallUs received_from_us = no_time_before;
  WallUs received_to_us = no_time_after;  // before this
  // Only records that carry a device time (event::DeviceTimes) overlapping this range; where both
  // ends are open, records without device times are wanted too. A filter of blocks, not of records:
  // what comes may lie outside.
  WallUs device_from_us = no_time_before;
  WallUs device_to_us = no_time_after;
  Position from = 0;  // records at or above
  Position to = ~Position{0};
};

// What came of a segment's index. `lied`: it said something that the segment does not hold, and was
// not followed; `damaged`: no index of this segment.
enum class IndexState : std::uint8_t { none, good, damaged, lied };

class SegmentRecords {
 public:
  // `path`: the segment's file, of either kind. Error: code ENOENT where retention has taken it.
  static Result<std::unique_ptr<SegmentRecords>> open(io::Sys& sys, const std::string& path,
                                                      const Wanted& wanted);
  virtual ~SegmentRecords() = default;

  virtual const SegmentHeader& header() const = 0;
  // The next record in order of position, without the log's own marks; valid until the next call.
  // Device, received time and position are as wanted. False: no more, or it is gone.
  virtual bool next(Record& record) = 0;
  // Retention took the segment, or it was used again, while it was read: what came before is good.
  virtual bool gone() const = 0;
  // A sentence about damage met; empty: none.
  virtual const std::string& problem() const = 0;
  virtual std::uint64_t bytes_read() const = 0;  // from disk, its index included
  // Whoever owns the directory has an index made again that lied or is damaged
  // (Curator::remake_index).
  virtual IndexState index_state() const = 0;
};

}  // namespace ringgate::log
