// Times that records carry, as a few ranges: a clock that was wrong once, or a report that came
// hours late, is a range of its own and does not make one long one of all. Plain values.
#pragma once

#include <cstddef>
#include <limits>
#include <vector>

#include "engine/base/clock.hpp"
#include "storage/event/rows.hpp"

namespace ringgate::log {

// From the earliest to the latest device time of some records; first > last where they have none.
struct TimeSpan {
  WallUs first_us = std::numeric_limits<WallUs>::max();
  WallUs last_us = std::numeric_limits<WallUs>::min();

  void add(const event::DeviceTimes& times) {
    first_us = times.first_us < first_us ? times.first_us : first_us;
    last_us = times.last_us > last_us ? times.last_us : last_us;
  }
  bool empty() const { return first_us > last_us; }
  friend bool operator==(const TimeSpan&, const TimeSpan&) = default;
};

// Device times in these bounds alone are kept as such; what lies beyond counts as no time. They
// keep sums away from overflow.
constexpr WallUs time_bound = WallUs{1} << 56;
constexpr bool is_kept_time(const event::DeviceTimes& times) {
  return times.first_us > -time_bound && times.last_us < time_bound;
}

class TimeRanges {
 public:
  // Covers the span from now on. Spans that are empty or beyond time_bound are left out.
  void add(const TimeSpan& span);
  // At most `most` ranges that cover all that was added, rising, apart from each other: where there
  // are more, the nearest are joined.
  std::vector<TimeSpan> spans(std::size_t most) const;

 private:
  std::vector<TimeSpan> ranges_;  // rising, more than `near` apart
  std::size_t last_ = 0;          // where the last one went
};

}  // namespace ringgate::log
