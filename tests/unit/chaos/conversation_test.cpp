// The faults of TCP, each by itself, with a clock that the test moves: neither early nor late.
#include "tools/chaos/conversation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>
#include <vector>

#include "tests/unit/chaos/rig.hpp"
#include "tools/chaos/limits.hpp"

using namespace ringgate;
using namespace ringgate::chaos;

namespace {

constexpr Direction up = Direction::up;
constexpr Direction down = Direction::down;

struct Talk {
  explicit Talk(const ArmedRules& with, std::uint64_t number = 0, MonoNs now = 0,
                std::size_t buffer_bytes = 1 << 20)
      : talk(with, number, buffer_bytes, traffic, now) {}

  void take(std::string_view text, MonoNs now, Direction direction = up) {
    talk.take(direction, now, bytes_of(text));
  }
  // All that may be written at `now`, each write in brackets.
  std::string writes(MonoNs now, Direction direction = up) {
    std::string out;
    for (;;) {
      const Bytes bytes = talk.ready(direction, now);
      if (bytes.empty()) return out;
      out += fmt::format("[{}]", text_of(bytes));
      talk.written(direction, now, bytes.size());
    }
  }
  std::size_t written_bytes(MonoNs now, Direction direction = up) {
    std::size_t sum = 0;
    for (;;) {
      const Bytes bytes = talk.ready(direction, now);
      if (bytes.empty()) return sum;
      sum += bytes.size();
      talk.written(direction, now, bytes.size());
    }
  }

  Traffic traffic;
  Conversation talk;
};

}  // namespace

TEST_CASE("without rules everything passes as it comes") {
  Talk talk({});
  CHECK(talk.talk.plain(up));
  talk.take("one", 0);
  talk.take("two", 0);
  CHECK_FALSE(talk.talk.plain(up));
  CHECK(talk.traffic.lane[0].waiting_bytes == 6);
  CHECK(talk.writes(0) == "[one][two]");
  CHECK(talk.talk.plain(up));
  CHECK(talk.traffic.lane[0].bytes == 6);
  CHECK(talk.traffic.lane[0].chunks == 2);
  CHECK(talk.traffic.lane[0].waiting_bytes == 0);
  CHECK(talk.talk.end_due(up, 0) == End::none);
  talk.talk.end(up, 0, End::fin);
  CHECK(talk.talk.end_due(up, 0) == End::fin);
  CHECK(talk.talk.end_due(up, 0) == End::none);  // once
  CHECK(talk.talk.wake_at(0, false) == Schedule::never);
  CHECK(talk.talk.may_connect(0));
}

TEST_CASE("what a slow peer has not taken goes first") {
  Talk talk({});
  talk.take("later", 0);
  talk.talk.put_back(up, 0, bytes_of("rest"));
  CHECK(talk.writes(0) == "[rest][later]");
}

TEST_CASE("bytes that wait have a bound") {
  Talk talk(rules({R"({"kind": "partition"})"}), 0, 0, 4096);
  CHECK(talk.talk.wants(up));
  const std::string chunk(1000, 'x');
  for (int i = 0; i < 4; ++i) talk.take(chunk, 0);
  CHECK_FALSE(talk.talk.wants(up));
  CHECK(talk.talk.wants(down));
}

TEST_CASE("latency: exactly so much later, in order") {
  Talk talk(rules({R"({"kind": "latency", "latency": "100ms", "direction": "up"})"}));
  talk.take("a", 10 * ms);
  talk.take("b", 20 * ms);
  CHECK(talk.talk.wake_at(20 * ms, false) == 110 * ms);
  CHECK(talk.writes(110 * ms - 1).empty());
  CHECK(talk.writes(110 * ms) == "[a]");
  CHECK(talk.talk.wake_at(110 * ms, false) == 120 * ms);
  CHECK(talk.writes(120 * ms) == "[b]");
  talk.take("back", 0, down);
  CHECK(talk.writes(0, down) == "[back]");
  // An end is not ahead of its bytes, and takes as long.
  talk.talk.end(up, 200 * ms, End::fin);
  CHECK(talk.talk.end_due(up, 300 * ms - 1) == End::none);
  CHECK(talk.talk.wake_at(200 * ms, false) == 300 * ms);
  CHECK(talk.talk.end_due(up, 300 * ms) == End::fin);
}

TEST_CASE("jitter: within its bounds and around the latency, order kept") {
  const auto delays = [](const char* rule) {
    std::vector<double> out;
    for (std::uint64_t number = 0; number < 2000; ++number) {
      Talk talk(rules({rule}), number);
      talk.take("x", 0);
      out.push_back(static_cast<double>(talk.talk.wake_at(0, false)) / ms);
    }
    return out;
  };
  const auto mean = [](const std::vector<double>& all) {
    double sum = 0;
    for (const double one : all) sum += one;
    return sum / static_cast<double>(all.size());
  };
  const auto uniform = delays(R"({"kind": "latency", "latency": "100ms", "jitter": "40ms"})");
  const auto [least, most] = std::ranges::minmax_element(uniform);
  CHECK(*least >= 60);
  CHECK(*least < 62);
  CHECK(*most <= 140);
  CHECK(*most > 138);
  CHECK(mean(uniform) == doctest::Approx(100).epsilon(0.02));
  const auto normal = delays(R"({"kind": "latency", "latency": "100ms", "jitter": "10ms",
                                 "distribution": "normal"})");
  CHECK(mean(normal) == doctest::Approx(100).epsilon(0.02));
  double squares = 0;
  for (const double one : normal) squares += (one - 100) * (one - 100);
  CHECK(std::sqrt(squares / 2000) == doctest::Approx(10).epsilon(0.05));

  Talk talk(rules({R"({"kind": "latency", "latency": "50ms", "jitter": "50ms"})"}));
  std::string expected;
  for (int i = 0; i < 100; ++i) {
    talk.take(std::to_string(i), i * ms);
    expected += fmt::format("[{}]", std::to_string(i));
  }
  std::string got;
  for (MonoNs now = 0; now < 300 * ms; now += ms) got += talk.writes(now);
  CHECK(got == expected);
}

TEST_CASE("probability: per chunk or per connection") {
  const auto rule = armed(R"({"kind": "latency", "latency": "1s", "probability": 0.25})");
  int late = 0;
  for (std::uint64_t number = 0; number < 4000; ++number) {
    Talk talk({rule}, number);
    talk.take("x", 0);
    late += talk.writes(0).empty() ? 1 : 0;
  }
  CHECK(late > 900);
  CHECK(late < 1100);
  CHECK(rule->counters.seen == 4000);
  CHECK(rule->counters.hits == static_cast<std::uint64_t>(late));

  const auto connection =
      armed(R"({"kind": "latency", "latency": "1s", "probability": 0.5, "per": "connection"})");
  int all_late = 0;
  for (std::uint64_t number = 0; number < 400; ++number) {
    Talk talk({connection}, number);
    std::string at_once;
    for (int i = 0; i < 5; ++i) {
      talk.take("x", 0);
      at_once += talk.writes(0);
    }
    CHECK((at_once.empty() || at_once == "[x][x][x][x][x]"));
    all_late += at_once.empty() ? 1 : 0;
  }
  CHECK(all_late > 160);
  CHECK(all_late < 240);
  CHECK(connection->counters.seen == 400);
}

TEST_CASE("the same seed draws the same, another does not") {
  const auto run = [](std::uint64_t seed) {
    Talk talk({armed(R"({"kind": "latency", "latency": "50ms", "jitter": "50ms"})", 0, seed)}, 3);
    std::vector<MonoNs> due;
    for (int i = 0; i < 50; ++i) {
      talk.take("x", i * 1000 * ms);
      due.push_back(talk.talk.wake_at(i * 1000 * ms, false));
      talk.writes((i + 1) * 1000 * ms - 1);
    }
    return due;
  };
  CHECK(run(7) == run(7));
  CHECK(run(7) != run(8));
}

TEST_CASE("bandwidth: no faster than the line, and as fast") {
  Talk talk(rules({R"({"kind": "bandwidth", "rate": "100kB/s"})"}));
  talk.take(std::string(50'000, 'x'), 0);
  std::size_t sum = 0;
  MonoNs now = 0;
  while (sum < 50'000) {
    sum += talk.written_bytes(now);
    // A step ahead at most, and never more than two behind.
    CHECK(static_cast<double>(sum) <= 100'000.0 * static_cast<double>(now) / 1e9 + 1000);
    CHECK(static_cast<double>(sum) >= 100'000.0 * static_cast<double>(now) / 1e9 - 2000);
    const MonoNs next = talk.talk.wake_at(now, false);
    if (sum < 50'000) {
      REQUIRE(next > now);
      REQUIRE(next <= now + 20 * ms);
      now = next;
    }
  }
  CHECK(now >= 480 * ms);
  CHECK(now <= 510 * ms);
}

TEST_CASE("a slow line with large chunks pauses who sends") {
  Talk talk(rules({R"({"kind": "bandwidth", "rate": 1000})"}), 0, 0, 8192);
  talk.take(std::string(16384, 'x'), 0);
  CHECK_FALSE(talk.talk.wants(up));
}

TEST_CASE("loss: a stall as of a retransmission, twice as long each time that is lost too") {
  const auto rule = armed(R"({"kind": "loss", "probability": 0.5, "stall": "200ms"})");
  std::array<int, 8> stalls{};
  for (std::uint64_t number = 0; number < 4000; ++number) {
    Talk talk({rule}, number);
    talk.take("x", 0);
    const MonoNs at = talk.talk.wake_at(0, false);
    // 0, 200, 600, 1400 ...
    const MonoNs stall = at == Schedule::never ? 0 : at;
    const auto lost = std::bit_width(static_cast<std::uint64_t>(stall / (200 * ms)));
    REQUIRE(stall == 200 * ms * ((MonoNs{1} << lost) - 1));
    ++stalls[static_cast<std::size_t>(lost)];
    CHECK(talk.writes(stall) == "[x]");  // nothing is lost
  }
  CHECK(stalls[0] > 1850);
  CHECK(stalls[0] < 2150);
  CHECK(stalls[1] > 900);
  CHECK(stalls[1] < 1100);
  CHECK(stalls[6] > 20);
  CHECK(stalls[7] == 0);
}

TEST_CASE("corrupt: a share of bytes, the same however they are cut") {
  const auto run = [](std::size_t chunk, const char* json) {
    const auto rule = armed(json);
    Talk talk({rule});
    const std::string sent(100'000, '\0');
    std::string got;
    for (std::size_t at = 0; at < sent.size(); at += chunk) {
      talk.take(std::string_view(sent).substr(at, chunk), 0);
      while (!talk.talk.ready(up, 0).empty()) {
        const Bytes bytes = talk.talk.ready(up, 0);
        got += text_of(bytes);
        talk.talk.written(up, 0, bytes.size());
      }
    }
    CHECK(got.size() == sent.size());
    CHECK(rule->counters.hits ==
          static_cast<std::uint64_t>(std::ranges::count_if(got, [](char c) { return c != 0; })));
    return got;
  };
  const char* rule = R"({"kind": "corrupt", "probability": 0.01})";
  const std::string whole = run(100'000, rule);
  const auto changed = std::ranges::count_if(whole, [](char c) { return c != 0; });
  CHECK(changed > 900);
  CHECK(changed < 1100);
  for (const char c : whole) {
    CHECK(std::popcount(static_cast<unsigned char>(c)) <= 1);  // one bit each
  }
  CHECK(run(1, rule) == whole);
  CHECK(run(777, rule) == whole);
  const std::string bits = run(4096, R"({"kind": "corrupt", "probability": 0.01, "bits": 129})");
  CHECK(std::ranges::all_of(bits, [](char c) { return c == 0 || c == '\x81'; }));
  const std::string all = run(100, R"({"kind": "corrupt", "bits": 255})");
  CHECK(std::ranges::all_of(all, [](char c) { return c == '\xff'; }));
  const std::string none = run(100, R"({"kind": "corrupt", "probability": 0})");
  CHECK(std::ranges::all_of(none, [](char c) { return c == 0; }));
  const std::string chunks = run(1000, R"({"kind": "corrupt", "per": "chunk"})");
  for (std::size_t at = 0; at < chunks.size(); at += 1000) {
    CHECK(std::ranges::count_if(chunks.substr(at, 1000), [](char c) { return c != 0; }) == 1);
  }
}

TEST_CASE("slice: at most so many bytes a write, and a pause between two") {
  Talk talk(rules({R"({"kind": "slice", "size": 4, "pause": "10ms"})"}));
  talk.take("0123456789", 0);
  CHECK(talk.writes(0) == "[0123]");
  CHECK(talk.writes(10 * ms - 1).empty());
  CHECK(talk.talk.wake_at(1, false) == 10 * ms);
  CHECK(talk.writes(10 * ms) == "[4567]");
  CHECK(talk.writes(20 * ms) == "[89]");
  Talk hasty(rules({R"({"kind": "slice", "size": 3})"}));
  hasty.take("0123456789", 0);
  CHECK(hasty.writes(0) == "[012][345][678][9]");
}

TEST_CASE("reset: after so many bytes, no more") {
  const auto rule = armed(R"({"kind": "reset", "after_bytes": 10, "to": "client"})");
  Talk talk({rule});
  talk.take("01234", 0);
  CHECK(talk.writes(0) == "[01234]");
  CHECK(talk.talk.verdict(0).what == Verdict::What::go_on);
  talk.take("56", 0, down);  // both directions count
  CHECK(talk.writes(0, down) == "[56]");
  talk.take("789abc", 0);
  CHECK(talk.writes(0) == "[789]");
  const Verdict verdict = talk.talk.verdict(0);
  CHECK(verdict.what == Verdict::What::reset);
  CHECK(verdict.peer == Peer::client);
  CHECK(talk.talk.verdict(0).what == Verdict::What::go_on);  // it is said once
  CHECK(rule->counters.hits == 1);
  CHECK(rule->counters.bytes == 10);
}

TEST_CASE("reset: after a time, of the connection or of the rule's window, and at once") {
  const auto rule = armed(R"({"kind": "reset", "after": "5s", "from": "10s", "for": "1m"})");
  Talk early({rule});
  CHECK(early.talk.wake_at(0, false) == 10'000 * ms);
  CHECK(early.talk.verdict(14'999 * ms).what == Verdict::What::go_on);
  CHECK(early.talk.wake_at(10'000 * ms, false) == 15'000 * ms);
  CHECK(early.talk.verdict(15'000 * ms).what == Verdict::What::reset);
  Talk late({rule}, 1, 20'000 * ms);
  CHECK(late.talk.verdict(24'999 * ms).what == Verdict::What::go_on);
  CHECK(late.talk.verdict(25'000 * ms).what == Verdict::What::reset);
  Talk over({rule}, 2, 80'000 * ms);
  CHECK(over.talk.verdict(90'000 * ms).what == Verdict::What::go_on);
  CHECK(over.talk.wake_at(80'000 * ms, false) == Schedule::never);

  Talk stands({});
  stands.take("x", 0);
  stands.writes(0);
  stands.talk.adopt(rules({R"({"kind": "reset"})"}), ms);
  CHECK(stands.talk.verdict(ms).what == Verdict::What::reset);
}

TEST_CASE("every window draws anew") {
  const auto rule = armed(R"({"kind": "reset", "probability": 0.5, "for": "1s", "every": "2s"})");
  int first = 0, second = 0;
  for (std::uint64_t number = 0; number < 1000; ++number) {
    Talk talk({rule}, number);
    if (talk.talk.verdict(0).what == Verdict::What::reset) {
      ++first;
    } else {
      CHECK(talk.talk.verdict(1500 * ms).what == Verdict::What::go_on);
      second += talk.talk.verdict(2000 * ms).what == Verdict::What::reset ? 1 : 0;
    }
  }
  CHECK(first > 440);
  CHECK(first < 560);
  CHECK(second > 190);
  CHECK(second < 310);
}

TEST_CASE("half-open and limit are verdicts, too") {
  Talk half(rules({R"({"kind": "half_open", "after_bytes": 4, "gone": "server"})"}));
  half.take("012345", 0);
  CHECK(half.writes(0) == "[0123]");
  const Verdict verdict = half.talk.verdict(0);
  CHECK(verdict.what == Verdict::What::half_open);
  CHECK(verdict.peer == Peer::server);
  Talk limit(rules({R"({"kind": "limit", "bytes": 4, "direction": "down"})"}));
  limit.take("0123456789", 0);
  CHECK(limit.writes(0) == "[0123456789]");  // the other direction
  limit.take("0123456789", 0, down);
  CHECK(limit.writes(0, down) == "[0123]");
  CHECK(limit.talk.verdict(0).what == Verdict::What::close);
}

TEST_CASE("slow close: bytes at once, their end later") {
  Talk talk(rules({R"({"kind": "slow_close", "delay": "3s", "direction": "down"})"}));
  talk.take("x", 0, down);
  talk.talk.end(down, 0, End::fin);
  CHECK(talk.writes(0, down) == "[x]");
  CHECK(talk.talk.end_due(down, 3000 * ms - 1) == End::none);
  CHECK(talk.talk.wake_at(0, false) == 3000 * ms);
  CHECK(talk.talk.end_due(down, 3000 * ms) == End::fin);
  talk.talk.end(up, 0, End::reset);
  CHECK(talk.talk.end_due(up, 0) == End::reset);
}

TEST_CASE("partition: nothing passes, then all of it") {
  Talk talk(rules({R"({"kind": "partition", "from": "1s", "for": "2s"})"}));
  talk.take("before", 0);
  CHECK(talk.writes(0) == "[before]");
  talk.take("during", 1500 * ms);
  talk.take("back", 1500 * ms, down);
  talk.talk.end(up, 1600 * ms, End::fin);
  CHECK(talk.writes(2999 * ms).empty());
  CHECK(talk.writes(2999 * ms, down).empty());
  CHECK(talk.talk.end_due(up, 2999 * ms) == End::none);
  CHECK_FALSE(talk.talk.may_connect(2999 * ms));
  CHECK(talk.talk.wake_at(1500 * ms, true) == 3000 * ms);
  CHECK(talk.talk.may_connect(3000 * ms));
  CHECK(talk.writes(3000 * ms) == "[during]");
  CHECK(talk.writes(3000 * ms, down) == "[back]");
  CHECK(talk.talk.end_due(up, 3000 * ms) == End::fin);
}

TEST_CASE("blackhole: what is swallowed leaves no stream behind it") {
  const auto rule = armed(R"({"kind": "blackhole", "direction": "up", "for": "1s"})");
  Talk talk({rule});
  CHECK_FALSE(talk.talk.may_connect(0));
  talk.take("gone", 0);
  talk.take("back", 0, down);
  CHECK(talk.writes(0).empty());
  CHECK(talk.writes(0, down) == "[back]");
  talk.take("also gone", 5000 * ms);
  CHECK(talk.writes(5000 * ms).empty());
  CHECK_FALSE(talk.talk.ended(up));
  talk.talk.end(up, 5000 * ms, End::fin);
  CHECK(talk.talk.ended(up));
  CHECK(talk.talk.end_due(up, 9000 * ms) == End::none);
  Talk later({rule}, 1, 2000 * ms);
  later.take("passes", 2000 * ms);
  CHECK(later.talk.may_connect(2000 * ms));
  CHECK(later.writes(2000 * ms) == "[passes]");
}

TEST_CASE("refuse: a share of connections may not begin") {
  const auto rule = armed(R"({"kind": "refuse", "probability": 0.3})");
  int refused = 0;
  for (std::uint64_t number = 0; number < 2000; ++number) {
    refused += Talk({rule}, number).talk.refused() ? 1 : 0;
  }
  CHECK(refused > 530);
  CHECK(refused < 670);
  CHECK(rule->counters.hits == static_cast<std::uint64_t>(refused));
}

TEST_CASE("a rule that goes lets pass what it held; one that stays goes on") {
  const auto slow = armed(R"({"kind": "latency", "latency": "1h"})");
  const auto reset = armed(R"({"kind": "reset", "after_bytes": 8})");
  Talk talk({slow, reset});
  talk.take("0123", 0);
  talk.talk.end(down, 0, End::fin);
  CHECK(talk.writes(1000 * ms).empty());
  talk.talk.adopt({reset}, 1000 * ms);
  CHECK(talk.writes(1000 * ms) == "[0123]");
  CHECK(talk.talk.end_due(down, 1000 * ms) == End::fin);
  talk.take("456789", 1000 * ms);
  CHECK(talk.writes(1000 * ms) == "[4567]");  // counted since the beginning
  CHECK(talk.talk.verdict(1000 * ms).what == Verdict::What::reset);
  CHECK(reset->counters.connections == 1);
}

TEST_CASE("what waits when a connection ends waits no more") {
  Traffic traffic;
  {
    Conversation talk(rules({R"({"kind": "partition"})"}), 0, 1 << 20, traffic, 0);
    talk.take(up, 0, bytes_of("0123"));
    CHECK(traffic.lane[0].waiting_bytes == 4);
  }
  CHECK(traffic.lane[0].waiting_bytes == 0);
}

TEST_CASE("a rule that rests does nothing") {
  Talk talk(rules({R"({"kind": "reset", "enabled": false})", R"({"kind": "partition",
                   "enabled": false})"}));
  talk.take("x", 0);
  CHECK(talk.writes(0) == "[x]");
  CHECK(talk.talk.verdict(0).what == Verdict::What::go_on);
  CHECK(talk.talk.wake_at(0, true) == Schedule::never);
}
