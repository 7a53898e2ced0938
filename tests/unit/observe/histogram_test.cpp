#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "engine/observe/histogram.hpp"

using namespace ringgate::observe;

namespace {

std::uint64_t exact_percentile(const std::vector<std::uint64_t>& sorted, double percent) {
  const double share = percent / 100 * static_cast<double>(sorted.size());
  const auto rank = std::max(1.0, std::ceil(share - 1e-6));
  return sorted[static_cast<std::size_t>(rank) - 1];
}

double relative_error(std::uint64_t got, std::uint64_t exact) {
  const double difference = std::abs(static_cast<double>(got) - static_cast<double>(exact));
  return difference / std::max(1.0, static_cast<double>(exact));
}

}  // namespace

TEST_CASE("percentiles are within 1 % of the exact ones from nanoseconds to an hour") {
  std::mt19937_64 random(20261120);
  // Orders of magnitude evenly: 1 ns to 3.6e12 ns.
  std::uniform_real_distribution<double> magnitude(0, std::log(3.6e12));
  Histogram histogram;
  std::vector<std::uint64_t> values(200'000);
  std::uint64_t sum = 0;
  for (auto& value : values) {
    value = static_cast<std::uint64_t>(std::exp(magnitude(random)));
    sum += value;
    histogram.record(static_cast<std::int64_t>(value));
  }
  std::sort(values.begin(), values.end());
  const HistogramSnapshot seen = histogram.snapshot();
  CHECK(seen.count() == values.size());
  CHECK(seen.sum_ns() == sum);
  CHECK(seen.max_ns() == values.back());
  CHECK(seen.percentile(100) == values.back());
  double worst = 0;
  for (double percent = 0.01; percent < 100; percent += 0.01) {
    worst = std::max(worst,
                     relative_error(seen.percentile(percent), exact_percentile(values, percent)));
  }
  CHECK(worst > 0);
  CHECK(worst <= 0.008);
}

TEST_CASE("a narrow distribution keeps its tail") {
  std::mt19937_64 random(7);
  std::lognormal_distribution<double> latency(std::log(120'000.0), 0.4);
  Histogram histogram;
  std::vector<std::uint64_t> values(100'000);
  for (auto& value : values) {
    value = static_cast<std::uint64_t>(latency(random));
    histogram.record(static_cast<std::int64_t>(value));
  }
  std::sort(values.begin(), values.end());
  for (const double percent : {50.0, 90.0, 99.0, 99.9, 99.99}) {
    CHECK(relative_error(histogram.snapshot().percentile(percent),
                         exact_percentile(values, percent)) <= 0.008);
  }
}

TEST_CASE("every value lies in a step whose middle is at most 0.8 % away, and steps only grow") {
  std::size_t before = 0;
  for (std::uint64_t value = 0; value < detail::value_limit; value += 1 + value / 777) {
    const std::size_t step = detail::step_of(value);
    CHECK(step >= before);
    CHECK(step < detail::step_count);
    before = step;
  }
  CHECK(detail::step_of(detail::value_limit - 1) == detail::step_count - 1);
}

TEST_CASE("odd values: none, negative, beyond the range") {
  Histogram histogram;
  CHECK(histogram.snapshot().percentile(99) == 0);
  CHECK(histogram.snapshot().mean_ns() == 0);
  histogram.record(-5);
  CHECK(histogram.snapshot().percentile(50) == 0);
  const std::int64_t day = 86'400'000'000'000;
  histogram.record(day);
  CHECK(histogram.snapshot().count() == 2);
  CHECK(histogram.snapshot().max_ns() == static_cast<std::uint64_t>(day));
  CHECK(histogram.snapshot().percentile(99) == static_cast<std::uint64_t>(day));
}

TEST_CASE("merging is the same as recording into one") {
  Histogram both;
  Histogram left;
  Histogram right;
  std::mt19937_64 random(3);
  for (int i = 0; i < 10'000; ++i) {
    const auto value = static_cast<std::int64_t>(random() % 5'000'000);
    both.record(value);
    (i % 3 == 0 ? left : right).record(value);
  }
  HistogramSnapshot merged;
  merged.merge(left.snapshot());
  merged.merge(right.snapshot());
  merged.merge(HistogramSnapshot{});
  CHECK(merged.count() == 10'000);
  CHECK(merged.sum_ns() == both.snapshot().sum_ns());
  CHECK(merged.max_ns() == both.snapshot().max_ns());
  for (const double percent : {1.0, 50.0, 99.0, 99.9}) {
    CHECK(merged.percentile(percent) == both.snapshot().percentile(percent));
  }
}

TEST_CASE("an interval sees only what came since") {
  Histogram histogram;
  for (int i = 0; i < 1000; ++i) histogram.record(1'000'000'000);
  const HistogramSnapshot before = histogram.snapshot();
  CHECK(before.since(HistogramSnapshot{}).count() == 1000);
  CHECK(before.since(before).count() == 0);
  CHECK(before.since(before).percentile(99) == 0);
  for (int i = 0; i < 99; ++i) histogram.record(1'000);
  histogram.record(2'000'000);
  const HistogramSnapshot interval = histogram.snapshot().since(before);
  CHECK(interval.count() == 100);
  CHECK(interval.sum_ns() == 99 * 1'000 + 2'000'000);
  CHECK(relative_error(interval.percentile(99), 1'000) <= 0.008);
  CHECK(relative_error(interval.max_ns(), 2'000'000) <= 0.016);
  CHECK(interval.count_above(100'000) == 1);
}
