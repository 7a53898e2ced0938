// Links of datagrams, on the real ring and the simulated one.
#include <fmt/core.h>

#include <algorithm>

#include "tests/unit/net/scenes.hpp"

using namespace ringgate;
using namespace ringgate::unit;
using net::CloseReason;
using net::DatagramDrop;
using net::DatagramUnsent;

namespace {

using Texts = std::vector<std::string>;

const StageOptions one_shard = {.idle_timeout_ms = 60'000, .datagrams = true};
const StageOptions two_shards = {.shards = 2, .idle_timeout_ms = 60'000, .datagrams = true};

net::DatagramCounters& counters(Stage& stage, ShardIndex shard = 0) {
  return stage.links(shard).datagrams()->counters();
}

std::uint64_t dropped(Stage& stage, DatagramDrop why) { return counters(stage).dropped.value(why); }

// Turns until so many datagrams have come, and some more turns for those that should not.
Texts take(Stage& stage, FarDatagrams& far, std::size_t count) {
  Texts all;
  const auto more = [&] {
    for (std::string& one : far.take()) all.push_back(std::move(one));
    return all.size() >= count;
  };
  CHECK(stage.until(more));
  stage.turns(3);
  more();
  CHECK(all.size() == count);
  return all;
}

// Makes the far end no stranger on `shard`.
void introduce(Stage& stage, FarDatagrams& far, ShardIndex shard = 0) {
  const std::string line = fmt::format("T{}\n", shard);
  far.send(line);
  CHECK(take(stage, far, 1).size() == 1);
}

}  // namespace

TEST_CASE("datagrams: answers wait for their commit, and leave in order, each in its own") {
  on_every_scene(one_shard, [](Stage& stage) {
    const auto far = stage.open_datagrams();
    introduce(stage, *far);
    CHECK(stage.live() == 1);
    far->send("L0a\n");
    far->send("L0b\nH0c\n");
    CHECK(stage.until([&] { return stage.at(0).log.next == 3; }));
    CHECK(take(stage, *far, 0).empty());
    stage.commit_to(0, 1);
    CHECK(take(stage, *far, 1) == Texts{"=0,1 L0a\n"});
    stage.commit_to(0, 2);
    CHECK(take(stage, *far, 2) == Texts{"=0,2 L0b\n", "-H0c\n"});
    CHECK(stage.live() == 1);
    CHECK(counters(stage).opened.value() == 1);
  });
}

TEST_CASE("datagrams: each address has a link of its own, beside the connections of the port") {
  on_every_scene(one_shard, [](Stage& stage) {
    const auto tcp = stage.connect();
    std::vector<std::unique_ptr<FarDatagrams>> far;
    for (int i = 0; i < 8; ++i) far.push_back(stage.open_datagrams());
    for (int round = 0; round < 3; ++round) {
      for (std::size_t i = 0; i < far.size(); ++i) far[i]->send(fmt::format("T0{}\n", i));
      tcp->send("H\n");
      for (std::size_t i = 0; i < far.size(); ++i) {
        CHECK(take(stage, *far[i], 1) == Texts{fmt::format("-T0{}\n", i)});
      }
      stage.expect(*tcp, "-H\n");
    }
    CHECK(stage.live() == 9);
  });
}

TEST_CASE("datagrams: what is no whole frame is not kept for the next one") {
  on_every_scene(one_shard, [](Stage& stage) {
    const auto far = stage.open_datagrams();
    introduce(stage, *far);
    far->send("H0whole\nH0ha");
    far->send("lf\n");
    CHECK(take(stage, *far, 1) == Texts{"-H0whole\n"});
    CHECK(stage.lines().rests == 1);
    CHECK(stage.until([&] { return stage.live() == 0; }));  // "lf" is a bad line
    CHECK(stage.lines().closed == std::vector{CloseReason::bad_frames});
  });
}

TEST_CASE("datagrams: empty, too long, or no frame from somebody unknown: dropped and counted") {
  on_every_scene(one_shard, [](Stage& stage) {
    const auto far = stage.open_datagrams();
    far->send("");
    far->send(std::string(5'000, 'H'));
    far->send("garbage");
    far->send(fmt::format("T0{:x>3000}\n", ""));
    CHECK(take(stage, *far, 1) == Texts{fmt::format("-T0{:x>3000}\n", "")});
    CHECK(counters(stage).received.value() == 4);
    CHECK(dropped(stage, DatagramDrop::empty) == 1);
    CHECK(dropped(stage, DatagramDrop::truncated) == 1);
    CHECK(dropped(stage, DatagramDrop::garbage) == 1);
    CHECK(stage.live() == 1);
    // Known now: long ones both ways, and what is no frame is its protocol's to judge.
    far->send(fmt::format("H0{:y>3000}\n", ""));
    CHECK(take(stage, *far, 1) == Texts{fmt::format("-H0{:y>3000}\n", "")});
    far->send("garbage");
    CHECK(stage.until([&] { return stage.lines().rests == 1; }));
  });
}

TEST_CASE("datagrams: handled and answered on their home shard, from the same port") {
  on_every_scene(two_shards, [](Stage& stage) {
    std::vector<std::unique_ptr<FarDatagrams>> far;
    for (int i = 0; i < 6; ++i) far.push_back(stage.open_datagrams());
    for (ShardIndex home : {ShardIndex{0}, ShardIndex{1}}) {
      for (auto& one : far) introduce(stage, *one, home);
      for (auto& one : far) one->send(fmt::format("L{}a\n", home));
      CHECK(stage.until([&] { return stage.at(home).log.next == 7; }));
      stage.commit(home);
      for (auto& one : far) {
        const Texts got = take(stage, *one, 1);
        CHECK(got[0].substr(0, 3) == fmt::format("={},", home));
      }
    }
    CHECK(stage.links(0).live_count() == 6);
    CHECK(stage.links(1).live_count() == 6);
    // Whichever socket an address meets: half of what it sent was for the other shard.
    CHECK(counters(stage, 0).forwarded.value() + counters(stage, 1).forwarded.value() == 12);
  });
}

TEST_CASE("datagrams: what follows a frame of another home goes there") {
  on_every_scene(two_shards, [](Stage& stage) {
    const auto far = stage.open_datagrams();
    introduce(stage, *far, 0);
    introduce(stage, *far, 1);
    far->send("L0a\nL1b\nL1c\nL0d\n");
    CHECK(stage.until([&] { return stage.at(0).log.next == 3 && stage.at(1).log.next == 3; }));
    stage.commit(0);
    stage.commit(1);
    Texts got = take(stage, *far, 4);
    std::ranges::sort(got);
    CHECK(got == Texts{"=0,1 L0a\n", "=0,2 L0d\n", "=1,1 L1b\n", "=1,2 L1c\n"});
  });
}

TEST_CASE("datagrams: a stranger gets no more bytes than it sends") {
  on_every_scene(one_shard, [](Stage& stage) {
    const auto far = stage.open_datagrams();
    std::size_t sent = 0;
    std::size_t got = 0;
    for (int i = 0; i < 200; ++i) {
      const std::string line = fmt::format("H0{:x>{}}\n", "", i % 7);
      far->send(line);  // the answer is one byte longer
      sent += line.size();
      stage.turns(2);
      for (const std::string& one : far->take()) got += one.size();
      CHECK(got <= sent);
    }
    CHECK(stage.until([&] { return counters(stage).received.value() == 200; }));
    stage.turns(10);
    for (const std::string& one : far->take()) got += one.size();
    CHECK(got <= sent);
    CHECK(got > sent / 2);
    CHECK(counters(stage).unsent.value(DatagramUnsent::stranger) > 0);
    CHECK(stage.links().datagrams()->strangers() == 1);
    introduce(stage, *far);
    CHECK(stage.links().datagrams()->strangers() == 0);
    const std::uint64_t unsent = counters(stage).unsent.value(DatagramUnsent::stranger);
    for (int i = 0; i < 50; ++i) far->send("H0\n");
    CHECK(take(stage, *far, 50).size() == 50);
    CHECK(counters(stage).unsent.value(DatagramUnsent::stranger) == unsent);
  });
}

TEST_CASE("datagrams: many short answers to one datagram of a stranger cost their headers too") {
  on_every_scene(one_shard, [](Stage& stage) {
    const auto far = stage.open_datagrams();
    std::string lines;
    for (int i = 0; i < 100; ++i) lines += fmt::format("H0{:02}\n", i);
    far->send(lines);
    constexpr std::size_t headers = 20 + 8;
    std::size_t got = 0;
    std::size_t count = 0;
    CHECK(stage.until([&] { return counters(stage).received.value() == 1; }));
    stage.turns(10);
    for (const std::string& one : far->take()) {
      got += one.size() + headers;
      ++count;
    }
    CHECK(count > 5);
    CHECK(got <= lines.size() + headers);  // the first answer's are paid by the question's
    CHECK(counters(stage).unsent.value(DatagramUnsent::stranger) == 100 - count);
  });
}

TEST_CASE("datagrams: a stranger's datagram is not carried to and fro between shards") {
  on_every_scene(two_shards, [](Stage& stage) {
    const auto far = stage.open_datagrams();
    std::string lines;
    for (int i = 0; i < 20; ++i) lines += fmt::format("L{}{:02}\n", i % 2, i);
    far->send(lines);
    const auto dropped_mixed = [&] {
      return counters(stage, 0).dropped.value(DatagramDrop::mixed) +
             counters(stage, 1).dropped.value(DatagramDrop::mixed);
    };
    CHECK(stage.until([&] { return dropped_mixed() == 1; }));
    CHECK(stage.at(0).log.next == 2);
    CHECK(stage.at(1).log.next == 2);
  });
}

TEST_CASE("datagrams: what a source of strangers may send is bounded, and comes back with time") {
  Stage stage(make_sim_ground(), one_shard);
  const auto trusted = stage.open_datagrams();
  introduce(stage, *trusted);
  const std::uint64_t before = counters(stage).received.value();
  const std::string line = fmt::format("H0{:x>1000}\n", "");
  std::vector<std::unique_ptr<FarDatagrams>> far;
  constexpr std::uint64_t burst_bytes =
      limits::stranger_source_bytes_per_s * limits::stranger_burst_ms / 1'000;
  std::uint64_t sent = 0;
  for (; sent * line.size() < 2 * burst_bytes; ++sent) {
    if (sent % 8 == 0) far.push_back(stage.open_datagrams());  // all of one source
    far.back()->send(line);
    if (sent % 32 == 0) stage.turns(8);
  }
  CHECK(stage.until([&] { return counters(stage).received.value() == before + sent; }));
  const std::uint64_t refused = dropped(stage, DatagramDrop::stranger_rate);
  CHECK(refused > sent / 3);
  CHECK(sent - refused >= burst_bytes / line.size() - 1);
  // Whoever is known is heard.
  trusted->send("H0\n");
  CHECK(take(stage, *trusted, 1) == Texts{"-H0\n"});
  stage.pass(2 * ns_per_s);
  far.front()->send(line);
  stage.turns(20);
  CHECK(dropped(stage, DatagramDrop::stranger_rate) == refused);
  far.clear();
  stage.stop();
}

TEST_CASE("datagrams: strangers' accounts are of a source, and all of them have a bound") {
  const auto v4 = [](std::uint32_t ip, std::uint16_t port) {
    net::PeerAddress from{.port = port, .family = AF_INET};
    store_be32(from.ip, ip);
    return from;
  };
  const auto v6 = [](std::uint64_t network, std::uint64_t host) {
    net::PeerAddress from{.port = 1, .family = AF_INET6};
    store_be64(from.ip, network);
    store_be64(from.ip + 8, host);
    return from;
  };
  constexpr std::uint64_t mapped = 0xffff'0a00'0001;  // ::ffff:10.0.0.1
  net::StrangerLimits accounts{net::AddressHash({1, 2})};
  const auto takes = [&](const net::PeerAddress& from, MonoNs now) {
    std::uint64_t bytes = 0;
    while (accounts.admit(from, 1'024, now)) bytes += 1'024;
    return bytes;
  };
  constexpr std::uint64_t own =
      limits::stranger_source_bytes_per_s * limits::stranger_burst_ms / 1'000;
  MonoNs now = ns_per_s;
  CHECK(takes(v4(0x0a000001, 1), now) == own);
  CHECK(takes(v4(0x0a000001, 2), now) == 0);  // another port of the same
  CHECK(takes(v6(0, mapped), now) == 0);      // the same through a socket of both kinds
  CHECK(takes(v4(0x0a000002, 1), now) == own);
  CHECK(takes(v6(0x20010db8'00000001, 1), now) == own);
  CHECK(takes(v6(0x20010db8'00000001, 2), now) == 0);
  CHECK(takes(v6(0x20010db8'00000002, 1), now) == own);
  now += ns_per_s;
  CHECK(takes(v4(0x0a000001, 1), now) == limits::stranger_source_bytes_per_s);
  // Ever new sources, more than the table has places for.
  now += 10 * ns_per_s;
  std::uint64_t all = 0;
  for (std::uint32_t i = 0; i < 3 * limits::stranger_sources_max; ++i) {
    for (int k = 0; k < 4; ++k) all += accounts.admit(v4(i * 7'919, 1), 1'024, now) ? 1'024 : 0;
  }
  constexpr std::uint64_t common =
      limits::stranger_bytes_per_s * limits::stranger_burst_ms / 1'000;
  CHECK(all <= common);
  CHECK(all > common - 2 * 1'024);
}

TEST_CASE("datagrams: beyond a number of strangers the oldest goes") {
  io::World world(io::SimOptions{});
  // One peer from ever new ports: what its sockets would be to a real server.
  class Ground final : public unit::Ground {
   public:
    explicit Ground(io::World& of) : world_(of) {}
    io::Sys& sys() override { return world_.sys(); }
    std::unique_ptr<io::Backend> make_backend() override { return world_.make_backend(); }
    std::unique_ptr<Far> connect(std::uint16_t) override { return nullptr; }
    std::unique_ptr<FarDatagrams> open_datagrams(std::uint16_t) override { return nullptr; }
    MonoNs turn_ns() const override { return ns_per_ms; }
    void advance(MonoNs by) override { world_.step(by); }
    int too_many_bytes() const override { return 0; }

   private:
    io::World& world_;
  };
  StageOptions options = one_shard;
  options.links.links_max = limits::datagram_strangers_max + 100;
  Stage stage(std::make_unique<Ground>(world), options);
  io::DatagramPeer peer = world.open_datagrams_ipv4(stage.datagram_port());
  const std::string line = "H0\n";
  constexpr std::uint32_t extra = 10;
  for (std::uint32_t i = 0; i < limits::datagram_strangers_max + extra; ++i) {
    peer.send(as_bytes(line));
    if (i % 64 == 63) stage.turns(6);
    peer.rebind();
  }
  CHECK(stage.until([&] {
    return counters(stage).received.value() == limits::datagram_strangers_max + extra;
  }));
  stage.turns(3);
  CHECK(stage.links().datagrams()->strangers() == limits::datagram_strangers_max);
  CHECK(stage.live() == limits::datagram_strangers_max);
  CHECK(stage.lines().closed == std::vector<CloseReason>(extra, CloseReason::crowded_out));
  peer.close();
  stage.stop();
}

TEST_CASE("datagrams: links_max counts them; one more is dropped, a stranger makes room") {
  StageOptions options = one_shard;
  options.links.links_max = 3;
  on_every_scene(options, [](Stage& stage) {
    std::vector<std::unique_ptr<FarDatagrams>> far;
    for (int i = 0; i < 3; ++i) far.push_back(stage.open_datagrams());
    introduce(stage, *far[0]);
    introduce(stage, *far[1]);
    far[2]->send("H0\n");
    CHECK(stage.until([&] { return stage.live() == 3; }));
    const auto late = stage.open_datagrams();
    late->send("H0\n");
    CHECK(stage.until([&] { return dropped(stage, DatagramDrop::links_full) == 1; }));
    CHECK(stage.until([&] { return stage.live() == 2; }));
    CHECK(stage.lines().closed == std::vector{CloseReason::crowded_out});
    introduce(stage, *late);
    CHECK(stage.live() == 3);
  });
}

TEST_CASE("datagrams: silence ends a link, and its address begins anew") {
  StageOptions options = one_shard;
  options.idle_timeout_ms = 1'000;
  on_every_scene(options, [](Stage& stage) {
    const auto far = stage.open_datagrams();
    introduce(stage, *far);
    for (int i = 0; i < 5; ++i) {
      stage.pass(700 * ns_per_ms);
      far->send("H0\n");
      CHECK(take(stage, *far, 1) == Texts{"-H0\n"});
    }
    stage.pass(1'200 * ns_per_ms);
    CHECK(stage.live() == 0);
    CHECK(stage.lines().closed == std::vector{CloseReason::idle});
    introduce(stage, *far);
    CHECK(counters(stage).opened.value() == 2);
  });
}

TEST_CASE("datagrams: while a link is paused its datagrams are dropped, not kept") {
  on_every_scene(one_shard, [](Stage& stage) {
    const auto far = stage.open_datagrams();
    introduce(stage, *far);
    stage.at(0).log.full = true;
    stage.at(0).shard->watermark().set_state(flow::LogState::holding);
    far->send("L0a\n");
    far->send("L0b\n");
    CHECK(stage.until([&] { return dropped(stage, DatagramDrop::paused) == 2; }));
    stage.at(0).log.full = false;
    stage.at(0).shard->watermark().set_state(flow::LogState::accepting);
    far->send("L0c\n");
    CHECK(stage.until([&] { return stage.at(0).log.next == 2; }));
    stage.commit(0);
    CHECK(take(stage, *far, 1) == Texts{"=0,1 L0c\n"});
  });
}

TEST_CASE("datagrams: a link stops at its credit of bytes that are not durable") {
  on_every_scene(one_shard, [](Stage& stage) {
    const auto far = stage.open_datagrams();
    introduce(stage, *far);
    const std::string line = fmt::format("L0{:x>1000}\n", "");
    std::uint64_t sent = 0;
    while (dropped(stage, DatagramDrop::paused) < 5 && sent < 500) {
      far->send(line);
      ++sent;
      stage.turns(2);
    }
    CHECK(dropped(stage, DatagramDrop::paused) == 5);
    CHECK(stage.until([&] { return counters(stage).received.value() == sent + 1; }));
    const Position logged = stage.at(0).log.next - 1;
    CHECK(logged * line.size() > limits::link_credit_bytes);
    CHECK((logged - 1) * line.size() <= limits::link_credit_bytes);
    stage.commit(0);
    CHECK(take(stage, *far, logged).size() == logged);
    far->send("L0y\n");
    CHECK(stage.until([&] { return stage.at(0).log.next - 1 == logged + 1; }));
    stage.commit(0);
    CHECK(take(stage, *far, 1).size() == 1);
  });
}

TEST_CASE("datagrams: more replies at once than there are places for sends") {
  on_every_scene(one_shard, [](Stage& stage) {
    std::vector<std::unique_ptr<FarDatagrams>> far;
    for (int i = 0; i < 3; ++i) {
      far.push_back(stage.open_datagrams());
      introduce(stage, *far.back());
    }
    std::string lines;
    for (int i = 0; i < 150; ++i) lines += "L0\n";
    for (auto& one : far) one->send(lines);
    CHECK(stage.until([&] { return stage.at(0).log.next == 451; }));
    stage.commit(0);
    for (auto& one : far) CHECK(take(stage, *one, 150).size() == 150);
  });
}

TEST_CASE("datagrams: a drain answers what is committed, and hears nobody") {
  on_every_scene(one_shard, [](Stage& stage) {
    const auto far = stage.open_datagrams();
    introduce(stage, *far);
    far->send("L0a\n");
    CHECK(stage.until([&] { return stage.at(0).log.next == 2; }));
    stage.at(0).shard->request_drain(stage.ground().sys().mono_now() + 3600 * ns_per_s);
    stage.turns(10);
    far->send("L0b\n");
    stage.turns(10);
    CHECK(stage.at(0).running);
    CHECK(stage.at(0).log.next == 2);
    stage.commit(0);
    CHECK(stage.until([&] { return !stage.at(0).running; }));
    stage.ground().advance(10 * ns_per_ms);  // it is on its way
    CHECK(far->take() == Texts{"=0,1 L0a\n"});
    CHECK(stage.lines().closed == std::vector{CloseReason::draining});
  });
}

TEST_CASE("datagrams: a rough network and short of everything; nothing leaks") {
  std::uint64_t answers = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    StageOptions options = two_shards;
    options.auto_commit = true;
    Stage stage(make_sim_ground(io::SimOptions::rough(seed)), options);
    std::vector<std::unique_ptr<FarDatagrams>> far;
    for (int i = 0; i < 20; ++i) far.push_back(stage.open_datagrams());
    for (int round = 0; round < 60; ++round) {
      for (auto& one : far) {
        const char home = stage.ground().random(2) == 0 ? '0' : '1';
        const char kind = "LLTB"[stage.ground().random(4)];
        std::string text;
        for (std::uint64_t i = 0; i <= stage.ground().random(6); ++i) {
          text += {kind, home, 'x', '\n'};
        }
        if (stage.ground().random(10) == 0) text.pop_back();
        one->send(text);
        answers += one->take().size();
      }
      stage.turns(2);
    }
    stage.turns(100);
    far.clear();
    stage.stop();
  }
  CHECK(answers > 2'000);
}
