#include "storage/log/time_ranges.hpp"

#include <algorithm>

namespace ringgate::log {

namespace {

// Nothing is gained by telling times apart that are so near.
constexpr WallUs near = 60 * us_per_s;
// Kept while ranges are gathered.
constexpr std::size_t gathered_max = 64;

std::size_t nearest_pair(const std::vector<TimeSpan>& ranges) {
  std::size_t best = 0;
  for (std::size_t i = 1; i + 1 < ranges.size(); ++i) {
    if (ranges[i + 1].first_us - ranges[i].last_us <
        ranges[best + 1].first_us - ranges[best].last_us) {
      best = i;
    }
  }
  return best;
}

void join(std::vector<TimeSpan>& ranges, std::size_t pair) {
  ranges[pair].last_us = ranges[pair + 1].last_us;
  ranges.erase(ranges.begin() + static_cast<std::ptrdiff_t>(pair) + 1);
}

}  // namespace

void TimeRanges::add(const TimeSpan& span) {
  if (span.empty() || !is_kept_time({span.first_us, span.last_us})) return;
  if (last_ < ranges_.size() && span.first_us >= ranges_[last_].first_us &&
      span.last_us <= ranges_[last_].last_us) {
    return;
  }
  // The first range that is not wholly before; from it on, those that touch become one.
  const auto begin = std::lower_bound(
      ranges_.begin(), ranges_.end(), span,
      [](const TimeSpan& a, const TimeSpan& b) { return a.last_us + near < b.first_us; });
  auto end = begin;
  TimeSpan joined = span;
  for (; end != ranges_.end() && end->first_us <= span.last_us + near; ++end) {
    joined.add({end->first_us, end->last_us});
  }
  last_ = static_cast<std::size_t>(begin - ranges_.begin());
  if (begin == end) {
    ranges_.insert(begin, joined);
  } else {
    *begin = joined;
    ranges_.erase(begin + 1, end);
  }
  if (ranges_.size() > gathered_max) join(ranges_, nearest_pair(ranges_));
}

std::vector<TimeSpan> TimeRanges::spans(std::size_t most) const {
  std::vector<TimeSpan> out = ranges_;
  while (out.size() > most) join(out, nearest_pair(out));
  return out;
}

}  // namespace ringgate::log
