// Plans: what is read, what is refused and where, and that what is written is read again.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <string>

#include "tools/chaos/plan.hpp"

using namespace ringgate;
using namespace ringgate::chaos;

namespace {

std::string told(const Problems& problems) {
  std::string out;
  for (const Problem& one : problems) {
    out += fmt::format("{}:{}: {}\n", one.line, one.column, one.message);
  }
  return out;
}

std::string json_of(const auto& value) {
  std::string out;
  JsonWriter json(out);
  write(json, value);
  return out;
}

std::string refused(std::string_view json, Transport transport = Transport::both) {
  const auto rule = read_rule(json, transport);
  REQUIRE(!rule.ok());
  std::string out;
  for (const Problem& one : rule.error()) {
    out += fmt::format("{}{}{}\n", one.pointer, one.pointer.empty() ? "" : ": ", one.message);
  }
  return out;
}

}  // namespace

TEST_CASE("a plan of every kind") {
  const auto plan = read_plan(R"(
seed = 7
[control]
listen = ""
hosts = ["test.example"]
[proxies.terminals]
listen = "127.0.0.1:7908"
target = "[::1]:7808"
transport = "both"
buffer = "64KiB"
rules.a = {kind = "latency", latency = "100ms", jitter = "20ms", distribution = "normal"}
rules.b = {kind = "bandwidth", rate = "64KiB/s", direction = "down"}
rules.c = {kind = "loss", probability = 0.25, stall = "1s", seed = 5}
rules.d = {kind = "duplicate", copies = 2}
rules.e = {kind = "reorder", gap = 3, hold = "1s"}
rules.f = {kind = "corrupt", per = "chunk", bits = 128}
rules.g = {kind = "slice", size = 7, pause = "1ms"}
rules.h = {kind = "reset", after_bytes = 100, after = "5s", to = "client"}
rules.i = {kind = "half_open", gone = "server"}
rules.j = {kind = "slow_close", delay = "5s"}
rules.k = {kind = "partition", from = "10s", for = "2s", every = "1m", since = "start"}
rules.l = {kind = "blackhole", mode = "connect"}
rules.m = {kind = "refuse", enabled = false}
rules.n = {kind = "limit", bytes = "4KiB"}
)");
  REQUIRE(plan.ok());
  CHECK(plan->seed == 7);
  CHECK(plan->control.listen.empty());
  CHECK(plan->control.hosts == std::vector<std::string>{"test.example"});
  REQUIRE(plan->proxies.size() == 1);
  const ProxyPlan& proxy = plan->proxies[0];
  REQUIRE(proxy.rules.size() == static_cast<std::size_t>(Kind::count));
  for (std::size_t i = 0; i < proxy.rules.size(); ++i) {
    CHECK(proxy.rules[i].rule.kind == static_cast<Kind>(i));
  }
  const auto rule = [&](Kind kind) -> const Rule& {
    return proxy.rules[static_cast<std::size_t>(kind)].rule;
  };
  CHECK(rule(Kind::latency).delay_ns == 100 * ns_per_ms);
  CHECK(rule(Kind::latency).distribution == Distribution::normal);
  CHECK(rule(Kind::latency).per == Per::chunk);
  CHECK(rule(Kind::bandwidth).rate == 64 * 1024);
  CHECK(rule(Kind::loss).seed == 5);
  CHECK(rule(Kind::corrupt).per == Per::chunk);
  CHECK(rule(Kind::reset).after_bytes == 100);
  CHECK(rule(Kind::reset).after_ns == 5 * ns_per_s);
  CHECK(rule(Kind::half_open).peer == Peer::server);
  CHECK(rule(Kind::partition).schedule.since == Since::start);
  CHECK_FALSE(rule(Kind::refuse).enabled);
  // What is written is read again, and says the same.
  const std::string text = json_of(proxy);
  const auto again = read_proxy(text, "terminals");
  REQUIRE_MESSAGE(again.ok(), told(again.error()));
  CHECK(json_of(*again) == text);
}

TEST_CASE("all mistakes of a plan at once, each at its place") {
  const auto plan = read_plan(R"(seed = "x"
[control]
listn = "127.0.0.1:8474"
[proxies.a]
listen = "127.0.0.1:7908"
target = "127.0.0.1:7808"
[proxies.a.rules.slow]
kind = "latency"
jiter = "2ms"
probability = 2
[proxies.b]
listen = "127.0.0.1:7908"
target = "localhost"
transport = "tpc"
[proxies.b.rules.x]
kind = "latncy"
[proxies.b.rules.y]
kind = "duplicate"
[proxies.b.rules.z]
kind = "bandwidth"
rate = "5 parsec/s"
for = 5
[proxy.c]
)");
  REQUIRE(!plan.ok());
  CHECK(told(plan.error()) ==
        "1:8: seed must be a whole number, not the text \"x\"\n"
        "3:1: control has no \"listn\"; did you mean \"listen\"?\n"
        "7:18: latency is missing; write for example latency = \"100ms\"\n"
        "9:1: a rule of kind \"latency\" has no \"jiter\"; did you mean \"jitter\"?\n"
        "10:15: probability must be between 0 and 1, not the integer 2\n"
        "11:10: another proxy listens on 127.0.0.1:7908\n"
        "13:10: target must be an address and a port, such as \"127.0.0.1:7808\" or "
        "\"[::1]:7808\", not \"localhost\"\n"
        "14:13: transport: there is no \"tpc\"; did you mean \"tcp\"?\n"
        "16:8: kind: there is no \"latncy\"; did you mean \"latency\"?\n"
        "18:8: duplicate needs datagrams: a byte stream has none; set the proxy's transport to "
        "\"udp\" or \"both\"\n"
        "21:8: rate \"5 parsec/s\": the unit must be B, KiB, MiB, GiB, TiB, kB, MB, GB or TB\n"
        "22:7: for needs a unit: write \"5s\" or \"5ms\", not 5\n"
        "23:2: a plan has no \"proxy\"\n");
}

TEST_CASE("what is no TOML has its place, too") {
  const auto plan = read_plan("seed = 1\n[proxies.a\n");
  REQUIRE(!plan.ok());
  REQUIRE(plan.error().size() == 1);
  CHECK(plan.error()[0].line == 2);
  CHECK(plan.error()[0].message.starts_with("not valid TOML"));
}

TEST_CASE("rules that can't be") {
  CHECK(refused(R"({"kind": "duplicate"})", Transport::tcp).starts_with("/kind: duplicate needs"));
  CHECK(refused(R"({"kind": "slice", "size": 1})", Transport::udp)
            .starts_with("/kind: slice needs TCP"));
  CHECK(refused(R"({"kind": "loss", "per": "byte"})") == "/per: of loss must be \"chunk\"\n");
  CHECK(refused(R"({"kind": "corrupt", "per": "connection"})") ==
        "/per: of corrupt must be \"byte\" or \"chunk\"\n");
  CHECK(refused(R"({"kind": "partition", "every": "5s"})") ==
        "/every: every needs for: how long each time\n");
  CHECK(refused(R"({"kind": "partition", "every": "5s", "for": "6s"})") ==
        "/for: for is longer than every: the rule would never rest\n");
  CHECK(refused(R"({"kind": "blackhole", "mode": "connect", "probability": 0.5})")
            .starts_with("/probability: connects are unanswered for everybody"));
  CHECK(refused(R"({"kind": "slice"})") == "size is missing; write for example size = 16\n");
  CHECK(refused(R"({"kind": "slice", "size": 0})") ==
        "/size: size must be between 1B and 1024TiB, not 0B\n");
  CHECK(refused(R"({"kind": "partition", "rate": "1B"})") ==
        "/rate: a rule of kind \"partition\" has no \"rate\"\n");
  CHECK(refused(R"({"kind": "half_open", "gone": "both"})") ==
        "/gone: gone must be one of \"client\", \"server\", not the text \"both\"\n");
  CHECK(refused("{}") == "kind is missing; write for example kind = \"latency\"\n");
}

TEST_CASE("what is no JSON of ours") {
  CHECK(refused("{") == "not valid JSON\n");
  CHECK(refused("[]") == "must be an object: { \"name\": value, ... }\n");
  CHECK(refused("") == "not valid JSON\n");
  CHECK(refused(R"({"kind": "reset", "kind": "limit"})") == "\"kind\" stands twice\n");
  CHECK(refused(R"({"kind": null})") == "null has no meaning here: leave the name out\n");
  CHECK(refused(std::string(100, '[')) == "nested too deep\n");
  const auto rule = read_rule("{\"kind\":\n \"latency\",\n,}", Transport::tcp);
  REQUIRE(!rule.ok());
  CHECK(rule.error()[0].line == 3);
  CHECK(rule.error()[0].column == 1);
}

TEST_CASE("names") {
  for (const char* good : {"a", "far-away_2", "Z"}) CHECK(check_name(good).ok());
  for (const char* bad : {"", "a.b", "a/b", "ä", "a b"}) CHECK_FALSE(check_name(bad).ok());
  CHECK_FALSE(check_name(std::string(65, 'a')).ok());
  CHECK(!read_plan("[proxies.\"a b\"]\nlisten = \":1\"\ntarget = \"127.0.0.1:2\"\n").ok());
}

TEST_CASE("a schedule's windows") {
  const Schedule always;
  CHECK(always.window(0) == 0);
  CHECK(always.next_change(0) == Schedule::never);
  const Schedule once{.from_ns = 10, .for_ns = 5};
  CHECK(once.window(9) == Schedule::no_window);
  CHECK(once.window(10) == 0);
  CHECK(once.window(14) == 0);
  CHECK(once.window(15) == Schedule::no_window);
  CHECK(once.next_change(0) == 10);
  CHECK(once.next_change(10) == 15);
  CHECK(once.next_change(15) == Schedule::never);
  const Schedule again{.from_ns = 10, .for_ns = 5, .every_ns = 20};
  CHECK(again.window(9) == Schedule::no_window);
  CHECK(again.window(34) == 1);
  CHECK(again.window(35) == Schedule::no_window);
  CHECK(again.next_change(12) == 15);
  CHECK(again.next_change(15) == 30);
  CHECK(again.next_change(30) == 35);
  CHECK(again.begin_of(2) == 50);
  const Schedule late{.from_ns = 10};
  CHECK(late.window(10) == 0);
  CHECK(late.next_change(3) == 10);
  CHECK(late.next_change(10) == Schedule::never);
}
