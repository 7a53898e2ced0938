// Histogram of durations in nanoseconds, log-linear like HDR histograms: 64 steps for each
// doubling, so that a percentile is at most 0.8 % away from the exact one. Values from 0 to 2^42 ns
// (73 minutes); longer ones land in the last step (max_ns() still tells the truth), negative ones
// count as 0.
//
// Threads: one writer records (relaxed atomics, no lock prefix, a few nanoseconds, no allocation
// after construction); any thread may take a snapshot meanwhile. Snapshots are plain values: merge
// them over threads, subtract an earlier one to see an interval. A snapshot taken while the writer
// runs may miss the values of that moment; the next one has them.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace ringgate::observe {

namespace detail {
constexpr unsigned step_bits = 6;
constexpr unsigned value_bits_max = 42;
constexpr std::uint64_t value_limit = std::uint64_t{1} << value_bits_max;
constexpr std::size_t step_count = (value_bits_max - step_bits + 1) << step_bits;

// Below 2^6 a step holds one value; above, the top 7 bits of a value name its step.
constexpr std::size_t step_of(std::uint64_t value_ns) {
  if (value_ns >= value_limit) return step_count - 1;
  if (value_ns < (1U << step_bits)) return static_cast<std::size_t>(value_ns);
  const unsigned shift = static_cast<unsigned>(std::bit_width(value_ns)) - step_bits - 1;
  return (std::size_t{shift} << step_bits) + static_cast<std::size_t>(value_ns >> shift);
}
}  // namespace detail

class HistogramSnapshot {
 public:
  HistogramSnapshot() = default;  // empty

  std::uint64_t count() const { return count_; }
  std::uint64_t sum_ns() const { return sum_ns_; }
  std::uint64_t max_ns() const { return max_ns_; }  // exact; of an interval: of its highest step
  double mean_ns() const;
  // `percent` from 0 to 100: the smallest value that at least this share of all values does not
  // exceed, within 0.8 %. 0 when empty; 100 gives max_ns().
  std::uint64_t percentile(double percent) const;
  // Values above `limit_ns`, to the precision of a step.
  std::uint64_t count_above(std::uint64_t limit_ns) const;

  void merge(const HistogramSnapshot& other);
  // What was recorded since `earlier`, a snapshot of the same histogram.
  HistogramSnapshot since(const HistogramSnapshot& earlier) const;

 private:
  friend class Histogram;
  std::vector<std::uint64_t> steps_;  // empty, or detail::step_count
  std::uint64_t count_ = 0;
  std::uint64_t sum_ns_ = 0;
  std::uint64_t max_ns_ = 0;
};

class Histogram {
 public:
  Histogram() : steps_(std::make_unique<Steps>()) {}  // 18.5 KiB

  void record(std::int64_t value_ns) {
    const std::uint64_t value = value_ns < 0 ? 0 : static_cast<std::uint64_t>(value_ns);
    if (value > max_ns_.load(std::memory_order_relaxed)) {
      max_ns_.store(value, std::memory_order_relaxed);
    }
    add(sum_ns_, value);
    add((*steps_)[detail::step_of(value)], 1);
  }
  HistogramSnapshot snapshot() const;

 private:
  using Steps = std::array<std::atomic<std::uint64_t>, detail::step_count>;
  static void add(std::atomic<std::uint64_t>& cell, std::uint64_t n) {
    cell.store(cell.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }

  std::unique_ptr<Steps> steps_;
  std::atomic<std::uint64_t> sum_ns_{0};
  std::atomic<std::uint64_t> max_ns_{0};
};

}  // namespace ringgate::observe
