// Tallies: what the coordinator merges must be what one process would have counted.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <random>

#include "engine/observe/histogram.hpp"
#include "tools/load/run/tally.hpp"

using namespace ringgate;
using load::Latency;
using load::LatencyRecorder;
using load::Tally;

TEST_CASE("a latency has the percentiles of the engine's histogram, however it was merged") {
  std::mt19937_64 random(3);
  observe::Histogram whole;
  std::vector<LatencyRecorder> workers(3);
  Latency merged;
  for (int second = 0; second < 4; ++second) {
    for (int i = 0; i < 5'000; ++i) {
      const std::uint64_t low = std::uint64_t{1} << (random() % 40);
      const auto value = static_cast<std::int64_t>(low + random() % low);
      whole.record(value);
      workers[random() % 3].record(value);
    }
    for (LatencyRecorder& worker : workers) merged.merge(worker.take());
  }
  const observe::HistogramSnapshot expected = whole.snapshot();
  CHECK(merged.count() == expected.count());
  CHECK(merged.sum_ns() == expected.sum_ns());
  CHECK(merged.max_ns() == expected.max_ns());
  for (const double percent : {0.0, 1.0, 50.0, 90.0, 99.0, 99.9, 99.99, 100.0}) {
    CHECK(merged.percentile(percent) == expected.percentile(percent));
  }
  for (const std::uint64_t limit : {0ULL, 100ULL, 1'000'000ULL, 1ULL << 39, 1ULL << 43}) {
    CHECK(merged.count_above(limit) == expected.count_above(limit));
  }
}

TEST_CASE("a recorder hands each value out once") {
  LatencyRecorder recorder;
  CHECK(recorder.take().count() == 0);
  recorder.record(-5);
  recorder.record(1'000'000);
  recorder.record(std::int64_t{1} << 50);  // beyond the last step: its exact value survives as max
  const Latency first = recorder.take();
  CHECK(first.count() == 3);
  CHECK(first.percentile(1) == 0);
  CHECK(first.max_ns() == std::uint64_t{1} << 50);
  CHECK(first.percentile(99) == first.max_ns());
  CHECK(recorder.take() == Latency{});
}

TEST_CASE("steps tile the values without a hole") {
  for (std::size_t step = 0; step + 1 < observe::detail::step_count; ++step) {
    REQUIRE(observe::detail::step_of(load::step_lowest_ns(step)) == step);
    REQUIRE(observe::detail::step_of(load::step_highest_ns(step)) == step);
    REQUIRE(load::step_highest_ns(step) + 1 == load::step_lowest_ns(step + 1));
  }
}

namespace {

Tally some_tally(std::uint64_t n) {
  Tally tally;
  tally.users_wanted = 10 * n;
  tally.users = 9 * n;
  tally.ready = 8 * n;
  tally.outstanding = n;
  tally.due = 101 * n;
  tally.sent = 100 * n;
  tally.acknowledged = 97 * n;
  tally.dropped = n;
  tally.errors = {{"unanswered", 2 * n}, {"link_closed", n}};
  tally.notes = {{"refused", n}};
  tally.last_error = "link 7 closed";
  LatencyRecorder recorder;
  for (std::uint64_t i = 1; i <= n; ++i) recorder.record(static_cast<std::int64_t>(i * 70'000));
  tally.service = recorder.take();
  tally.response = tally.service;
  return tally;
}

}  // namespace

TEST_CASE("tallies add up over workers and follow each other in time") {
  Tally tally = some_tally(1);
  tally.merge(some_tally(2));
  CHECK(tally.ready == 24);
  CHECK(tally.acknowledged == 291);
  CHECK(tally.error_count() == 9);
  CHECK(tally.count_of("unanswered") == 6);
  CHECK(tally.count_of("nothing") == 0);
  CHECK(tally.service.count() == 3);
  CHECK(tally.error_share() == doctest::Approx(9.0 / 300));
  tally.append(some_tally(1));
  CHECK(tally.ready == 8);  // as things stand now
  CHECK(tally.acknowledged == 388);
  CHECK(tally.service.count() == 4);
}

TEST_CASE("a tally survives JSON whole") {
  const Tally tally = some_tally(40);
  const auto json = nlohmann::json::parse(load::to_json(tally).dump());
  const Result<Tally> back = load::tally_from(json);
  REQUIRE(back.ok());
  CHECK(*back == tally);
  CHECK(load::to_json(Tally{}).dump() == "{}");
  REQUIRE(load::tally_from(nlohmann::json::object()).ok());
}

TEST_CASE("what is no tally is refused with the member's name") {
  const auto error_of = [](const char* text) {
    const Result<Tally> tally = load::tally_from(nlohmann::json::parse(text));
    return tally.ok() ? std::string("none") : tally.error().message;
  };
  CHECK(error_of("[]") == "tally: expected an object");
  CHECK(error_of(R"({"sent": "7"})") == "sent: expected a count");
  CHECK(error_of(R"({"errors": {"a": -1}})") == "errors: expected counts by name");
  CHECK(error_of(R"({"lag": {"buckets": [5]}})") ==
        "lag: buckets: expected [step, count, step, count, ...]");
  CHECK(error_of(R"({"lag": {"buckets": [5, 1, 4, 1]}})") ==
        "lag: buckets: expected ascending steps");
  CHECK(error_of(R"({"lag": {"buckets": [99999, 1]}})") ==
        "lag: buckets: expected ascending steps");
  CHECK(error_of(R"({"lag": {"buckets": [4294967301, 1]}})") ==
        "lag: buckets: expected ascending steps");
  CHECK(error_of(R"({"unknown": 1, "sent": 7})") == "none");
}
