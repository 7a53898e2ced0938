// One column of mail against a queue, and rooms that wake each other on real rings.
#include "engine/shard/mailbox.hpp"

#include <doctest/doctest.h>

#include <deque>
#include <random>
#include <thread>
#include <vector>

namespace {

using namespace ringgate;
using shard::MailColumn;
using shard::MailKind;

std::vector<std::uint8_t> pattern(std::size_t size_bytes, std::uint64_t seed) {
  std::vector<std::uint8_t> bytes(size_bytes);
  for (std::size_t i = 0; i < size_bytes; ++i) {
    bytes[i] = static_cast<std::uint8_t>(seed * 31 + i * 7 + (i >> 8));
  }
  return bytes;
}

struct Mail {
  MailKind kind;
  std::vector<std::uint8_t> bytes;
};

// Takes up to `limit` and compares with the head of the queue.
std::uint32_t take(MailColumn& column, std::deque<Mail>& expected, std::uint32_t limit) {
  const std::uint32_t taken = column.drain(limit, [&](MailKind kind, Bytes bytes) {
    REQUIRE(!expected.empty());
    const Mail& mail = expected.front();
    REQUIRE(kind == mail.kind);
    REQUIRE(bytes.size() == mail.bytes.size());
    REQUIRE((bytes.empty() || std::memcmp(bytes.data(), mail.bytes.data(), bytes.size()) == 0));
    expected.pop_front();
  });
  REQUIRE(taken <= limit);
  return taken;
}

TEST_CASE("a column hands out what was pushed, in order, at every size") {
  std::mt19937_64 random(4);
  MailColumn column;
  std::deque<Mail> waiting;
  std::uint64_t refused = 0;
  for (std::uint32_t i = 0; i < 60'000; ++i) {
    const std::uint64_t choice = random() % 16;
    std::size_t size_bytes = choice < 12 ? random() % 256 : random() % (limits::mail_bytes_max + 1);
    if (choice == 15) size_bytes = limits::mail_bytes_max;
    Mail mail{static_cast<MailKind>(random() % 6), pattern(size_bytes, i)};
    const std::size_t cut = size_bytes == 0 ? 0 : random() % (size_bytes + 1);
    const Bytes all{mail.bytes};
    if (column.push(mail.kind, all.first(cut), all.subspan(cut))) {
      waiting.push_back(std::move(mail));
    } else {
      ++refused;
      CHECK(!waiting.empty());  // an empty column takes any mail
      take(column, waiting, 1'000);
    }
    REQUIRE(column.empty() == waiting.empty());
    if (random() % 3 == 0) take(column, waiting, static_cast<std::uint32_t>(random() % 4));
  }
  while (!waiting.empty()) REQUIRE(take(column, waiting, 7) > 0);
  CHECK(column.empty());
  CHECK(refused > 0);
}

TEST_CASE("an empty column takes the largest mail wherever its end lies") {
  const auto largest = pattern(limits::mail_bytes_max, 3);
  for (std::uint32_t offset = 0; offset < limits::mail_column_bytes; offset += 8 * 509) {
    MailColumn column;
    std::deque<Mail> waiting;
    for (std::uint32_t at = 0; at < offset; at += 8) {
      REQUIRE(column.push(MailKind::reload, {}, {}));
      column.drain(1, [](MailKind, Bytes) {});
    }
    REQUIRE(column.push(MailKind::frame, largest, {}));
    waiting.push_back({MailKind::frame, largest});
    REQUIRE(take(column, waiting, 2) == 1);
  }
}

TEST_CASE("a full column says so, and takes again what was refused when there is room") {
  MailColumn column;
  std::uint32_t pushed = 0;
  while (column.push(MailKind::frame, pattern(100, pushed), {})) ++pushed;
  // 100 bytes and a header of 8 take 112.
  CHECK(pushed == limits::mail_column_bytes / 112);
  CHECK(!column.push(MailKind::frame, pattern(100, 0), {}));
  std::uint32_t taken = 0;
  column.drain(1, [&](MailKind, Bytes bytes) {
    CHECK(bytes[0] == pattern(100, 0)[0]);
    ++taken;
  });
  CHECK(column.push(MailKind::frame, pattern(100, pushed), {}));
  taken += column.drain(10'000, [](MailKind, Bytes) {});
  CHECK(taken == pushed + 1);
}

TEST_CASE("mail that may be dropped leaves room to mail that may not") {
  MailColumn column;
  const auto bytes = pattern(1'000, 1);
  constexpr std::uint32_t keep = limits::mail_column_bytes / 2;
  std::uint32_t droppable = 0;
  while (column.push(MailKind::datagram, bytes, {}, keep)) ++droppable;
  std::uint32_t others = 0;
  while (column.push(MailKind::frame, bytes, {})) ++others;
  CHECK(droppable == keep / 1'008);
  CHECK(droppable + others == limits::mail_column_bytes / 1'008);
}

TEST_CASE("positions in a column wrap at 4 GiB") {
  MailColumn column;
  const auto bytes = pattern(limits::mail_bytes_max, 1);
  const std::uint64_t rounds = (std::uint64_t{1} << 32) / limits::mail_bytes_max + 2'000;
  std::uint64_t good = 0;
  for (std::uint64_t i = 0; i < rounds; ++i) {
    const Bytes number{reinterpret_cast<const std::uint8_t*>(&i), sizeof i};
    REQUIRE(column.push(MailKind::frame, number, Bytes{bytes}.subspan(sizeof i)));
    column.drain(2, [&](MailKind, Bytes mail) {
      good += load_native<std::uint64_t>(mail.data()) == i && mail.back() == bytes.back();
    });
  }
  CHECK(good == rounds);
}

// Sends each ball back, plus one; at the end both sides stop.
struct Player final : shard::MailHandler {
  static constexpr std::uint64_t rounds = 2'000;

  Player(shard::Shard& self, shard::MailRoom& where, ShardIndex other)
      : shard(self), room(where), to(other) {}
  void on_mail(MailKind, std::uint32_t, Bytes bytes) override {
    const std::uint64_t ball = load_native<std::uint64_t>(bytes.data());
    RG_CHECK(ball > last);
    last = ball;
    const std::uint64_t next = ball + 1;
    if (ball >= rounds) shard.request_stop();
    if (ball > rounds) return;
    RG_CHECK(room.post(to, MailKind::reload, {reinterpret_cast<const std::uint8_t*>(&next), 8}));
  }
  shard::Shard& shard;
  shard::MailRoom& room;
  ShardIndex to;
  std::uint64_t last = 0;
};

// Two shards throw a ball to and fro; each sleeps until the other wakes it. Returns both last
// balls.
std::array<std::uint64_t, 2> play(std::uint32_t without) {
  shard::MailHub hub(2, 1);
  std::array<std::uint64_t, 2> last{};
  std::atomic<int> running{0};
  std::atomic<int> ended{0};
  const auto body = [&](ShardIndex index) {
    const io::RingOptions options{.sq_entries = 64, .cq_entries = 256, .without = without};
    auto ring = io::Ring::open(io::make_uring_backend(), options);
    RG_CHECK(ring.ok());
    shard::Shard shard({.index = index, .count = 2, .cpu = -1}, std::move(*ring), io::real_sys());
    shard::MailRoom room(shard, hub);
    Player player(shard, room, static_cast<ShardIndex>(1 - index));
    room.handle(MailKind::reload, player);
    ++running;
    shard.run();
    last[index] = player.last;
    ++ended;
    while (ended != 2) std::this_thread::yield();  // the other may still name this ring
  };
  std::thread one(body, ShardIndex{0});
  std::thread two(body, ShardIndex{1});
  while (running != 2) std::this_thread::yield();
  const std::uint64_t first = 1;
  RG_CHECK(hub.post_from_control(hub.control_producer(0), 0, MailKind::reload,
                                 {reinterpret_cast<const std::uint8_t*>(&first), 8}));
  one.join();
  two.join();
  return last;
}

TEST_CASE("sleeping shards wake each other, by MSG_RING and by eventfd") {
  constexpr std::uint64_t rounds = Player::rounds;
  const std::array<std::uint64_t, 2> expected{rounds + 1, rounds};
  CHECK(play(0) == expected);
  CHECK(play(io::bit(io::Feature::msg_ring)) == expected);
  CHECK(play(io::bit(io::Feature::defer_taskrun)) == expected);
  CHECK(play(io::bit(io::Feature::defer_taskrun) | io::bit(io::Feature::coop_taskrun) |
             io::bit(io::Feature::msg_ring)) == expected);
}

}  // namespace
