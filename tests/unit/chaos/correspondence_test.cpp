// The faults of UDP, each by itself, with a clock that the test moves.
#include "tools/chaos/correspondence.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "tests/unit/chaos/rig.hpp"

using namespace ringgate;
using namespace ringgate::chaos;

namespace {

constexpr Direction up = Direction::up;

struct Mail {
  explicit Mail(const ArmedRules& with, std::uint64_t number = 0, std::size_t buffer = 1 << 20)
      : mail(with, number, buffer, traffic, 0) {}
  void take(std::string_view text, MonoNs now) { mail.take(up, now, bytes_of(text)); }
  std::string sends(MonoNs now) {
    std::string out;
    std::vector<std::uint8_t> datagram;
    while (mail.next(up, now, datagram)) out += fmt::format("[{}]", text_of(datagram));
    return out;
  }
  Traffic traffic;
  Correspondence mail;
};

}  // namespace

TEST_CASE("datagrams pass as they come") {
  Mail mail({});
  CHECK(mail.mail.plain(up));
  mail.take("a", 0);
  mail.take("", 0);
  mail.take("b", 0);
  CHECK(mail.sends(0) == "[a][][b]");
  CHECK(mail.traffic.lane[0].bytes == 2);
  CHECK(mail.mail.wake_at() == Schedule::never);
}

TEST_CASE("loss: a share is gone and counted; the same seed loses the same") {
  const auto run = [](std::uint64_t seed) {
    const auto rule = armed(R"({"kind": "loss", "probability": 0.2})", 0, seed);
    Mail mail({rule});
    std::string got;
    for (int i = 0; i < 2000; ++i) {
      mail.take(std::to_string(i), 0);
      got += mail.sends(0);
    }
    CHECK(rule->counters.hits == mail.traffic.lane[0].dropped);
    CHECK(rule->counters.hits > 330);
    CHECK(rule->counters.hits < 470);
    return got;
  };
  CHECK(run(1) == run(1));
  CHECK(run(1) != run(2));
}

TEST_CASE("latency: exactly; with jitter datagrams overtake each other") {
  Mail exact(rules({R"({"kind": "latency", "latency": "100ms"})"}));
  exact.take("a", 0);
  CHECK(exact.mail.wake_at() == 100 * ms);
  CHECK(exact.sends(100 * ms - 1).empty());
  CHECK(exact.sends(100 * ms) == "[a]");
  Mail loose(rules({R"({"kind": "latency", "latency": "100ms", "jitter": "100ms"})"}));
  std::string expected;
  for (int i = 0; i < 20; ++i) {
    loose.take(std::to_string(i), i * ms);
    expected += fmt::format("[{}]", std::to_string(i));
  }
  std::string got;
  for (MonoNs now = 0; now <= 220 * ms; now += ms) got += loose.sends(now);
  CHECK(got.size() == expected.size());
  CHECK(got != expected);
}

TEST_CASE("duplicate: so many times more") {
  Mail mail(rules({R"({"kind": "duplicate", "copies": 2})"}));
  mail.take("a", 0);
  mail.take("b", 0);
  CHECK(mail.sends(0) == "[a][a][a][b][b][b]");
  const auto rule = armed(R"({"kind": "duplicate", "probability": 0.5})");
  Mail some({rule});
  for (int i = 0; i < 1000; ++i) some.take("x", 0);
  CHECK(some.sends(0).size() == 3 * (1000 + rule->counters.hits));
  CHECK(rule->counters.hits > 430);
  CHECK(rule->counters.hits < 570);
}

TEST_CASE("reorder: others go first, or the time is up") {
  // The rule's draws are looked for that hold the first of three only.
  std::uint64_t number = 0;
  for (;; ++number) {
    REQUIRE(number < 1000);
    const auto rule = armed(R"({"kind": "reorder", "probability": 0.5, "gap": 2})");
    Mail mail({rule}, number);
    mail.take("a", 0);
    const bool first = rule->counters.hits == 1;
    mail.take("b", 0);
    mail.take("c", 0);
    if (!first || rule->counters.hits != 1) continue;
    CHECK(mail.sends(0) == "[b][c][a]");
    break;
  }
  Mail alone(rules({R"({"kind": "reorder", "hold": "50ms"})"}));
  alone.take("a", 0);
  CHECK(alone.sends(50 * ms - 1).empty());
  CHECK(alone.mail.wake_at() == 50 * ms);
  CHECK(alone.sends(50 * ms) == "[a]");
}

TEST_CASE("corrupt: the copy changes") {
  Mail mail(rules({R"({"kind": "corrupt", "per": "chunk", "bits": 1})"}));
  mail.take("aaaa", 0);
  const std::string got = mail.sends(0);
  REQUIRE(got.size() == 6);
  CHECK(std::count(got.begin(), got.end(), '`') == 1);
}

TEST_CASE("bandwidth: later, and what does not fit is dropped") {
  Mail mail(rules({R"({"kind": "bandwidth", "rate": "1000B/s"})"}), 0, 1000);
  const std::string datagram(100, 'x');
  for (int i = 0; i < 10; ++i) mail.take(datagram, 1000 * ms);
  CHECK(mail.traffic.lane[0].dropped == 4);  // 164 bytes each with what keeping it costs
  CHECK(mail.sends(1000 * ms).size() == 102);
  CHECK(mail.mail.wake_at() == 1090 * ms);  // a step of 10 ms may be made good
  CHECK(mail.sends(1090 * ms).size() == 102);
  CHECK(mail.sends(1100 * ms).empty());
  std::size_t sum = 2;
  for (MonoNs now = 1100 * ms; now < 3000 * ms; now += ms) sum += mail.sends(now).size() / 102;
  CHECK(sum == 6);
  CHECK(mail.traffic.lane[0].waiting_bytes == 0);
}

TEST_CASE("partition and blackhole: gone, in their window") {
  for (const char* kind : {"partition", "blackhole"}) {
    const std::string text =
        fmt::format(R"({{"kind": "{}", "from": "1s", "for": "1s"}})", kind);
    Mail mail(rules({text}));
    mail.take("a", 0);
    mail.take("b", 1500 * ms);
    mail.take("c", 2000 * ms);
    CHECK(mail.sends(2000 * ms) == "[a][c]");
    CHECK(mail.traffic.lane[0].dropped == 1);
  }
}

TEST_CASE("a rule of datagrams that goes lets pass what it held") {
  Mail mail(rules({R"({"kind": "latency", "latency": "1h"})", R"({"kind": "reorder",
                   "probability": 0})"}));
  mail.take("a", 0);
  CHECK(mail.sends(1000 * ms).empty());
  mail.mail.adopt({}, 1000 * ms);
  CHECK(mail.sends(1000 * ms) == "[a]");
}
