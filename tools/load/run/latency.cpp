#include "tools/load/run/latency.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace ringgate::load {

using observe::detail::step_bits;
using observe::detail::step_count;

std::uint64_t step_lowest_ns(std::size_t step) {
  if (step < (std::size_t{2} << step_bits)) return step;
  const unsigned shift = static_cast<unsigned>(step >> step_bits) - 1;
  const std::uint64_t top = (step & ((1U << step_bits) - 1)) | (1U << step_bits);
  return top << shift;
}

std::uint64_t step_highest_ns(std::size_t step) { return step_lowest_ns(step + 1) - 1; }

double Latency::mean_ns() const {
  return count_ == 0 ? 0.0 : static_cast<double>(sum_ns_) / static_cast<double>(count_);
}

std::uint64_t Latency::percentile(double percent) const {
  if (count_ == 0) return 0;
  if (percent >= 100) return max_ns_;
  const double share = std::max(percent, 0.0) / 100 * static_cast<double>(count_);
  // 1e-6 forgives 99.9 / 100 * 1000 being a hair above 999.
  const auto rank = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::ceil(share - 1e-6)));
  std::uint64_t seen = 0;
  for (const Bucket& bucket : buckets_) {
    seen += bucket.count;
    if (seen < rank) continue;
    if (bucket.step + 1 == step_count) return max_ns_;  // the last step has no upper end
    const std::uint64_t lowest = step_lowest_ns(bucket.step);
    // The middle halves the error of either end.
    return std::min(lowest + (step_highest_ns(bucket.step) - lowest) / 2, max_ns_);
  }
  return max_ns_;
}

std::uint64_t Latency::count_above(std::uint64_t limit_ns) const {
  const std::size_t limit = observe::detail::step_of(limit_ns);
  std::uint64_t above = 0;
  for (auto it = buckets_.rbegin(); it != buckets_.rend() && it->step > limit; ++it) {
    above += it->count;
  }
  return above;
}

void Latency::merge(const Latency& other) {
  std::vector<Bucket> merged;
  merged.reserve(std::max(buckets_.size(), other.buckets_.size()));
  auto a = buckets_.begin();
  auto b = other.buckets_.begin();
  while (a != buckets_.end() || b != other.buckets_.end()) {
    if (b == other.buckets_.end() || (a != buckets_.end() && a->step < b->step)) {
      merged.push_back(*a++);
    } else if (a == buckets_.end() || b->step < a->step) {
      merged.push_back(*b++);
    } else {
      merged.push_back({a->step, a->count + b->count});
      ++a;
      ++b;
    }
  }
  buckets_ = std::move(merged);
  count_ += other.count_;
  sum_ns_ += other.sum_ns_;
  max_ns_ = std::max(max_ns_, other.max_ns_);
}

bool Latency::assign(std::vector<Bucket> buckets, std::uint64_t sum_ns, std::uint64_t max_ns) {
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    if (buckets[i].step >= step_count || buckets[i].count == 0) return false;
    if (i > 0 && buckets[i].step <= buckets[i - 1].step) return false;
    count += buckets[i].count;
  }
  buckets_ = std::move(buckets);
  count_ = count;
  sum_ns_ = sum_ns;
  max_ns_ = max_ns;
  return true;
}

Latency LatencyRecorder::take() {
  Latency taken;
  if (empty_) return taken;
  std::vector<Latency::Bucket> buckets;
  for (std::size_t step = 0; step < steps_.size(); ++step) {
    if (steps_[step] == 0) continue;
    buckets.push_back({static_cast<std::uint32_t>(step), std::exchange(steps_[step], 0)});
  }
  taken.assign(std::move(buckets), std::exchange(sum_ns_, 0), std::exchange(max_ns_, 0));
  empty_ = true;
  return taken;
}

}  // namespace ringgate::load
