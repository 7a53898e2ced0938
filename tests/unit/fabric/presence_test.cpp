// Who answers for a device, as three nodes see it: the rules of protocols/fabric/README.md without
// any network.
#include "protocols/fabric/presence.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>

namespace {

using namespace ringgate;
using namespace ringgate::fabric;

const DeviceKey device(Namespace::phone, "13800138000");
constexpr WallUs wall = 1'790'000'000'000'000;

// A node that has heard of two others.
struct View {
  explicit View(std::string_view id)
      : presence(std::string(id), std::string(id)) {
    for (const std::string_view other : {"a", "b", "c"}) {
      if (other != id) numbers[other[0] - 'a'] = presence.heard(other, other, 1, 1, 0)->node;
    }
  }
  NodeNumber number(char node) const { return numbers[node - 'a']; }
  void hears(char node, bool online, std::int64_t stamp) {
    again = presence.claim(number(node), device, online, stamp, wall);
  }
  Verdict verdict(MonoNs now = 0) const { return presence.verdict(device, now); }

  Presence presence;
  NodeNumber numbers[3] = {};
  std::optional<std::int64_t> again;
};

TEST_CASE("the newest link wins, though the old one looks alive and clocks differ") {
  View a("a"), b("b"), c("c");
  const std::int64_t first = a.presence.attached(device, wall);
  b.hears('a', true, first);
  c.hears('a', true, first);
  CHECK(a.verdict() == Verdict::ours);
  CHECK(b.verdict() == Verdict::theirs);
  // b's clock is an hour behind.
  const std::int64_t second = b.presence.attached(device, wall - 3600 * us_per_s);
  CHECK(second > first);
  a.hears('b', true, second);
  c.hears('b', true, second);
  CHECK(a.verdict() == Verdict::theirs);
  CHECK(b.verdict() == Verdict::ours);
  CHECK(c.verdict() == Verdict::theirs);
  // News that was late changes nothing.
  c.hears('a', true, first);
  // Waiting commands go where the link is, and to no node that is gone.
  CHECK(a.presence.is_elsewhere(device, 0));
  CHECK(!b.presence.is_elsewhere(device, 0));
  CHECK(!a.presence.is_elsewhere(device, 2 * node_silence_ns));
  CHECK(c.presence.last_node(device) == "b");
  CHECK(!c.presence.is_elsewhere(DeviceKey(Namespace::phone, "1"), 0));
  // The old link dies at last.
  CHECK(a.presence.detached(device) == first);
  c.hears('a', false, first);
  CHECK(c.presence.last_node(device) == "b");
  CHECK(b.verdict() == Verdict::ours);
}

TEST_CASE("a stamp that no clock tells is no claim, and the largest can be outdone") {
  View a("a");
  a.presence.attached(device, wall);
  for (const std::int64_t stamp : {std::int64_t{-1}, stamp_max_us + 1, INT64_MAX, INT64_MIN}) {
    a.hears('b', true, stamp);
    CHECK(a.verdict() == Verdict::ours);
    a.hears('b', false, stamp);
    CHECK_FALSE(a.again);
  }
  a.hears('b', true, stamp_max_us);
  CHECK(a.verdict() == Verdict::theirs);
  a.hears('b', false, stamp_max_us);
  CHECK(a.again == stamp_max_us + 1);
  CHECK(a.verdict() == Verdict::ours);
}

TEST_CASE("nodes that are gone make room for new ones") {
  View a("a");
  a.hears('b', true, wall);
  const MonoNs later = 10 * node_silence_ns;
  // c speaks on; b has been silent for the longest time when there is no room any more.
  std::size_t heard = 0;
  for (std::size_t i = 0; i < 3 * nodes_max; ++i) {
    const MonoNs now = later + static_cast<MonoNs>(i) * node_silence_ns / 8;
    REQUIRE(a.presence.heard("c", "c", 1, 2 + i, now)->node == a.number('c'));
    const std::string id = "node-" + std::to_string(i);
    const auto node = a.presence.heard(id, id, 1, 1, now);
    REQUIRE(node);
    CHECK(node->fresh);
    ++heard;
  }
  CHECK(heard == 3 * nodes_max);
  CHECK(a.presence.last_node(device) == "");  // with the node went what it had said
  // All alive: no room.
  std::size_t refused = 0;
  for (std::size_t i = 0; i < nodes_max; ++i) {
    const std::string id = "late-" + std::to_string(i);
    refused += a.presence.heard(id, id, 1, 1, 1000 * later) ? 0 : 1;
  }
  CHECK(refused == 1);
}

TEST_CASE("an older link that is still there is claimed anew when the newer one ends") {
  View a("a"), b("b");
  const std::int64_t first = a.presence.attached(device, wall);
  b.hears('a', true, first);
  const std::int64_t second = b.presence.attached(device, wall + 1);
  a.hears('b', true, second);
  CHECK_FALSE(a.again);
  b.presence.detached(device);
  a.hears('b', false, second);
  REQUIRE(a.again);
  CHECK(*a.again > second);
  CHECK(a.verdict() == Verdict::ours);
  b.hears('a', true, *a.again);
  CHECK(b.verdict() == Verdict::theirs);
}

TEST_CASE("exactly one node answers for what nobody has") {
  View a("a"), b("b"), c("c");
  CHECK(a.verdict() == Verdict::last);  // unknown: the smallest id
  CHECK(b.verdict() == Verdict::theirs);
  CHECK(c.verdict() == Verdict::theirs);
  const std::int64_t stamp = c.presence.attached(device, wall);
  c.presence.detached(device);
  a.hears('c', false, stamp);
  b.hears('c', false, stamp);
  CHECK(c.verdict() == Verdict::last);  // seen there last
  CHECK(a.verdict() == Verdict::theirs);
  // c falls silent: a stands in; with a gone as well, b.
  const MonoNs later = node_silence_ns + 1;
  b.presence.heard("a", "a", 1, 2, later);
  a.presence.heard("b", "b", 1, 2, later);
  CHECK(a.verdict(later) == Verdict::last);
  CHECK(b.verdict(later) == Verdict::theirs);
  b.presence.left(b.number('a'));
  CHECK(b.verdict(later) == Verdict::last);
}

TEST_CASE("restarts, gaps and lists") {
  Presence b("b", "b");
  const auto first = b.heard("a", "a", 1, 7, 0);
  REQUIRE(first);
  CHECK(first->fresh);
  CHECK_FALSE(b.heard("a", "a", 1, 8, 0)->gap);
  CHECK(b.heard("a", "a", 1, 10, 0)->gap);
  b.claim(first->node, device, true, wall, wall);
  CHECK(b.verdict(device, 0) == Verdict::theirs);
  // A list that does not name it: offline, still a's to answer for.
  b.begin_list(first->node);
  b.end_list(first->node);
  CHECK(b.verdict(device, 0) == Verdict::theirs);
  // Another device with the same stamp: both nodes agree on one winner.
  const DeviceKey tied(Namespace::phone, "13800138001");
  const auto c = b.heard("c", "c", 1, 1, 0);
  b.claim(c->node, tied, true, wall, wall);
  b.claim(first->node, tied, true, wall, wall);
  CHECK(b.last_node(tied) == "c");
  CHECK(b.heard("a", "a", 2, 1, 0)->fresh);
  CHECK(b.alive(0) == 3);
  CHECK(b.alive(node_silence_ns) == 1);
}

TEST_CASE("nodes are bounded") {
  Presence b("b", "b");
  for (std::size_t i = 1; i < nodes_max; ++i) {
    REQUIRE(b.heard(std::to_string(i), "n", 1, 1, 0));
  }
  CHECK_FALSE(b.heard("one more", "n", 1, 1, 0));
}

}  // namespace
