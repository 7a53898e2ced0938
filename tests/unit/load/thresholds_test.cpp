#include "tools/load/scenario/thresholds.hpp"

#include <doctest/doctest.h>

#include <tuple>

#include "tools/load/scenario/measured.hpp"

using namespace ringgate;
using namespace ringgate::load;

namespace {

Condition condition(std::string_view text) {
  const Result<Condition, ConditionError> parsed = parse_condition(text);
  if (!parsed) MESSAGE(parsed.error().message);
  REQUIRE(parsed.ok());
  return *parsed;
}

Measured measured() {
  Measured figures;
  figures.seconds = 10;
  Tally& tally = figures.tally;
  tally.due = 1010;
  tally.sent = 1005;
  tally.acknowledged = 999;
  tally.dropped = 5;
  tally.connected = 50;
  tally.errors["link_closed"] = 1;
  LatencyRecorder response;
  LatencyRecorder service;
  for (int i = 1; i <= 1000; ++i) {
    response.record(i * 20'000);  // 20 us to 20 ms
    service.record(i * 1'000);
  }
  tally.response = response.take();
  tally.service = service.take();
  figures.server_cpu_s = 7.5;
  figures.own_cpu = 0.4;
  figures.server_rss_bytes = 100 << 20;
  figures.lost = 0;
  return figures;
}

}  // namespace

TEST_CASE("conditions are read as they are meant") {
  const Condition plain = condition("p99 < 20ms");
  CHECK(plain.metric == Metric::response);
  CHECK(plain.statistic == Statistic::percentile);
  CHECK(plain.percent == 99);
  CHECK(plain.comparison == Comparison::less);
  CHECK(plain.limit == 20e6);
  CHECK(plain.text == "p99 < 20ms");
  const Condition tight = condition("service p99.9<=0.5 ms");
  CHECK(tight.metric == Metric::service);
  CHECK(tight.percent == doctest::Approx(99.9));
  CHECK(tight.limit == doctest::Approx(5e5));
  CHECK(condition("errors < 0.1%").unit == Unit::share);
  CHECK(condition("errors < 0.1%").limit == doctest::Approx(0.001));
  CHECK(condition("errors < 3").unit == Unit::count);
  CHECK(condition("lost == 0").comparison == Comparison::equal);
  CHECK(condition("acked_rate > 900/s").limit == 900);
  CHECK(condition("  server_cpu  <  80 %  ").limit == doctest::Approx(0.8));
  CHECK(condition("server_rss < 500MiB").limit == 500.0 * 1048576);
  CHECK(condition("lag max < 1s").statistic == Statistic::max);
  CHECK(condition("delivery mean < 1ms").statistic == Statistic::mean);
  CHECK(parse_goal("acked_rate 900/s").value().limit == 900);
  CHECK(parse_goal("server_cpu 60%").value().limit == doctest::Approx(0.6));
}

TEST_CASE("a typo in a condition is an error, with its column and what was meant") {
  using Case = std::tuple<std::string_view, std::size_t, std::string_view>;
  for (const auto& [text, offset, part] : {
           Case{"", 0, "it is empty"},
           {"   ", 0, "it is empty"},
           {"p999 < 20ms", 0, "did you mean \"p99\"?"},
           {"p99 < 20", 8, "time (ns, us, ms, s, m, h)"},
           {"p99 < 20mss", 8, "time (ns, us, ms, s, m, h)"},
           {"p99 20ms", 4, "a comparison is expected"},
           {"p99", 3, "the comparison is missing"},
           {"p99 <", 5, "a number is expected"},
           {"p99 =< 20ms", 4, "a comparison is expected"},
           {"p99 <> 20ms", 5, "a comparison is expected"},
           {"p99 = 20ms", 4, "a comparison is expected"},
           {"p99 < fast", 6, "a number is expected"},
           {"p99 < -1ms", 6, "a number is expected"},
           {"p99 < 1e3ms", 7, "time (ns, us"},
           {"erors < 1%", 0, "did you mean \"errors\"?"},
           {"latency < 1ms", 0, "measures nothing; there are p50"},
           {"  service < 3ms", 10, "is many times: say which"},
           {"service p99x < 3ms", 8, "is many times: say which"},
           {"errors p99 < 3", 7, "a comparison is expected"},
           {"lost == 0ms", 9, "per cent (%) or as a plain number"},
           {"acked_rate > 900", 16, "per second"},
           {"server_cpu < 80", 15, "per cent of one CPU"},
           {"errors < 0", 9, "nothing is below 0"},
           {"errors >= 0%", 10, "everything is at least 0"},
           {"< 20ms", 0, "what is measured is missing"},
       }) {
    CAPTURE(text);
    const Result<Condition, ConditionError> parsed = parse_condition(text);
    REQUIRE_FALSE(parsed.ok());
    CHECK(parsed.error().offset == offset);
    CAPTURE(parsed.error().message);
    CHECK(parsed.error().message.find(part) != std::string::npos);
    CHECK(parsed.error().offset <= text.size());
  }
  CHECK_FALSE(parse_goal("p99 20ms").ok());
  CHECK_FALSE(parse_goal("acked_rate > 900/s").ok());
  CHECK_FALSE(parse_goal("acked_rate 0/s").ok());
}

TEST_CASE("every comparison, on both sides of its limit and on it") {
  using Case = std::tuple<std::string_view, bool, bool, bool>;  // at 2, 3 and 4
  for (const auto& [sign, below, on, above] : {Case{"<", true, false, false},
                                               {"<=", true, true, false},
                                               {">", false, false, true},
                                               {">=", false, true, true},
                                               {"==", false, true, false},
                                               {"!=", true, false, true}}) {
    const Condition made = condition("dropped " + std::string(sign).append(" 3"));
    CHECK(made.holds(2) == below);
    CHECK(made.holds(3) == on);
    CHECK(made.holds(4) == above);
  }
}

TEST_CASE("values of what was measured; what was not is unknown, and no condition on it holds") {
  const Measured figures = measured();
  const auto value = [&](std::string_view text) { return condition(text).value(figures); };
  CHECK(*value("p50 < 1ms") == doctest::Approx(10e6).epsilon(0.01));
  CHECK(*value("p99 < 1ms") == doctest::Approx(19.8e6).epsilon(0.01));
  CHECK(*value("service p99 < 1ms") == doctest::Approx(990e3).epsilon(0.01));
  CHECK(*value("max < 1ms") == 20e6);
  CHECK(*value("mean < 1ms") == doctest::Approx(10.01e6));
  CHECK(*value("errors < 1%") == doctest::Approx(0.001));
  CHECK(*value("errors < 2") == 1);
  CHECK(*value("dropped < 1%") == doctest::Approx(5.0 / 1010));
  CHECK(*value("acked_rate > 1/s") == doctest::Approx(99.9));
  CHECK(*value("server_cpu < 80%") == doctest::Approx(0.75));
  CHECK(*value("lost == 0") == 0);
  CHECK_FALSE(value("delivery p99 < 1s"));
  CHECK_FALSE(value("duplicated == 0"));
  CHECK_FALSE(condition("errors < 1%").value(Measured{}));
  CHECK_FALSE(condition("acked_rate > 1/s").value(Measured{}));

  Thresholds thresholds;
  for (const char* text : {"p99 < 20ms", "p99 < 19ms", "duplicated == 0"}) {
    thresholds.all.push_back({{}, condition(text)});
  }
  thresholds.all.push_back({{.class_index = 3}, condition("errors < 50%")});
  const std::vector<Verdict> verdicts = judge(thresholds, [&](const Scope& scope) {
    return scope.class_index < 0 ? &figures : nullptr;
  });
  REQUIRE(verdicts.size() == 4);
  CHECK(verdicts[0].holds);
  CHECK_FALSE(verdicts[1].holds);
  CHECK(verdicts[1].value);
  CHECK_FALSE(verdicts[2].holds);
  CHECK_FALSE(verdicts[2].value);
  CHECK_FALSE(verdicts[3].holds);
}

TEST_CASE("times that follow each other add up; a part without the server's CPU spoils the whole") {
  Measured sum;
  sum.append(measured());
  sum.append(measured());
  CHECK(sum.seconds == 20);
  CHECK(sum.tally.acknowledged == 2 * 999);
  CHECK(*sum.server_cpu_s == 15);
  CHECK(*condition("server_cpu < 80%").value(sum) == doctest::Approx(0.75));
  Measured blind = measured();
  blind.server_cpu_s.reset();
  sum.append(blind);
  CHECK_FALSE(sum.server_cpu_s);
  CHECK(*sum.own_cpu == 0.4);
}

TEST_CASE("a run ends early when a threshold stays broken for as long as was said") {
  Thresholds thresholds;
  thresholds.all.push_back({{}, condition("p99 < 19ms")});
  thresholds.all.push_back({{}, condition("lost == 1")});  // known after the run only
  thresholds.all.push_back({{.stage_index = 1}, condition("errors < 1%")});
  thresholds.abort = true;
  thresholds.abort_after_ns = 3 * ns_per_s;
  Measured bad = measured();
  Measured good = measured();
  good.tally.response = good.tally.service;
  const Measured* now = &good;
  const MeasuredOf look = [&](const Scope& scope) {
    return scope.stage_index < 0 ? now : nullptr;
  };
  AbortWatch watch(thresholds);
  CHECK_FALSE(watch.look(1 * ns_per_s, look));
  now = &bad;
  CHECK_FALSE(watch.look(2 * ns_per_s, look));
  CHECK_FALSE(watch.look(4 * ns_per_s, look));
  now = &good;
  CHECK_FALSE(watch.look(5 * ns_per_s, look));  // it begins anew
  now = &bad;
  CHECK_FALSE(watch.look(6 * ns_per_s, look));
  CHECK_FALSE(watch.look(8 * ns_per_s, look));
  CHECK(watch.look(9 * ns_per_s, look) == std::optional<std::size_t>(0));
  thresholds.abort = false;
  AbortWatch asleep(thresholds);
  CHECK_FALSE(asleep.look(100 * ns_per_s, look));
  CHECK_FALSE(asleep.look(200 * ns_per_s, look));
}

TEST_CASE("values as people read them") {
  CHECK(format_value(Unit::time_ns, 0) == "0 ns");
  CHECK(format_value(Unit::time_ns, 12'340'000) == "12.3 ms");
  CHECK(format_value(Unit::time_ns, 1'234'000'000) == "1.23 s");
  CHECK(format_value(Unit::share, 0.0005) == "0.0500 %");
  CHECK(format_value(Unit::share, 0.25) == "25 %");
  CHECK(format_value(Unit::count, 3) == "3");
  CHECK(format_value(Unit::per_second, 912.4) == "912/s");
  CHECK(format_value(Unit::cpus, 0.74) == "74 % CPU");
  CHECK(format_value(Unit::bytes, 120.0 * 1048576) == "120 MiB");
}
