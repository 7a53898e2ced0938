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
2:15 description must be a text in quotes, not the integer 5
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

namespace {

// The text with a marker at the place of the one error that it has.
struct Marked {
  std::string text;
  unsigned line = 1;
  unsigned column = 1;
};

Marked marked(std::string_view source) {
  Marked out;
  const std::size_t at = source.find("^^");
  REQUIRE(at != std::string_view::npos);
  out.text = std::string(source.substr(0, at)).append(source.substr(at + 2));
  for (std::size_t i = 0; i < at; ++i) {
    out.column = source[i] == '\n' ? 1 : out.column + 1;
    out.line += source[i] == '\n' ? 1 : 0;
  }
  return out;
}

constexpr std::string_view head = "[[class]]\nname = \"a\"\nkind = \"terminal\"\n";
constexpr std::string_view tail = "[[stage]]\nkind = \"constant\"\nusers = 3\nduration = \"5s\"\n";

}  // namespace

TEST_CASE("one error, at its place, whatever it is") {
  using Case = std::pair<std::string, std::string_view>;
  const std::string both = std::string(head).append(tail);
  const std::string before(head);
  for (const auto& [source, part] : {
           Case{both + "^^[[stage]]\nkind = \"ramp\"\nduration = \"5s\"\n", "needs to"},
           {both + "^^[[stage]]\nkind = \"ramp\"\nto = 5\n", "needs duration"},
           {both + "[[stage]]\nkind = \"ramp\"\nto = 5\nduration = ^^\"5\"\n", "a duration"},
           {both + "[[stage]]\nkind = \"ramp\"\nto = ^^5.5\nduration = \"5s\"\n", "whole number"},
           {both + "[[stage]]\nkind = \"ramp\"\nto = ^^-5\nduration = \"5s\"\n",
            "between 0 and"},
           {both + "[[stage]]\nkind = \"wave\"\nto = 5\nduration = \"5s\"\n^^periode = \"1s\"\n"
                   "period = \"2s\"\n", "did you mean \"period\"?"},
           {both + "[[stage]]\nkind = \"day\"\nto = 5\nspeed = 60\nday = { \"08:00\" = 0.5, "
                   "^^\"25:00\" = 1 }\n", "no time of the day"},
           {both + "[[stage]]\nkind = \"day\"\nto = 5\nspeed = 60\nday = { \"08:00\" = ^^1.5 }\n",
            "from 0 to 1"},
           {both + "[[stage]]\nkind = \"day\"\nto = 5\nspeed = 60\nday = { \"08:00\" = ^^7 }\n"
                   "[[stage]]\nkind = \"ramp\"\nto = 5\nduration = \"5s\"\n", "from 0 to 1"},
           {both + "[[stage]]\nkind = \"day\"\nto = 5\nspeed = ^^60\nduration = \"5s\"\n",
            "say the same"},
           {both + "[[stage]]\nkind = \"stress\"\nto = 5\nfrom = 1\nduration = \"5s\"\n"
                   "bounds = [\"p99 < 1s\", \"errors ^^~ 3\"]\n", "a comparison is expected"},
           {both + "[[stage]]\nkind = \"stress\"\nto = 5\nfrom = 1\nduration = \"5s\"\n"
                   "bounds = ^^[\"lost == 0\"]\n", "after the run only"},
           {both + "[[stage]]\nkind = \"stress\"\nto = ^^5\nfrom = 9\nduration = \"5s\"\n"
                   "bounds = [\"p99 < 1s\"]\n", "must be above from"},
           {both + "[[stage]]\nkind = \"sustained\"\nto = 5\nduration = \"5s\"\n"
                   "goal = \"acked_rate ^^fast\"\n", "a number is expected"},
           {both + "[[stage]]\nkind = \"sustained\"\nto = 5\nfrom = ^^0\nduration = \"5s\"\n"
                   "goal = \"acked_rate 10/s\"\n", "begins with some load"},
           {both + "[[stage]]\nname = \"constant\"\nkind = \"constant\"\nvary = \"rate\"\n"
                   "rate = ^^\"2\"\nusers = 1\nduration = \"1s\"\n", "must be a number"},
           {both + "[[class]]\nname = \"a2\"\nkind = \"silent\"\n^^interval = \"1s\"\n",
            "means nothing to kind \"silent\""},
           {both + "^^[[class]]\nname = \"a\"\nkind = \"silent\"\n", "another class \"a\""},
           {both + "^^[[class]]\nname = \"b\"\nkind = \"silent\"\nphone_base = 13800000001\n",
            "are those of \"a\""},
           {both + "^^[[class]]\nname = \"b\"\nkind = \"silent\"\nweight = 9\n"
                   "phone_base = 999999999999\n",
            "not so many of twelve digits"},
           {both + "^^[[class]]\nname = \"b\"\nkind = \"terminal\"\ntransport = \"tls\"\n",
            "add jt808_tls"},
           {both + "[[class]]\nname = \"b\"\nkind = \"terminal\"\nthink = ^^\"1s\"\n",
            "add in_flight"},
           {both + "[[class]]\nname = \"b\"\nkind = \"api\"\nroute = [{ path = ^^\"x\" }]\n",
            "begins with '/'"},
           {both + "[[class]]\nname = \"b\"\nkind = \"api\"\n[[class.route]]\n^^pth = \"/\"\n"
                   "path = \"/\"\n", "did you mean \"path\"?"},
           {both + "[[class]]\nname = \"b\"\nkind = \"api\"\nroute = ^^[{ path = \"/\", weight = 0 "
                   "}]\n", "no route is ever taken"},
           {both + "[[class]]\nname = \"b\"\nkind = \"terminal\"\n^^route = 5\n",
            "means nothing to kind \"terminal\""},
           {both + "[[class]]\nname = \"b\"\nkind = \"terminal\"\n^^attacks = [5]\n",
            "it belongs to hostile"},
           {both + "[[class]]\nname = \"b\"\nkind = \"hostile\"\nattacks = [\"garbage\", "
                   "^^\"garbag\"]\n", "did you mean \"garbage\"?"},
           {both + "^^[[fault]]\nat = \"1s\"\nfor = \"1s\"\nproxy = \"p\"\nrule = \"r\"\n",
            "add chaos"},
           {both + "[target]\nchaos = \"h:1\"\n[[fault]]\nat = \"1s\"\nfor = \"1s\"\n"
                   "proxy = \"p\"\nrule = \"r\"\nstage = ^^\"constant 2\"\n",
            "did you mean \"constant 1\"?"},
           {both + "[thresholds]\nall = [\"p99 < 1s\", \"^^delivery p99 < 1s\"]\n",
            "would never hold"},
           {both + "[thresholds.stage]\n^^constant = [\"p99 < 1s\"]\n", "there is no stage"},
           {both + "[thresholds.class]\na = [\"p99 < 1s\", ^^5]\n", "a condition is a text"},
           {both + "[thresholds]\nclass = ^^[\"p99 < 1s\"]\n", "is a table"},
           {both + "[thresholds]\nall = ^^5\n", "must be a list such as"},
           {"^^target = 5\n" + both, "write [target]"},
           {before + "[^^stage]\nkind = \"constant\"\n", "write [[stage]] instead of [stage]"},
           {"^^" + before, "there is no stage"},
           {both + "x = ^^= 3\n", "not valid TOML"},
           {both + "[[class]]\nname = \"b\"\nkind = \"terminal\"\nusers = ^^10000001\n",
            "between 0 and 10000000"},
       }) {
    const Marked text = marked(source);
    CAPTURE(text.text);
    const Problems problems = must_fail(text.text);
    CAPTURE(text_of(problems));
    CHECK(problems.size() == 1);
    CHECK(problems[0].line == text.line);
    CHECK(problems[0].column == text.column);
    CHECK(problems[0].message.find(part) != std::string::npos);
  }
}

TEST_CASE("what only holds of the whole is told beside other errors, where its values are known") {
  const std::string text = R"(sed = 1
[[class]]
name = "a"
kind = "terminal"
phone_base = 13900000000
interval = 10
[[class]]
name = "b"
kind = "terminal"
phone_base = 13900000001
transport = "tls"
[[stage]]
kind = "constant"
users = 8
duration = "5s"
[[fault]]
at = "1s"
for = "1s"
proxy = "p"
rule = "r"
)";
  const std::string all = text_of(must_fail(text));
  CAPTURE(all);
  CHECK(all.find("x.toml:1:1: unknown key") != std::string::npos);
  CHECK(all.find("x.toml:6:12: interval needs a unit") != std::string::npos);
  CHECK(all.find("x.toml:7:1: \"b\" has transport tls: add jt808_tls") != std::string::npos);
  CHECK(all.find("x.toml:7:1: phones of \"b\" are those of \"a\"") != std::string::npos);
  CHECK(all.find("x.toml:16:1: a fault needs ringgate-chaos") != std::string::npos);
  CHECK(must_fail(text).size() == 5);
  // Whose phones are whose is not known where the number of users is not.
  std::string unknown = text;
  unknown.replace(unknown.find("users = 8"), 9, "users = 8.5");
  const std::string some = text_of(must_fail(unknown));
  CAPTURE(some);
  CHECK(some.find("phones of") == std::string::npos);
  CHECK(some.find("add jt808_tls") != std::string::npos);
  CHECK(must_fail(unknown).size() == 5);
}

TEST_CASE("what keeps the whole file from being read says that it does") {
  const Problems problems = must_fail(
      "sed = 1\nseed = 99999999999999999999\n" + std::string(head).append(tail));
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].line == 2);
  CAPTURE(problems[0].message);
  CHECK(problems[0].message.ends_with(
      "; mend this first: nothing else of the file could be looked at"));
}

TEST_CASE("an error in front of others moves none of them") {
  const std::string wrong = "[[class]]\nname = \"a\"\nkind = \"terminl\"\ninterval = 5\n"
                            "[[stage]]\nkind = \"ramp\"\nduration = \"x\"\n[thresholds]\n"
                            "all = [\"p9 < 1\", \"erors < 1%\"]\n";
  const Problems plain = must_fail(wrong);
  const Problems moved = must_fail("sed = 1\n\n" + wrong);
  REQUIRE(moved.size() == plain.size() + 1);
  for (std::size_t i = 0; i < plain.size(); ++i) {
    CHECK(moved[i + 1].line == plain[i].line + 2);
    CHECK(moved[i + 1].column == plain[i].column);
    CHECK(moved[i + 1].message == plain[i].message);
  }
}

TEST_CASE("--set changes values by name, by number and for all; what is wrong is told of it") {
  const std::string two = std::string(small).append(
      "\n[[class]]\nname = \"b.c\"\nkind = \"api\"\nthink = \"1s\"\n\n[[stage]]\nname = \"two\"\n"
      "kind = \"ramp\"\nto = 30\nduration = \"5s\"\n");
  const auto set = [&](std::vector<std::string> sets) {
    return must_read(two, {.sets = std::move(sets)});
  };
  CHECK(set({"seed=7"}).seed == 7);
  CHECK(set({"seed=7", "seed=8"}).seed == 8);
  CHECK(set({"target.jt808=10.0.0.5:1234"}).target.jt808 == "10.0.0.5:1234");
  CHECK(set({"class.a.interval=3s"}).classes[0].interval_ns == 3 * ns_per_s);
  CHECK(set({"class.1.weight=2.5"}).classes[1].weight == 2.5);
  CHECK(set({"stage.two.to=99"}).stages[1].to == 99);
  CHECK(set({"stage.*.connect_rate=5"}).stages[0].connect_rate == 5);
  CHECK(set({"stage.*.connect_rate=5"}).stages[1].connect_rate == 5);
  CHECK(set({"thresholds.all=[\"p99 < 1s\"]"}).thresholds.all.size() == 1);
  CHECK(set({"thresholds.class.a=errors < 1%"}).thresholds.all[0].scope.class_index == 0);
  CHECK(set({"description=what a day"}).description == "what a day");
  CHECK(must_read(two, {.seed = 9, .target = "h:1"}).seed == 9);
  CHECK(must_read(two, {.seed = 9, .target = "h:1"}).target.jt808 == "h:1");
  const auto told = [&](const std::string& assignment, std::string_view name,
                        std::string_view part) {
    const Problems problems = must_fail(two, {.sets = {assignment}});
    CAPTURE(text_of(problems));
    REQUIRE(problems.size() == 1);
    CHECK(problems[0].name == "--set " + std::string(name));
    CHECK(problems[0].line == 0);
    CHECK(problems[0].message.find(part) != std::string::npos);
  };
  told("sed=1", "sed", "did you mean \"seed\"?");
  told("class.a.wieght=1", "class.a.wieght", "did you mean \"weight\"?");
  told("class.x.weight=1", "class.x.weight", "there is no class \"x\"");
  told("class.weight=1", "class.weight", "the key is missing");
  told("class=1", "class", "say which");
  told("stage.two.to=fast", "stage.two.to", "must be a number");
  told("seed", "seed", "--set key=value");
  told("seed.x=1", "seed.x", "not a table");
  told("thresholds.all=[\"p99 < 1\"]", "thresholds.all", "is measured in time");
}

TEST_CASE("pauses: drawn from where they should be, with the mean that they say, always alike") {
  const Pause between = parse_pause("1s..3s").value();
  const Pause fixed = parse_pause(" 2s ").value();
  const Pause exponential = parse_pause("~2s").value();
  double sum_between = 0;
  double sum_exponential = 0;
  constexpr int rounds = 20'000;
  for (std::uint32_t i = 0; i < rounds; ++i) {
    const std::uint64_t chance = user_seed(5, 1, i);
    const MonoNs drawn = between.draw(chance);
    CHECK(drawn >= ns_per_s);
    CHECK(drawn <= 3 * ns_per_s);
    CHECK(drawn == between.draw(chance));
    sum_between += static_cast<double>(drawn);
    const MonoNs waited = exponential.draw(chance);
    CHECK(waited >= 0);
    CHECK(waited <= 20 * ns_per_s);
    sum_exponential += static_cast<double>(waited);
    CHECK(fixed.draw(chance) == 2 * ns_per_s);
  }
  CHECK(sum_between / rounds == doctest::Approx(2e9).epsilon(0.02));
  CHECK(sum_exponential / rounds == doctest::Approx(2e9).epsilon(0.03));
  CHECK(parse_pause("0s").value().none());
  for (const char* wrong : {"", "2", "3s..1s", "1s..", "..1s", "~0s", "~", "1s...2s", "400d"}) {
    CHECK_FALSE(parse_pause(wrong).ok());
  }
  for (const char* text : {"2s", "1s..3s", "~2s", "0s", "500ms..1m"}) {
    CHECK(format_pause(parse_pause(text).value()) == text);
  }
}

TEST_CASE("users begin their chance each for himself, and again alike") {
  std::set<std::uint64_t> seen;
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    for (std::uint32_t of = 0; of < 3; ++of) {
      for (std::uint32_t user = 0; user < 1000; ++user) seen.insert(user_seed(seed, of, user));
    }
  }
  CHECK(seen.size() == 9000);
  CHECK(user_seed(1, 2, 3) == user_seed(1, 2, 3));
}

TEST_CASE("in small: the shape stays, limits on rates shrink with the load, others do not") {
  const Scenario whole = must_read(std::string(small).append(
      "\n[thresholds]\nall = [\"acked_rate > 100/s\", \"p99 < 20ms\"]\nabort_after = \"30s\"\n"));
  ReadOptions options;
  options.shorten = 0.1;
  const Scenario part = must_read(whole.text, options);
  CHECK(part.duration_ns() == whole.duration_ns() / 10);
  CHECK(part.users_max() == 1);
  CHECK(part.classes[0].interval_ns == ns_per_s);
  // A tenth of the users, ten times as often.
  CHECK(part.thresholds.all[0].condition.limit == doctest::Approx(100));
  CHECK(part.thresholds.all[0].condition.text == "acked_rate > 100/s");
  CHECK(part.thresholds.all[1].condition.limit == 20e6);
  CHECK(part.thresholds.abort_after_ns == 3 * ns_per_s);
  // A quarter of the users, and half a second is the shortest interval: half of the load.
  options.shorten = 0.25;
  const Scenario held = must_read(scenario_text("sustained").value(), options);
  CHECK(held.stages[0].goal.limit == doctest::Approx(500));
  CHECK(held.stages[0].goal.text == "acked_rate 500/s");
  for (const double wrong : {0.0, -1.0, 1.5}) {
    ReadOptions bad;
    bad.shorten = wrong;
    CHECK(must_fail(small, bad)[0].message.find("--shorten") != std::string::npos);
  }
}

TEST_CASE("the table of keys: each once, with a sentence") {
  std::set<std::pair<std::string_view, std::string_view>> seen;
  for (const ScenarioKey& key : scenario_keys()) {
    CAPTURE(key.name);
    CHECK(seen.emplace(key.table, key.name).second);
    CHECK_FALSE(key.type.empty());
    CHECK(key.doc.ends_with("."));
  }
  CHECK(seen.size() > 70);
}
