#include "engine/observe/histogram.hpp"

#include <algorithm>
#include <cmath>

namespace ringgate::observe {

namespace {

std::uint64_t lowest_of(std::size_t step) {
  if (step < (std::size_t{2} << detail::step_bits)) return step;
  const unsigned shift = static_cast<unsigned>(step >> detail::step_bits) - 1;
  const std::uint64_t top = (step & ((1U << detail::step_bits) - 1)) | (1U << detail::step_bits);
  return top << shift;
}

std::uint64_t highest_of(std::size_t step) { return lowest_of(step + 1) - 1; }

// The middle halves the error of either end.
std::uint64_t middle_of(std::size_t step) {
  return lowest_of(step) + (highest_of(step) - lowest_of(step)) / 2;
}

}  // namespace

double HistogramSnapshot::mean_ns() const {
  return count_ == 0 ? 0.0 : static_cast<double>(sum_ns_) / static_cast<double>(count_);
}

std::uint64_t HistogramSnapshot::percentile(double percent) const {
  if (count_ == 0) return 0;
  if (percent >= 100) return max_ns_;
  const double share = std::max(percent, 0.0) / 100 * static_cast<double>(count_);
  // 1e-6 forgives 99.9 / 100 * 1000 being a hair above 999.
  const auto rank = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::ceil(share - 1e-6)));
  std::uint64_t seen = 0;
  for (std::size_t step = 0; step < steps_.size(); ++step) {
    seen += steps_[step];
    if (seen < rank) continue;
    // The last step has no upper end of its own.
    return step + 1 == steps_.size() ? max_ns_ : std::min(middle_of(step), max_ns_);
  }
  return max_ns_;
}

std::uint64_t HistogramSnapshot::count_above(std::uint64_t limit_ns) const {
  std::uint64_t above = 0;
  for (std::size_t step = detail::step_of(limit_ns) + 1; step < steps_.size(); ++step) {
    above += steps_[step];
  }
  return above;
}

void HistogramSnapshot::merge(const HistogramSnapshot& other) {
  if (other.steps_.empty()) return;
  if (steps_.empty()) steps_.resize(detail::step_count);
  for (std::size_t step = 0; step < steps_.size(); ++step) steps_[step] += other.steps_[step];
  count_ += other.count_;
  sum_ns_ += other.sum_ns_;
  max_ns_ = std::max(max_ns_, other.max_ns_);
}

HistogramSnapshot HistogramSnapshot::since(const HistogramSnapshot& earlier) const {
  HistogramSnapshot interval = *this;
  if (earlier.steps_.empty()) return interval;
  interval.count_ = 0;
  interval.max_ns_ = 0;
  std::size_t last = 0;
  for (std::size_t step = 0; step < interval.steps_.size(); ++step) {
    interval.steps_[step] -= earlier.steps_[step];
    interval.count_ += interval.steps_[step];
    if (interval.steps_[step] != 0) last = step;
  }
  interval.sum_ns_ -= earlier.sum_ns_;
  if (interval.count_ != 0) {
    // A new overall maximum was set in the interval; else the highest step used bounds it.
    interval.max_ns_ = max_ns_ > earlier.max_ns_ ? max_ns_ : std::min(highest_of(last), max_ns_);
  }
  return interval;
}

HistogramSnapshot Histogram::snapshot() const {
  HistogramSnapshot copy;
  copy.steps_.resize(detail::step_count);
  for (std::size_t step = 0; step < copy.steps_.size(); ++step) {
    copy.steps_[step] = (*steps_)[step].load(std::memory_order_relaxed);
    // Counted here, so that count and steps of one snapshot always agree.
    copy.count_ += copy.steps_[step];
  }
  copy.sum_ns_ = sum_ns_.load(std::memory_order_relaxed);
  copy.max_ns_ = max_ns_.load(std::memory_order_relaxed);
  return copy;
}

}  // namespace ringgate::observe
