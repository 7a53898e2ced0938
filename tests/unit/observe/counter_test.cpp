#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <string>
#include <thread>

#include "engine/observe/counter.hpp"

using namespace ringgate::observe;

namespace {

enum class Why { checksum, escape, length };
constexpr std::string_view whys[] = {"checksum", "escape", "length"};
constexpr MetricSpec frames{.name = "ringgate_frames_total", .help = "Frames received."};
constexpr MetricSpec links{
    .name = "ringgate_links", .help = "Links open.", .kind = MetricKind::gauge};
constexpr MetricSpec bad_frames{.name = "ringgate_bad_frames_total",
                                .help = "Frames refused, by reason.",
                                .label = "reason",
                                .values = whys};
constexpr MetricSpec commit{.name = "ringgate_commit_seconds",
                            .help = "From write submitted to durable.",
                            .kind = MetricKind::histogram};

}  // namespace

TEST_CASE("counters, gauges and families are summed over shards") {
  Registry registry;
  CounterGroup& zero = registry.add_shard(0);
  CounterGroup& one = registry.add_shard(1);
  zero.counter(frames).add(5);
  one.counter(frames).add();
  Gauge open = zero.gauge(links);
  open.add(3);
  open.sub(5);
  auto reasons = one.family<Why>(bad_frames);
  reasons.add(Why::escape, 7);
  reasons.add(Why::length);

  CHECK(registry.total(frames) == 6);
  CHECK(registry.total(links) == -2);
  CHECK(registry.total(bad_frames) == 8);
  CHECK(registry.total(bad_frames, "escape") == 7);
  CHECK(registry.total(bad_frames, "checksum") == 0);
  CHECK(registry.snapshot().size() == 6);
}

TEST_CASE("a name registered twice in one group is one cell") {
  CounterGroup group("shard", "0");
  Counter first = group.counter(frames);
  Counter second = group.counter(frames);
  first.add();
  second.add();
  CHECK(first.value() == 2);
}

TEST_CASE("counters print as Prometheus text, all lines of a name together") {
  Registry registry;
  CounterGroup& zero = registry.add_shard(0);
  CounterGroup& main_thread = registry.add_group("thread", "ma\"in");
  zero.counter(frames).add(12);
  zero.family<Why>(bad_frames).add(Why::checksum, 3);
  main_thread.counter(frames).add(1);
  Histogram& times = zero.histogram(commit);
  for (int i = 0; i < 9; ++i) times.record(50);
  // 9 values of 50 ns and one of 3 ms.
  times.record(3'000'000);
  std::string buckets;
  for (const char* end : {"1e-05", "2.5e-05", "5e-05", "0.0001", "0.00025", "0.0005", "0.001",
                          "0.0025"}) {
    buckets += std::string("ringgate_commit_seconds_bucket{shard=\"0\",le=\"") + end + "\"} 9\n";
  }
  for (const char* end : {"0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5",
                          "5.0", "10.0", "30.0", "60.0", "+Inf"}) {
    buckets += std::string("ringgate_commit_seconds_bucket{shard=\"0\",le=\"") + end + "\"} 10\n";
  }
  std::string out;
  registry.print(out);
  CHECK(out ==
        "# HELP ringgate_frames_total Frames received.\n"
        "# TYPE ringgate_frames_total counter\n"
        "ringgate_frames_total{shard=\"0\"} 12\n"
        "ringgate_frames_total{thread=\"ma\\\"in\"} 1\n"
        "# HELP ringgate_bad_frames_total Frames refused, by reason.\n"
        "# TYPE ringgate_bad_frames_total counter\n"
        "ringgate_bad_frames_total{shard=\"0\",reason=\"checksum\"} 3\n"
        "ringgate_bad_frames_total{shard=\"0\",reason=\"escape\"} 0\n"
        "ringgate_bad_frames_total{shard=\"0\",reason=\"length\"} 0\n"
        "# HELP ringgate_commit_seconds From write submitted to durable.\n"
        "# TYPE ringgate_commit_seconds histogram\n" +
            buckets +
        "ringgate_commit_seconds_sum{shard=\"0\"} 0.003000450\n"
        "ringgate_commit_seconds_count{shard=\"0\"} 10\n");
}

TEST_CASE("a reader beside two writers that register and count never sees a figure go back") {
  Registry registry;
  constexpr int rounds = 20'000;
  std::array<CounterGroup*, 2> groups = {&registry.add_shard(0), &registry.add_shard(1)};
  std::atomic<int> running{2};
  std::array<std::thread, 2> writers;
  for (std::size_t i = 0; i < writers.size(); ++i) {
    writers[i] = std::thread([&running, group = groups[i]] {
      Counter count = group->counter(frames);
      Family<Why> reasons = group->family<Why>(bad_frames);
      Histogram& times = group->histogram(commit);
      for (int n = 0; n < rounds; ++n) {
        count.add();
        reasons.add(static_cast<Why>(n % 3));
        times.record(n);
      }
      running.fetch_sub(1);
    });
  }
  std::int64_t before = 0;
  bool monotonic = true;
  while (running.load() != 0) {
    const std::int64_t now = registry.total(frames);
    monotonic = monotonic && now >= before;
    before = now;
    registry.merged(commit);
  }
  for (std::thread& writer : writers) writer.join();
  CHECK(monotonic);
  CHECK(registry.total(frames) == 2 * rounds);
  CHECK(registry.total(bad_frames) == 2 * rounds);
  CHECK(registry.merged(commit).count() == 2 * rounds);
}
