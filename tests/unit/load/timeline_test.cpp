// The time line: rows complete when every worker told its part, merged by bucket, bounded, and
// right for the rest when a worker is lost.
#include <doctest/doctest.h>

#include "tools/load/run/timeline.hpp"

using namespace ringgate;
using load::Interval;
using load::Row;
using load::Timeline;

namespace {

Interval interval(std::uint32_t worker, double from_s, double to_s, std::uint32_t stage,
                  std::uint64_t acknowledged) {
  Interval out;
  out.worker = worker;
  out.stage = stage;
  out.from_ns = static_cast<MonoNs>(from_s * 1e9);
  out.to_ns = static_cast<MonoNs>(to_s * 1e9);
  out.cpu_ns = (out.to_ns - out.from_ns) / 2;
  out.classes.resize(1);
  out.classes[0].acknowledged = acknowledged;
  out.classes[0].users = 10;
  load::LatencyRecorder recorder;
  for (std::uint64_t i = 0; i < acknowledged; ++i) {
    recorder.record(static_cast<std::int64_t>(worker + 1) * 1'000'000);
  }
  out.classes[0].response = recorder.take();
  return out;
}

}  // namespace

TEST_CASE("a row waits for every worker, and its histogram is that of all values") {
  Timeline timeline({false}, 1, 2);
  timeline.add(interval(0, 0, 1.0003, 0, 90));
  CHECK(timeline.take_complete().empty());
  timeline.add(interval(1, 0, 0.9999, 0, 10));
  const std::vector<Row> rows = timeline.take_complete();
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].classes[0].acknowledged == 100);
  CHECK(rows[0].classes[0].users == 20);
  CHECK(rows[0].workers == 2);
  CHECK(rows[0].own_cpu == doctest::Approx(0.5).epsilon(0.01));
  // 90 values of 1 ms and 10 of 2 ms: an average of percentiles would be wrong everywhere here.
  CHECK(rows[0].classes[0].response.percentile(89) == doctest::Approx(1e6).epsilon(0.01));
  CHECK(rows[0].classes[0].response.percentile(91) == doctest::Approx(2e6).epsilon(0.01));
}

TEST_CASE("a lost worker holds nothing up, and what it told before counts") {
  Timeline timeline({false}, 1, 2);
  timeline.add(interval(0, 0, 1, 0, 5));
  timeline.add(interval(1, 0, 1, 0, 7));
  timeline.add(interval(0, 1, 2, 0, 5));
  CHECK(timeline.take_complete().size() == 1);
  timeline.lose(1);
  const std::vector<Row> rows = timeline.take_complete();
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].workers == 1);
  CHECK(rows[0].classes[0].users == 10);
  CHECK(timeline.measured({})->tally.acknowledged == 17);
}

TEST_CASE("stages end between seconds and have their own totals; warm-ups are not in the whole") {
  Timeline timeline({true, false}, 1, 1);
  timeline.add(interval(0, 0, 0.5, 0, 1));
  timeline.add(interval(0, 0.5, 1, 1, 2));
  timeline.add(interval(0, 1, 2, 1, 4));
  CHECK(timeline.take_complete().size() == 3);
  CHECK(timeline.measured({-1, 0})->tally.acknowledged == 1);
  CHECK(timeline.measured({-1, 1})->tally.acknowledged == 6);
  CHECK(timeline.measured({0, -1})->tally.acknowledged == 6);
  CHECK(timeline.measured({})->seconds == doctest::Approx(1.5));
  CHECK(timeline.measured({0, 5}) == nullptr);
}

TEST_CASE("a sliver of a stage goes with what comes next") {
  Timeline timeline({false, false}, 1, 2);
  timeline.add(interval(0, 0, 1, 0, 5));
  timeline.add(interval(0, 1, 1.0007, 0, 1));  // heard of the stage after the second was over
  timeline.add(interval(1, 0, 0.9999, 0, 5));
  timeline.add(interval(1, 0.9999, 1.0001, 1, 1));
  timeline.add(interval(0, 1.0007, 2, 1, 5));
  timeline.add(interval(1, 1.0001, 2, 1, 5));
  const std::vector<Row> rows = timeline.take_complete();
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].classes[0].acknowledged == 10);
  CHECK(rows[1].stage == 1);
  CHECK(rows[1].classes[0].acknowledged == 12);
  CHECK(rows[1].classes[0].users == 20);
  timeline.add(interval(0, 2, 2.001, 1, 3));
  timeline.add(interval(1, 2, 2.001, 1, 4));
  CHECK(timeline.take_complete().empty());
  timeline.lose(0);
  timeline.take_complete(true);
  CHECK(timeline.measured({})->tally.acknowledged == 29);
}

TEST_CASE("a late worker may tell of one second twice, and counts once") {
  Timeline timeline({false}, 1, 2);
  timeline.add(interval(0, 0, 0.06, 0, 1));
  timeline.add(interval(0, 0.06, 1, 0, 5));
  timeline.add(interval(1, 0, 1, 0, 5));
  const std::vector<Row> rows = timeline.take_complete();
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].classes[0].users == 20);
  CHECK(rows[0].classes[0].acknowledged == 11);
  CHECK(rows[0].workers == 2);
}

TEST_CASE("rows are bounded, totals exact") {
  Timeline timeline({false, false}, 1, 1);
  const std::size_t seconds = 3 * Timeline::rows_max + 7;
  for (std::size_t i = 0; i < seconds; ++i) {
    const auto at = static_cast<double>(i);
    timeline.add(interval(0, at, at + 1, i < 100 ? 0 : 1, 3));
    timeline.take_complete();
  }
  CHECK(timeline.rows().size() <= Timeline::rows_max);
  CHECK(timeline.rows().size() > Timeline::rows_max / 4);
  CHECK(timeline.measured({})->tally.acknowledged == 3 * seconds);
  std::uint64_t kept = 0;
  MonoNs end = 0;
  for (const Row& row : timeline.rows()) {
    CHECK(row.from_ns == end);
    end = row.to_ns;
    kept += row.classes[0].acknowledged;
    CHECK(row.classes[0].users == 10);
  }
  CHECK(kept == 3 * seconds);
}

TEST_CASE("what the server used in a row lies between its samples") {
  Timeline timeline({false}, 1, 1);
  timeline.sample({0, 1'000'000'000, 100, 50});
  timeline.sample({500'000'000, 1'100'000'000, 200, 60});
  timeline.sample({1'500'000'000, 1'500'000'000, 300, 100});
  timeline.add(interval(0, 0, 1, 0, 1));
  const std::vector<Row> rows = timeline.take_complete();
  REQUIRE(rows.size() == 1);
  REQUIRE(rows[0].server);
  CHECK(rows[0].server->cpu_s == doctest::Approx(0.3));
  CHECK(rows[0].server->context_switches == 30);
  Timeline blind({false}, 1, 1);
  blind.add(interval(0, 0, 1, 0, 1));
  CHECK_FALSE(blind.take_complete()[0].server);
}

TEST_CASE("after a server has ended no row says that it takes nothing") {
  Timeline timeline({false}, 1, 1);
  timeline.sample({0, 1'000'000'000, 100, 50});
  timeline.sample({500'000'000, 1'100'000'000, 200, 60});
  timeline.server_ended();
  for (int second = 0; second < 3; ++second) timeline.add(interval(0, second, second + 1, 0, 1));
  const std::vector<Row> rows = timeline.take_complete();
  REQUIRE(rows.size() == 3);
  REQUIRE(rows[0].server);
  CHECK(rows[0].server->rss_bytes == 200);
  CHECK_FALSE(rows[1].server);
  CHECK_FALSE(rows[2].server);
}

TEST_CASE("what has another number of classes or no length is left out") {
  Timeline timeline({false}, 2, 1);
  timeline.add(interval(0, 0, 1, 0, 1));
  CHECK(timeline.take_complete(true).empty());
  Timeline other({false}, 1, 1);
  other.add(interval(0, 1, 1, 0, 1));
  other.add(interval(3, 0, 1, 0, 1));
  CHECK(other.take_complete(true).empty());
}

TEST_CASE("the shard that waited most for a CPU is told, of each row its own") {
  Timeline timeline({false}, 1, 1);
  const auto sample = [&](double at_s, std::int64_t first_ms, std::int64_t second_ms) {
    load::ServerSample one;
    one.at_ns = static_cast<MonoNs>(at_s * 1e9);
    one.shards = {{first_ms * 1'000'000, 10}, {second_ms * 1'000'000, 20}};
    one.shards[0].slices += static_cast<std::uint64_t>(at_s * 100);
    timeline.sample(one);
  };
  sample(0, 500, 100);
  sample(1, 600, 150);
  timeline.add(interval(0, 0, 1, 0, 5));
  sample(2, 610, 450);
  timeline.add(interval(0, 1, 2, 0, 5));
  const std::vector<Row> rows = timeline.take_complete();
  REQUIRE(rows.size() == 2);
  REQUIRE(rows[0].server);
  CHECK(rows[0].server->shard_wait_s == doctest::Approx(0.1));
  CHECK(rows[0].server->shard_slices == 100);
  CHECK(rows[1].server->shard_wait_s == doctest::Approx(0.3));
  CHECK(rows[1].server->shard_slices == 0);
  Row both = rows[0];
  both.append(rows[1]);
  CHECK(both.server->shard_wait_s == doctest::Approx(0.4));
}

TEST_CASE("a server without shards has waits of none") {
  Timeline timeline({false}, 1, 1);
  timeline.sample({.at_ns = 0, .cpu_ns = 0, .rss_bytes = 0, .context_switches = 0, .shards = {}});
  timeline.sample({.at_ns = ns_per_s, .cpu_ns = 7, .rss_bytes = 0, .context_switches = 0,
                   .shards = {}});
  timeline.add(interval(0, 0, 1, 0, 5));
  const std::vector<Row> rows = timeline.take_complete();
  REQUIRE(rows.size() == 1);
  REQUIRE(rows[0].server);
  CHECK(rows[0].server->shard_wait_s < 0);
}
