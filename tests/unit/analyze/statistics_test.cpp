// Correlation, trend and their significance, against figures from tables and against chance.
#include "tools/analyze/statistics.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>

using namespace ringgate::analyze;

namespace {

constexpr double no_value = std::numeric_limits<double>::quiet_NaN();

std::vector<double> noise(std::mt19937& random, std::size_t count) {
  std::normal_distribution<double> one;
  std::vector<double> out(count);
  for (double& value : out) value = one(random);
  return out;
}

// Each value mostly the one before: what gauges of a server look like.
std::vector<double> wandering(std::mt19937& random, std::size_t count) {
  std::vector<double> out = noise(random, count);
  for (std::size_t i = 1; i < count; ++i) out[i] += 0.9 * out[i - 1];
  return out;
}

}  // namespace

TEST_CASE("statistics: percentiles and ranks") {
  CHECK(percentile_of({4, 1, 3, 2}, 0) == 1);
  CHECK(percentile_of({4, 1, 3, 2}, 100) == 4);
  CHECK(percentile_of({4, 1, 3, 2}, 50) == doctest::Approx(2.5));
  CHECK(std::isnan(percentile_of({}, 50)));
  CHECK(ranks_of(std::vector<double>{10, 20, 10, 30}) == std::vector<double>{1.5, 3, 1.5, 4});
}

TEST_CASE("statistics: correlations by hand") {
  const std::vector<double> a = {1, 2, 3, 4, 5};
  CHECK(pearson(a, std::vector<double>{2, 4, 6, 8, 10}) == doctest::Approx(1));
  CHECK(pearson(a, std::vector<double>{5, 4, 3, 2, 1}) == doctest::Approx(-1));
  CHECK(pearson(a, std::vector<double>{1, 3, 2, 5, 4}) == doctest::Approx(0.8));
  CHECK(std::isnan(pearson(a, std::vector<double>{7, 7, 7, 7, 7})));
  // By rank what grows in any way grows in step.
  CHECK(spearman(a, std::vector<double>{1, 8, 27, 64, 1000}) == doctest::Approx(1));
}

TEST_CASE("statistics: Student's t as tables have it") {
  CHECK(student_two_sided(2.228, 10) == doctest::Approx(0.05).epsilon(0.01));
  CHECK(student_two_sided(3.169, 10) == doctest::Approx(0.01).epsilon(0.01));
  CHECK(student_two_sided(-1.960, 1e6) == doctest::Approx(0.05).epsilon(0.01));
  CHECK(student_two_sided(12.706, 1) == doctest::Approx(0.05).epsilon(0.01));
  CHECK(student_two_sided(0, 5) == doctest::Approx(1));
  CHECK(correlation_p(0.632, 10) == doctest::Approx(0.05).epsilon(0.02));
  CHECK(correlation_p(0.9, 3) == 1);
}

TEST_CASE("statistics: what goes together is found, with its lag") {
  std::mt19937 random(1);
  const std::vector<double> cause = noise(random, 120);
  std::vector<double> effect = noise(random, 120);
  for (std::size_t i = 4; i < 120; ++i) effect[i] = 0.3 * effect[i] + cause[i - 4];
  const auto found = correlate(cause, effect, 10);
  REQUIRE(found);
  CHECK(found->lag == 4);
  CHECK(found->r > 0.9);
  CHECK(found->p < 1e-6);
  const auto back = correlate(effect, cause, 10);
  REQUIRE(back);
  CHECK(back->lag == -4);
  std::vector<double> with_gaps = effect;
  for (std::size_t i = 0; i < 120; i += 7) with_gaps[i] = no_value;
  REQUIRE(correlate(cause, with_gaps, 10));
  CHECK(correlate(cause, with_gaps, 10)->lag == 4);
}

TEST_CASE("statistics: what has nothing to do with each other is not brought together") {
  std::mt19937 random(2);
  int independent = 0;
  int drifting = 0;
  for (int i = 0; i < 200; ++i) {
    independent += correlate(noise(random, 60), noise(random, 60), 10) ? 1 : 0;
    drifting += correlate(wandering(random, 60), wandering(random, 60), 10) ? 1 : 0;
  }
  CHECK(independent <= 4);
  // Taken at face value, more than half of these would count as significant.
  CHECK(drifting <= 20);
  CHECK_FALSE(correlate(noise(random, 10), noise(random, 10), 3));  // too few
  CHECK_FALSE(correlate(std::vector<double>(50, 1.0), noise(random, 50), 3));
}

TEST_CASE("statistics: trends") {
  std::mt19937 random(3);
  std::vector<double> times(60);
  for (std::size_t i = 0; i < 60; ++i) times[i] = static_cast<double>(i);
  std::vector<double> values = noise(random, 60);
  for (std::size_t i = 0; i < 60; ++i) values[i] = 100 + 0.5 * times[i] + values[i];
  auto trend = trend_of(times, values);
  REQUIRE(trend);
  CHECK(trend->significant);
  CHECK(trend->slope_per_s == doctest::Approx(0.5).epsilon(0.1));
  CHECK(trend->change == doctest::Approx(29.5).epsilon(0.1));
  // Certain, and not worth a word: 3 % of the value.
  for (std::size_t i = 0; i < 60; ++i) values[i] = 1000 + 0.5 * times[i];
  CHECK_FALSE(trend_of(times, values)->significant);
  // The line itself.
  for (std::size_t i = 0; i < 60; ++i) values[i] = 2 * times[i];
  CHECK(trend_of(times, values)->significant);
  CHECK_FALSE(trend_of(times, std::vector<double>(60, 5.0))->significant);
  int false_alarms = 0;
  for (int i = 0; i < 200; ++i) {
    const auto chance = trend_of(times, noise(random, 60));
    false_alarms += chance && chance->p < significant_p ? 1 : 0;
  }
  CHECK(false_alarms <= 8);
  const std::vector<double> few = {1, 2, 3};
  CHECK_FALSE(trend_of(few, few));
}
