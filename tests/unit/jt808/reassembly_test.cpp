// Messages in parts: order, repetition, mixture, bounds, and what is asked for. Without a session.
#include "protocols/jt808/reassembly.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>

#include "protocols/jt808/codec/writer.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::jt808;

struct Rig final : Reassembly::Listener {
  explicit Rig(const ReassemblyOptions& with = {}) : options(with) {}
  void on_given_up(const Reassembly::Message& message, GiveUp why) override {
    given_up.emplace_back(message.first_serial, why);
  }
  PartVerdict take(std::uint16_t first, std::uint16_t total, std::uint16_t number,
                   std::string_view body, device::DeviceSlot device = 1,
                   std::uint16_t id = 0x0801) {
    return parts.take(device, header(first, total, number, id), as_bytes(body), now);
  }
  static Header header(std::uint16_t first, std::uint16_t total, std::uint16_t number,
                       std::uint16_t id = 0x0801) {
    FrameWriter writer(make_peer(Version::v2013, "13800138000"), id,
                       static_cast<std::uint16_t>(first + number - 1), total, number);
    Header out{};
    REQUIRE(parse_header(writer.unescaped(), out) == BadReason::none);
    return out;
  }
  std::string whole(std::uint16_t first, std::uint16_t total, device::DeviceSlot device = 1,
                    std::uint16_t id = 0x0801) {
    const auto out = parts.take_whole(device, header(first, total, 1, id), 2, now);
    CHECK(out[0] == 0);
    return std::string(out.begin() + 2, out.end());
  }
  // What is asked for at `now`: first serial and missing part numbers.
  std::map<std::uint16_t, std::vector<std::uint16_t>> asked() {
    std::map<std::uint16_t, std::vector<std::uint16_t>> out;
    parts.expire(now, [&](const Reassembly::Message& message) {
      out[message.first_serial] = message.missing(255);
    });
    return out;
  }

  ReassemblyOptions options;
  flow::Budget budget{0};
  Reassembly parts{budget, *this, options};
  MonoNs now = 1000;
  std::vector<std::pair<std::uint16_t, GiveUp>> given_up;
};

TEST_CASE("parts in any order, twice and mixed with others become whole, once") {
  Rig rig;
  CHECK(rig.take(65'535, 3, 3, "CC") == PartVerdict::kept);  // the serial comes round
  CHECK(rig.take(7, 2, 1, "xx") == PartVerdict::kept);
  CHECK(rig.take(65'535, 3, 1, "A", 1, 0x0704) == PartVerdict::kept);  // another message
  CHECK(rig.take(65'535, 3, 1, "A", 2) == PartVerdict::kept);          // another device
  CHECK(rig.take(65'535, 3, 1, "A") == PartVerdict::kept);
  CHECK(rig.take(65'535, 3, 3, "CC") == PartVerdict::duplicate);
  const Header last = Rig::header(65'535, 3, 2);
  CHECK(rig.parts.would_complete(1, last, as_bytes("BBB")) == 6);
  CHECK(!rig.parts.would_complete(2, last, as_bytes("BBB")).has_value());
  CHECK(!rig.parts.would_complete(1, Rig::header(7, 2, 1), as_bytes("xx")).has_value());
  CHECK(rig.take(65'535, 3, 2, "BBB") == PartVerdict::complete);
  CHECK(rig.whole(65'535, 3) == "ABBBCC");
  CHECK(rig.take(7, 2, 2, "") == PartVerdict::complete);  // an empty part is one
  CHECK(rig.whole(7, 2) == "xx");
  // What comes again is known and changes nothing.
  CHECK(rig.take(65'535, 3, 2, "BBB") == PartVerdict::duplicate);
  CHECK(rig.parts.incomplete_count() == 2);
  CHECK(rig.given_up.empty());
}

TEST_CASE("a part that says another total or encryption is a mismatch and leaves the rest alone") {
  Rig rig;
  CHECK(rig.take(7, 3, 1, "A") == PartVerdict::kept);
  CHECK(rig.take(7, 4, 2, "B") == PartVerdict::mismatch);
  Header encrypted = Rig::header(7, 3, 2);
  encrypted.attributes |= 1U << 10;
  CHECK(rig.parts.take(1, encrypted, as_bytes("B"), rig.now) == PartVerdict::mismatch);
  CHECK(rig.take(7, 3, 2, "B") == PartVerdict::kept);
  CHECK(rig.take(7, 3, 3, "C") == PartVerdict::complete);
  CHECK(rig.whole(7, 3) == "ABC");
  CHECK(rig.take(7, 2, 2, "B") == PartVerdict::mismatch);
}

TEST_CASE("a terminal that starts anew with the same serials begins another message") {
  Rig rig;
  CHECK(rig.take(0, 2, 1, "old") == PartVerdict::kept);
  CHECK(rig.take(0, 3, 1, "new") == PartVerdict::kept);
  REQUIRE(rig.given_up.size() == 1);
  CHECK(rig.given_up[0].second == GiveUp::replaced);
  CHECK(rig.take(0, 3, 2, "er") == PartVerdict::kept);
  CHECK(rig.take(0, 3, 3, "!") == PartVerdict::complete);
  CHECK(rig.whole(0, 3) == "newer!");
  CHECK(rig.take(0, 2, 1, "third") == PartVerdict::kept);  // of the complete one nothing is lost
  CHECK(rig.take(0, 2, 2, ".") == PartVerdict::complete);
  CHECK(rig.whole(0, 2) == "third.");
  CHECK(rig.given_up.size() == 1);
}

TEST_CASE("missing parts are asked for after each time-out without a new part, then given up") {
  Rig rig({.timeout_ns = 100, .requests = 2});
  rig.take(7, 5, 2, "B");
  rig.take(7, 5, 4, "D");
  CHECK(rig.parts.next_due() == 1100);
  rig.now = 1099;
  CHECK(rig.asked().empty());
  rig.now = 1100;
  CHECK(rig.asked() == std::map<std::uint16_t, std::vector<std::uint16_t>>{{7, {1, 3, 5}}});
  CHECK(rig.asked().empty());
  rig.now = 1150;
  rig.take(7, 5, 4, "D");  // nothing new
  rig.take(7, 5, 1, "A");  // counts anew
  rig.now = 1200;
  CHECK(rig.asked().empty());
  rig.now = 1250;
  CHECK(rig.asked().at(7) == std::vector<std::uint16_t>{3, 5});
  rig.now = 1350;
  CHECK(rig.asked().at(7) == std::vector<std::uint16_t>{3, 5});
  rig.now = 1450;
  CHECK(rig.asked().empty());
  REQUIRE(rig.given_up.size() == 1);
  CHECK(rig.given_up[0] == std::pair<std::uint16_t, GiveUp>{7, GiveUp::timeout});
  CHECK(rig.parts.held_bytes() == 0);
  CHECK(!rig.parts.next_due().has_value());
}

TEST_CASE("what is missing of a huge total is listed up to the bound and costs nothing") {
  Rig rig;
  rig.take(0, 65'535, 300, "x");
  CHECK(rig.parts.held_bytes() < 2000);
  rig.now += rig.options.timeout_ns;
  const auto asked = rig.asked().at(0);
  REQUIRE(asked.size() == 255);
  CHECK(asked.front() == 1);
  CHECK(asked.back() == 255);
}

TEST_CASE("a complete message is remembered for its time, then its memory is free") {
  Rig rig({.done_keep_ns = 1000});
  rig.take(7, 2, 1, std::string(1000, 'a'));
  rig.take(7, 2, 2, std::string(1000, 'b'));
  rig.whole(7, 2);
  CHECK(rig.parts.held_bytes() < 1000);
  CHECK(rig.parts.held_count() == 1);
  rig.now += 999;
  rig.asked();
  CHECK(rig.take(7, 2, 1, std::string(1000, 'a')) == PartVerdict::duplicate);
  rig.now += 1;
  rig.asked();
  CHECK(rig.parts.held_bytes() == 0);
  CHECK(rig.budget.used_bytes() == 0);
  CHECK(rig.take(7, 2, 1, std::string(1000, 'a')) == PartVerdict::kept);
}

TEST_CASE("bounds of a message, a device and a shard; the oldest goes first") {
  SUBCASE("a message that grows too long is given up once; its parts are still taken") {
    Rig rig({.message_max = 2500});
    const std::string kilobyte(1000, 'x');
    CHECK(rig.take(7, 9, 1, kilobyte) == PartVerdict::kept);
    CHECK(rig.take(7, 9, 2, kilobyte) == PartVerdict::kept);
    CHECK(rig.take(7, 9, 3, kilobyte) == PartVerdict::refused);
    CHECK(rig.take(7, 9, 4, kilobyte) == PartVerdict::refused);
    CHECK(rig.take(7, 9, 1, kilobyte) == PartVerdict::refused);
    REQUIRE(rig.given_up.size() == 1);
    CHECK(rig.given_up[0].second == GiveUp::too_long);
    CHECK(rig.parts.held_bytes() < 1000);
  }
  SUBCASE("messages of one device") {
    Rig rig({.device_messages_max = 3});
    for (std::uint16_t i = 0; i < 5; ++i) {
      rig.now += 10;
      rig.take(static_cast<std::uint16_t>(100 * i), 2, 1, "x");
      rig.take(static_cast<std::uint16_t>(100 * i), 2, 1, "x", 2);
    }
    CHECK(rig.parts.incomplete_count() == 6);
    CHECK(rig.given_up.size() == 4);
    CHECK(rig.given_up[0].first == 0);
    CHECK(rig.given_up[0].second == GiveUp::device);
  }
  SUBCASE("bytes of one device") {
    Rig rig({.device_bytes_max = 10'000});
    for (std::uint16_t i = 0; i < 12; ++i) {
      rig.take(static_cast<std::uint16_t>(100 * i), 2, 1, std::string(1000, 'x'));
    }
    CHECK(rig.parts.held_bytes() <= 10'000);
    REQUIRE(!rig.given_up.empty());
    CHECK(rig.given_up[0] == std::pair<std::uint16_t, GiveUp>{0, GiveUp::device});
  }
  SUBCASE("bytes of a shard; a message with a new part is not the oldest") {
    Rig rig({.shard_bytes_max = 10'000});
    rig.take(0, 9, 1, std::string(1000, 'x'), 100);
    rig.take(0, 9, 1, std::string(1000, 'x'), 101);
    rig.take(0, 9, 2, std::string(1000, 'x'), 100);
    for (std::uint32_t i = 0; i < 5; ++i) rig.take(0, 2, 1, std::string(1000, 'x'), i);
    CHECK(rig.parts.held_bytes() <= 10'000);
    REQUIRE(!rig.given_up.empty());
    CHECK(rig.given_up[0].second == GiveUp::memory);
    CHECK(rig.take(0, 9, 2, std::string(1000, 'x'), 100) == PartVerdict::duplicate);
    CHECK(rig.take(0, 9, 1, std::string(1000, 'x'), 101) == PartVerdict::kept);  // was given up
  }
}

TEST_CASE("random histories: whatever is complete is what was sent, and the bounds hold") {
  for (std::uint32_t seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    Rig rig({.timeout_ns = 1000, .requests = 3, .message_max = 6000, .device_bytes_max = 9000,
             .device_messages_max = 4, .shard_bytes_max = 20'000, .done_keep_ns = 5000});
    const auto pick = [&](std::uint32_t below) {
      return static_cast<std::uint32_t>(random() % below);
    };
    // Message m of device d: total and every part follow from the numbers.
    const auto total_of = [](std::uint32_t d, std::uint32_t m) {
      return static_cast<std::uint16_t>(2 + (d * 7 + m * 3) % 6);
    };
    const auto body_of = [](std::uint32_t d, std::uint32_t m, std::uint32_t number) {
      const char letter = static_cast<char>('a' + (d * 5 + m * 11 + number) % 26);
      return std::string(100 + 137 * number, letter);
    };
    std::uint32_t completed = 0;
    for (int step = 0; step < 2000; ++step) {
      const std::uint32_t d = pick(6);
      const std::uint32_t m = pick(8);
      const std::uint16_t total = total_of(d, m);
      const auto number = static_cast<std::uint16_t>(1 + pick(total));
      const auto first = static_cast<std::uint16_t>(65'500 + 20 * m);
      const std::string body = body_of(d, m, number);
      const auto expected = rig.parts.would_complete(d, Rig::header(first, total, number),
                                                     as_bytes(body));
      const PartVerdict verdict = rig.take(first, total, number, body, d);
      CHECK(verdict != PartVerdict::mismatch);
      if (verdict == PartVerdict::complete) {
        std::string all;
        for (std::uint32_t n = 1; n <= total; ++n) all += body_of(d, m, n);
        REQUIRE(expected.has_value());
        CHECK(*expected == all.size());
        CHECK(rig.whole(first, total, d) == all);
        ++completed;
      }
      rig.now += pick(200);
      rig.asked();
      // One message that was refused may stand beside a full shard.
      CHECK(rig.parts.held_bytes() <= rig.options.shard_bytes_max + 1000);
      CHECK(rig.budget.used_bytes() == rig.parts.held_bytes());
    }
    CHECK(completed > 0);
    rig.now += 100'000;
    while (rig.parts.next_due().has_value()) {
      rig.now = std::max(rig.now, *rig.parts.next_due());
      rig.asked();
    }
    CHECK(rig.parts.held_bytes() == 0);
    CHECK(rig.parts.held_count() == 0);
  }
}

}  // namespace
