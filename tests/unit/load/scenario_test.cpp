#include "tools/load/scenario/scenario.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <set>

#include "tools/load/scenario/shape.hpp"

using namespace ringgate;
using namespace ringgate::load;

namespace {

std::string text_of(const Problems& problems) {
  std::string out;
  for (const Problem& problem : problems) out += problem.text() + "\n";
  return out;
}

Scenario must_read(std::string_view text, const ReadOptions& options = {}) {
  Result<Scenario, Problems> read = read_scenario(text, "x.toml", options);
  if (!read.ok()) MESSAGE(text_of(read.error()));
  REQUIRE(read.ok());
  return std::move(read).value();
}

Problems must_fail(std::string_view text, const ReadOptions& options = {}) {
  Result<Scenario, Problems> read = read_scenario(text, "x.toml", options);
  REQUIRE_FALSE(read.ok());
  return read.error();
}

constexpr std::string_view small = R"(
[[class]]
name = "a"
kind = "terminal"

[[stage]]
kind = "constant"
users = 10
duration = "10s"
)";

}  // namespace

TEST_CASE("every scenario that comes with the program is well, whole and in small") {
  std::set<std::string_view> names;
  for (const ShippedScenario& shipped : shipped_scenarios()) {
    CAPTURE(shipped.name);
    CHECK(names.insert(shipped.name).second);
    const Scenario whole = must_read(shipped.text);
    CHECK_FALSE(whole.description.empty());
    CHECK(whole.duration_ns() >= 40 * ns_per_s);
    for (const double factor : {0.5, 0.1, 0.01, 0.0001}) {
      const Scenario part = must_read(shipped.text, {.shorten = factor});
      CHECK(part.users_max() <= whole.users_max());
      CHECK(part.users_max() >= 1);
      CHECK(part.stages.size() == whole.stages.size());
      for (const Stage& stage : part.stages) {
        CHECK(stage.duration_ns > 0);
        const bool searches = stage.kind == StageKind::stress;
        CHECK((searches ? stage.to > stage.from : stage.to <= whole.users_max()));
        CHECK((stage.kind != StageKind::spike ||
               stage.at_ns + stage.rise_ns + stage.hold_ns + stage.fall_ns <=
                   stage.duration_ns));
      }
    }
  }
  CHECK(names == std::set<std::string_view>{"baseline", "normal", "peak", "stress", "10k", "100k",
                                            "connect-storm", "day", "sustained"});
}

TEST_CASE("what the shipped names promise") {
  const auto users = [](std::string_view name) {
    return must_read(scenario_text(std::string(name)).value()).stages;
  };
  const auto most = [&](std::string_view name) {
    double level = 0;
    for (const Stage& stage : users(name)) level = std::max(level, stage.to);
    return level;
  };
  CHECK(most("baseline") == 100);
  CHECK(most("normal") == 500);
  CHECK(most("peak") == 1000);
  CHECK(most("stress") == 2000);
  CHECK(most("10k") == 10'000);
  CHECK(most("100k") == 100'000);
  CHECK(users("connect-storm")[0].from == 5000);
  CHECK(users("connect-storm")[1].to == 0);
  const auto day = users("day")[0];
  CHECK(day.day_until_ns - day.day_from_ns == 24 * 3600 * ns_per_s);
  CHECK(scenario_text("basline").error().message.find("\"baseline\"") != std::string::npos);
  CHECK(scenario_text("no/such.toml").error().code == 0);
}

TEST_CASE("a small scenario, with all that it leaves to the defaults") {
  const Scenario read = must_read(small);
  CHECK(read.name == "x");
  CHECK(read.seed == 1);
  CHECK(read.target.jt808 == "127.0.0.1:7808");
  CHECK(read.target.jt808_udp == "127.0.0.1:7808");
  CHECK(read.target.server_pid == Target::server_auto);
  REQUIRE(read.classes.size() == 1);
  CHECK(read.classes[0].interval_ns == 10 * ns_per_s);
  CHECK(read.classes[0].phone_base == 13'800'000'000);
  CHECK(read.classes[0].reconnect);
  CHECK(read.stages[0].name == "constant 1");
  CHECK(read.stages[0].to == 10);
  CHECK(read.thresholds.all.empty());
  CHECK_FALSE(read.thresholds.abort);
  CHECK(read.users_max() == 10);
  CHECK(read.text == small);
}

TEST_CASE("every error at once, each with its line, its column and the cure") {
  const Problems problems = must_fail(R"(sed = 3
description = 5
[targt]
[target]
jt808 = "127.0.0.1"
server_pid = "aut"

[[class]]
name = "a"
kind = "terminal"
interval = 10
wieght = 2
filter = "x"
transport = "tpc"
think = "3s..1s"
think_time = "1s"
sources = ["127.0.0.1", "127.0.0.300"]

[[class]]
kind = "termial"

[[stage]]
kind = "ramp"
to = 10.5
duration = "10"
speed = 3

[[stage]]
kind = "spike"
from = 5
to = 4
hold = "20s"
duration = "10s"

[thresholds]
all = ["p99 < 20ms", "p99 < 20", "erors < 1%", "service < 3ms", "lost = 0"]
[thresholds.class]
b = ["p99 < 1s"]
)");
  std::string found;
  for (const Problem& problem : problems) {
    CHECK(problem.name == "x.toml");
    found += fmt::format("{}:{} {}\n", problem.line, problem.column, problem.message);
  }
  CHECK(found == R"(1:1 unknown key "sed"; did you mean "seed"?
2:15 description must be a text in quotes, not the number 5
3:2 unknown section "targt"; did you mean "target"?
5:9 jt808 must be "HOST:PORT" such as "127.0.0.1:7808", not "127.0.0.1"
6:14 server_pid must be "auto", "none" or a process' number, not the text "aut"
11:12 interval needs a unit: write "10s" or "10ms", not 10
12:1 unknown key "wieght"; did you mean "weight"?
13:1 filter means nothing to kind "terminal"; it belongs to subscriber
14:13 transport must be one of "tcp", "udp", "tls", not "tpc"; did you mean "tcp"?
15:9 think: the longer time stands first; write "2s", "1s..3s" (any between) or "~2s" )"
              R"((exponential, 2s on average)
16:1 unknown key "think_time"
17:25 "127.0.0.300" is neither an IPv4 address nor a range of them such as )"
              R"("127.0.1.1..127.0.1.16"
19:1 class number 2 needs name
20:8 kind must be one of "terminal", "api", "subscriber", "silent", "flapping", "hostile", )"
              R"(not "termial"; did you mean "terminal"?
24:6 to are users: a whole number, not 10.5
25:12 duration must be a duration such as "30s", not "10": the unit must be ns, us, ms, s, )"
              R"(m, h or d, larger ones first
26:1 speed means nothing to kind "ramp"; it belongs to day
31:6 a spike rises: to must be above from (5)
32:8 the spike takes 20s from 0s on, and the stage only 10s
36:31 "p99 < 20": response is measured in time (ns, us, ms, s, m, h): write something like )"
              R"("response p99 < 20ms"
36:35 "erors < 1%": "erors" measures nothing; did you mean "errors"?
36:57 "service < 3ms": service is many times: say which, such as "service p99.9 < 5ms"
36:71 "lost = 0": a comparison is expected here: <, <=, >, >=, == or != as in "lost == 0"
38:1 there is no class "b"; did you mean "a"?
)");
}
