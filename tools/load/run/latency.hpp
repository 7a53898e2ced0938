// Latencies as a load run keeps, sends and merges them: the steps of engine/observe's histogram (64
// for each doubling, percentiles within 0.8 %), sparse, so that an hour of seconds fits into memory
// and into a file. Plain values; merging adds steps, nothing is ever averaged.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/observe/histogram.hpp"

namespace ringgate::load {

// Steps as observe::detail::step_of() numbers them: [lowest, highest] in nanoseconds.
std::uint64_t step_lowest_ns(std::size_t step);
std::uint64_t step_highest_ns(std::size_t step);

class Latency {
 public:
  struct Bucket {
    std::uint32_t step = 0;
    std::uint64_t count = 0;
    bool operator==(const Bucket&) const = default;
  };

  std::uint64_t count() const { return count_; }
  std::uint64_t sum_ns() const { return sum_ns_; }
  std::uint64_t max_ns() const { return max_ns_; }  // exact
  double mean_ns() const;
  // As HistogramSnapshot::percentile(): 0 when empty; 100 gives max_ns().
  std::uint64_t percentile(double percent) const;
  // Values above `limit_ns`, to the precision of a step.
  std::uint64_t count_above(std::uint64_t limit_ns) const;
  void merge(const Latency& other);

  // Ascending by step, no zeros.
  const std::vector<Bucket>& buckets() const { return buckets_; }
  // False, and nothing changed: steps that do not ascend or do not exist, a count of 0.
  bool assign(std::vector<Bucket> buckets, std::uint64_t sum_ns, std::uint64_t max_ns);

  bool operator==(const Latency&) const = default;

 private:
  std::vector<Bucket> buckets_;
  std::uint64_t count_ = 0;
  std::uint64_t sum_ns_ = 0;
  std::uint64_t max_ns_ = 0;
};

// Where a crowd records, on its thread: no allocation after construction, a few nanoseconds.
class LatencyRecorder {
 public:
  LatencyRecorder() : steps_(observe::detail::step_count) {}  // 18.5 KiB

  void record(std::int64_t value_ns) {
    const std::uint64_t value = value_ns < 0 ? 0 : static_cast<std::uint64_t>(value_ns);
    ++steps_[observe::detail::step_of(value)];
    sum_ns_ += value;
    if (value > max_ns_) max_ns_ = value;
    empty_ = false;
  }
  // What was recorded since the last call.
  Latency take();

 private:
  std::vector<std::uint64_t> steps_;
  std::uint64_t sum_ns_ = 0;
  std::uint64_t max_ns_ = 0;
  bool empty_ = true;
};

}  // namespace ringgate::load
