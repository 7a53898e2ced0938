// Terminals and their links: replacing, moving to the home shard, bad frames, a log that takes
// nothing, time-outs.
#include <algorithm>

#include "tests/unit/jt808/terminal.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::jt808;
using namespace ringgate::jt808::test;
using unit::Stored;

constexpr std::int64_t now_s = RigSys::start_unix_s + 1000;
constexpr std::size_t ack_size = 20;  // of 0x8001 in the layout of 2013, without escapes

std::vector<Stored> positions(const std::vector<Stored>& all, std::string_view device = {}) {
  std::vector<Stored> out;
  for (const Stored& record : all) {
    const bool wanted = device.empty() || record.device == device;
    if (wanted && record.message == id::location) out.push_back(record);
  }
  return out;
}

TEST_CASE("the link that authenticates last wins, and nothing of either is lost") {
  Gateway gateway;
  Terminal old(gateway, gateway.jt808(), "13800138000");
  REQUIRE(old.goes_online());
  // Both sets of bytes are on their way before the gateway turns: the old link's replies are held
  // for the disk when the new one takes over.
  Raw sent;
  Raw expected;
  for (int i = 0; i < 5; ++i) {
    sent = sent + old.location(now_s + i);
    expected = expected + old.ack(id::location, AckResult::ok);
  }
  Terminal fresh(gateway, gateway.jt808(), "13800138000");
  fresh.serial = 100;
  REQUIRE(gateway.until([&] { return gateway.links() == 2; }));
  old.link->send(sent);
  fresh.link->send(fresh.authentication());
  CHECK(fresh.hears(fresh.ack(id::authentication, AckResult::ok)));
  CHECK(gateway.until([&] { return old.link->closed; }));
  CHECK_FALSE(old.link->reset);
  // What was read of the old link was stored and answered.
  const std::size_t answered = old.link->in.size() / ack_size;
  CHECK(to_hex(old.link->in) == to_hex(Bytes(expected).first(old.link->in.size())));
  CHECK(fresh.says(fresh.location(now_s + 9), id::location, AckResult::ok));
  CHECK(gateway.counters().replaced.value() == 1);
  CHECK(gateway.counters().online.value() == 1);
  const auto all = gateway.stored();
  CHECK(positions(all).size() == answered + 1);
  CHECK(std::ranges::any_of(all, [](const Stored& r) { return r.payload == "offline replaced"; }));
}

TEST_CASE("a replaced link's held replies leave before its end") {
  Gateway gateway;
  Terminal old(gateway, gateway.jt808(), "13800138000");
  REQUIRE(old.goes_online());
  Terminal fresh(gateway, gateway.jt808(), "13800138000");
  REQUIRE(gateway.until([&] { return gateway.links() == 2; }));
  old.link->send(old.location(now_s));
  // The position is read and its record is on its way to the disk, nothing more.
  REQUIRE(gateway.until([&] { return gateway.counters().positions.value() == 1; }));
  fresh.link->send(fresh.authentication());
  CHECK(old.hears(old.ack(id::location, AckResult::ok)));
  CHECK(fresh.hears(fresh.ack(id::authentication, AckResult::ok)));
  CHECK(gateway.until([&] { return old.link->closed; }));
}

TEST_CASE("a failed 0x0102 and a registration on a second link leave the first one alone") {
  Gateway gateway;
  Terminal first(gateway, gateway.jt808(), "13800138000");
  REQUIRE(first.goes_online());
  Terminal second(gateway, gateway.jt808(), "13800138000");
  CHECK(second.says(second.authentication("1000AAAAAAAAAAAAAAAA"), id::authentication,
                    AckResult::failed));
  second.link->send(second.registration());
  REQUIRE(gateway.until([&] { return second.link->in.size() > ack_size; }));
  CHECK(first.says(first.location(now_s), id::location, AckResult::ok));
  CHECK(gateway.device("13800138000")->link.valid());
  CHECK(gateway.links() == 2);
}

TEST_CASE("a second terminal on one link: its frames are refused until it authenticates") {
  Gateway gateway;
  Terminal first(gateway, gateway.jt808(), "13800138000");
  REQUIRE(first.goes_online());
  Terminal second(gateway, *first.link, "13800138001");
  second.reply_serial = first.reply_serial;
  CHECK(second.says(second.location(now_s), id::location, AckResult::failed));
  CHECK(second.goes_online());
  CHECK(second.says(second.location(now_s), id::location, AckResult::ok));
  CHECK_FALSE(gateway.device("13800138000")->link.valid());
  CHECK(gateway.device("13800138001")->link.valid());
  CHECK(gateway.counters().online.value() == 1);
  first.reply_serial = second.reply_serial;
  CHECK(first.says(first.location(now_s), id::location, AckResult::failed));
  CHECK(positions(gateway.stored(), "13800138001").size() == 1);
}

TEST_CASE("a link moves to its terminal's home with what was sent behind, and back for another") {
  for (const Version version : {Version::v2013, Version::v2019}) {
    GatewayOptions options;
    options.shards = 2;
    Gateway gateway(options);
    const std::string here = phone_of(0, 2);
    const std::string there = phone_of(1, 2);
    Client& link = gateway.jt808(0);
    Terminal far(gateway, link, there, version);
    // Registration, garbage, authentication and 40 positions in one segment.
    Raw sent = far.registration();
    sent = sent + hex("00ff");
    sent = sent + far.authentication();
    Raw expected = written([&](MutableBytes out) {
      return write_register_reply(out, far.peer, far.reply_serial++, 0, RegisterResult::ok,
                                  far.code());
    });
    expected = expected + far.ack(id::authentication, AckResult::ok);
    for (int i = 0; i < 40; ++i) {
      sent = sent + far.location(now_s + i);
      expected = expected + far.ack(id::location, AckResult::ok);
    }
    link.send(sent);
    CHECK(far.hears(expected));
    CHECK(gateway.rooms[0].links->live_count() == 0);
    CHECK(gateway.rooms[1].links->live_count() == 1);
    CHECK(gateway.device(there)->link.shard == 1);
    // Another terminal takes the link over; its home is where the link came from.
    Terminal near(gateway, link, here, version);
    near.reply_serial = far.reply_serial;
    sent = near.authentication();
    expected = near.ack(id::authentication, AckResult::ok);
    for (int i = 0; i < 3; ++i) {
      sent = sent + near.location(now_s + i);
      expected = expected + near.ack(id::location, AckResult::ok);
    }
    link.send(sent);
    CHECK(near.hears(expected));
    CHECK(gateway.rooms[0].links->live_count() == 1);
    CHECK_FALSE(gateway.device(there)->link.valid());
    CHECK(gateway.counters(0).online.value() == 1);
    CHECK(gateway.counters(1).online.value() == 0);
    const auto all = gateway.stored();
    const auto moved = positions(all, there);
    REQUIRE(moved.size() == 40);
    for (std::size_t i = 0; i < moved.size(); ++i) {
      CHECK(moved[i].serial == 2 + i);
      CHECK(moved[i].shard == 1);
    }
    CHECK(positions(all, here).size() == 3);
  }
}

TEST_CASE("a registration of a phone at home elsewhere takes the link along, and back again") {
  GatewayOptions options;
  options.shards = 2;
  Gateway gateway(options);
  Terminal near(gateway, gateway.jt808(0), phone_of(0, 2));
  REQUIRE(near.goes_online());
  Terminal far(gateway, *near.link, phone_of(1, 2));
  far.reply_serial = near.reply_serial;
  far.link->send(far.registration());
  CHECK(far.hears(written([&](MutableBytes out) {
    return write_register_reply(out, far.peer, far.reply_serial++, 0, RegisterResult::ok,
                                far.code());
  })));
  CHECK_FALSE(gateway.device(near.phone)->link.valid());
  near.reply_serial = far.reply_serial;
  CHECK(near.says(near.location(now_s), id::location, AckResult::failed));
  CHECK(near.goes_online());
  CHECK(near.says(near.location(now_s), id::location, AckResult::ok));
  CHECK(gateway.rooms[0].links->live_count() == 1);
  CHECK(gateway.counters(0).online.value() == 1);
  CHECK(positions(gateway.stored()).size() == 1);
}

TEST_CASE("replies held on one shard leave before the link moves to another") {
  GatewayOptions options;
  options.shards = 2;
  Gateway gateway(options);
  Terminal near(gateway, gateway.jt808(0), phone_of(0, 2));
  REQUIRE(near.goes_online());
  Terminal far(gateway, *near.link, phone_of(1, 2));
  Raw sent;
  Raw expected;
  for (int i = 0; i < 20; ++i) {
    sent = sent + near.location(now_s + i);
    expected = expected + near.ack(id::location, AckResult::ok);
  }
  far.reply_serial = near.reply_serial;
  sent = sent + far.authentication();
  expected = expected + far.ack(id::authentication, AckResult::ok);
  sent = sent + far.location(now_s);
  expected = expected + far.ack(id::location, AckResult::ok);
  near.link->send(sent);
  CHECK(far.hears(expected));
  CHECK(positions(gateway.stored()).size() == 21);
}

TEST_CASE("a link that moves one byte at a time") {
  GatewayOptions options;
  options.shards = 2;
  Gateway gateway(options);
  Terminal far(gateway, gateway.jt808(0), phone_of(1, 2));
  Raw sent = far.authentication();
  Raw expected = far.ack(id::authentication, AckResult::ok);
  sent = sent + far.location(now_s);
  expected = expected + far.ack(id::location, AckResult::ok);
  for (const std::uint8_t byte : sent) {
    far.link->send(Bytes(&byte, 1));
    gateway.turn();
  }
  CHECK(far.hears(expected));
}

TEST_CASE("the same phone on links of both shards: the later 0x0102 wins") {
  GatewayOptions options;
  options.shards = 2;
  Gateway gateway(options);
  const std::string phone = phone_of(1, 2);
  Terminal old(gateway, gateway.jt808(1), phone);
  REQUIRE(old.goes_online());
  Terminal fresh(gateway, gateway.jt808(0), phone);
  REQUIRE(fresh.goes_online());
  CHECK(gateway.until([&] { return old.link->closed; }));
  CHECK(fresh.says(fresh.location(now_s), id::location, AckResult::ok));
  CHECK(gateway.counters(1).online.value() == 1);
}

// One of each reason, as a whole segment of the stream.
struct BadBytes {
  BadReason reason;
  Raw bytes;
};
std::vector<BadBytes> bad_bytes() {
  const Raw good = frame_2013(id::location, 1, Raw(28));
  Raw wrong_check = wire(good);
  wrong_check[10] ^= 1;
  Raw wrong_length = good;
  wrong_length[3] = 27;
  Raw wrong_phone = good;
  wrong_phone[5] = 0xa0;
  Raw part_0 = good;
  part_0[2] = 0x20;
  part_0[3] = 24;  // the first four bytes of the body are total 0, number 0
  return {{BadReason::garbage, hex("0d0a1234")},
          {BadReason::escape, hex("7e0200007d037e")},
          {BadReason::checksum, wrong_check},
          {BadReason::too_short, hex("7e01027e")},
          {BadReason::oversize, Raw{0x7e} + Raw(2200, 0x11)},
          {BadReason::length, wire(wrong_length)},
          {BadReason::phone, wire(wrong_phone)},
          {BadReason::header, wire(part_0)}};
}

TEST_CASE("a bad frame of each reason costs itself only") {
  Gateway gateway;
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  REQUIRE(terminal.goes_online());
  for (const BadBytes& bad : bad_bytes()) {
    CAPTURE(name(bad.reason));
    const std::uint64_t before = gateway.counters().bad.value(bad.reason);
    Raw sent = terminal.location(now_s);
    Raw expected = terminal.ack(id::location, AckResult::ok);
    sent = sent + bad.bytes;
    sent = sent + terminal.location(now_s);
    expected = expected + terminal.ack(id::location, AckResult::ok);
    terminal.link->send(sent);
    CHECK(terminal.hears(expected));
    CHECK(gateway.counters().bad.value(bad.reason) > before);
  }
  CHECK_FALSE(terminal.link->closed);
  CHECK(positions(gateway.stored()).size() == 16);
}

TEST_CASE("a link is closed by the bad frame past the limit within the window, not before") {
  GatewayOptions options;
  options.jt808.max_bad_frames = 5;
  Gateway gateway(options);
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  REQUIRE(terminal.goes_online());
  const Raw bad = hex("7e01027e");
  const auto send_bad = [&](int count) {
    for (int i = 0; i < count; ++i) terminal.link->send(bad);
    // An answer proves that they were looked at.
    return terminal.says(terminal.empty(id::heartbeat), id::heartbeat, AckResult::ok);
  };
  CHECK(send_bad(5));
  gateway.advance(61 * ns_per_s);
  CHECK(send_bad(5));  // a new window
  gateway.advance(30 * ns_per_s);
  CHECK_FALSE(terminal.link->closed);
  // The sixth, between frames that are answered before it.
  terminal.link->send(terminal.location(now_s) + bad);
  CHECK(terminal.hears(terminal.ack(id::location, AckResult::ok)));
  CHECK(gateway.until([&] { return terminal.link->closed; }));
  CHECK_FALSE(terminal.link->reset);
  CHECK(gateway.lines.back().find("too many bad frames") != std::string::npos);
  CHECK_FALSE(gateway.device("13800138000")->link.valid());
}

TEST_CASE("guessing codes ends like bad frames do") {
  GatewayOptions options;
  options.jt808.max_bad_frames = 3;
  Gateway gateway(options);
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  Raw expected;
  for (int i = 0; i < 4; ++i) {
    terminal.link->send(terminal.authentication("1000AAAAAAAAAAAAAAAA"));
    expected = expected + terminal.ack(id::authentication, AckResult::failed);
  }
  CHECK(terminal.hears(expected));
  CHECK(gateway.until([&] { return terminal.link->closed; }));
}

TEST_CASE("the largest limit of bad frames is still one") {
  GatewayOptions options;
  options.jt808.max_bad_frames = 65535;
  Gateway gateway(options);
  Client& link = gateway.jt808();
  Raw bad;
  for (int i = 0; i < 4096; ++i) bad = bad + hex("7e017e");
  for (int piece = 0; piece < 17; ++piece) {
    std::size_t sent = 0;
    gateway.until([&] {
      sent += link.offer(Bytes(bad).subspan(sent));
      return sent == bad.size() || link.closed;
    });
  }
  CHECK(gateway.until([&] { return link.closed; }));
}

TEST_CASE("an acknowledgement waits for the disk") {
  Gateway gateway;
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  REQUIRE(terminal.goes_online());
  terminal.link->send(terminal.location(now_s));
  // Looked at in the turn that read the frame: its record goes to the kernel with the next.
  REQUIRE(gateway.until([&] { return gateway.counters().positions.value() == 1; }));
  const net::Link* link = gateway.rooms[0].links->find(gateway.device("13800138000")->link);
  REQUIRE(link != nullptr);
  CHECK(link->last_position > gateway.rooms[0].shard->watermark().committed());
  CHECK(link->out_end - link->out_released == ack_size);
  CHECK(terminal.hears(terminal.ack(id::location, AckResult::ok)));
  CHECK(link->last_position <= gateway.rooms[0].shard->watermark().committed());
}

TEST_CASE("durability none acknowledges without waiting for the disk") {
  GatewayOptions options;
  options.jt808.commit = false;
  Gateway gateway(options);
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  Raw sent = terminal.authentication();
  sent = sent + terminal.location(now_s);
  terminal.link->send(sent);
  Raw expected = terminal.ack(0, id::authentication, AckResult::ok);
  expected = expected + terminal.ack(1, id::location, AckResult::ok);
  // The replies are released in the turn that read the frames, when nothing can be durable yet.
  REQUIRE(gateway.until([&] { return gateway.counters().positions.value() == 1; }));
  net::Link* link = gateway.rooms[0].links->find(gateway.device("13800138000")->link);
  REQUIRE(link != nullptr);
  CHECK(link->last_position == 0);
  CHECK(link->out_released == link->out_end);
  CHECK(terminal.hears(expected));
  CHECK(positions(gateway.stored()).size() == 1);
}

// Fills the log until a frame is refused or not answered any more; the frames that were taken.
int fill_log(Gateway& gateway, Terminal& terminal, bool refusing) {
  const Raw body(1000, 0x55);
  gateway.sys.disk_full = true;
  for (int taken = 0; taken < 2000; ++taken) {
    terminal.link->send(terminal.message(0x0f01, body));
    const auto done = [&] {
      if (terminal.link->in.size() >= ack_size) return true;
      return !refusing && gateway.rooms[0].shard->watermark().state() == flow::LogState::holding;
    };
    REQUIRE(gateway.until([&] {
      gateway.sys.advance(ns_per_ms);
      return done();
    }));
    if (terminal.link->in.size() < ack_size) return taken;
    const Raw ok = terminal.ack(0x0f01, AckResult::unsupported);
    const bool stored = terminal.link->in == ok;
    if (!stored) {
      --terminal.reply_serial;
      CHECK(terminal.hears(terminal.ack(0x0f01, AckResult::failed)));
      return taken;
    }
    terminal.link->in.clear();
  }
  FAIL("the log is never full");
  return 0;
}

TEST_CASE("a log that refuses: result 1, heartbeats go on, the link stays, and it recovers") {
  Gateway gateway;
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  REQUIRE(terminal.goes_online());
  const int taken = fill_log(gateway, terminal, true);
  CHECK(gateway.rooms[0].shard->watermark().state() == flow::LogState::refusing);
  CHECK(terminal.says(terminal.location(now_s), id::location, AckResult::failed));
  CHECK(terminal.says(terminal.empty(id::heartbeat), id::heartbeat, AckResult::ok));
  // Another terminal is told the same, and stays unknown.
  Terminal other(gateway, gateway.jt808(), "13800138001");
  CHECK(other.says(other.registration(), id::registration, AckResult::failed));
  CHECK(other.says(other.authentication(), id::authentication, AckResult::failed));
  CHECK(gateway.device("13800138001") == nullptr);
  CHECK(gateway.counters().refused.value(Refusal::log) >= 4);
  gateway.sys.disk_full = false;
  REQUIRE(gateway.until([&] {
    gateway.sys.advance(10 * ns_per_ms);
    return gateway.rooms[0].shard->watermark().state() == flow::LogState::accepting;
  }));
  CHECK(terminal.says(terminal.location(now_s), id::location, AckResult::ok));
  CHECK(other.goes_online());
  const auto all = gateway.stored();
  CHECK(std::ranges::count_if(all, [](const Stored& r) { return r.message == 0x0f01; }) == taken);
  CHECK(positions(all).size() == 1);
}

TEST_CASE("a log that holds: no answer, reading rests, all is answered when space returns") {
  GatewayOptions options;
  options.on_failure = log::OnFailure::hold;
  Gateway gateway(options);
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  REQUIRE(terminal.goes_online());
  const int taken = fill_log(gateway, terminal, false);
  // More of the same while it holds, and a link that comes meanwhile.
  Raw expected = terminal.ack(0x0f01, AckResult::unsupported);
  for (int i = 0; i < 10; ++i) {
    terminal.link->send(terminal.location(now_s + i));
    expected = expected + terminal.ack(id::location, AckResult::ok);
  }
  Terminal other(gateway, gateway.jt808(), "13800138001");
  other.link->send(other.authentication());
  for (int i = 0; i < 50; ++i) gateway.turn();
  gateway.advance(400 * ns_per_s);  // no time-out runs while we are the ones who do not read
  CHECK(terminal.link->in.empty());
  CHECK(other.link->in.empty());
  CHECK_FALSE(terminal.link->closed);
  gateway.sys.disk_full = false;
  REQUIRE(gateway.until([&] {
    gateway.sys.advance(10 * ns_per_ms);
    return gateway.rooms[0].shard->watermark().state() == flow::LogState::accepting;
  }));
  CHECK(terminal.hears(expected));
  CHECK(other.hears(other.ack(0, id::authentication, AckResult::ok)));
  const auto all = gateway.stored();
  CHECK(std::ranges::count_if(all, [](const Stored& r) { return r.message == 0x0f01; }) ==
        taken + 1);
  CHECK(positions(all).size() == 10);
}

TEST_CASE("silence: the shorter time-out before authentication, the idle one after") {
  Gateway gateway;
  Client& silent = gateway.jt808();
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  REQUIRE(terminal.goes_online());
  REQUIRE(gateway.until([&] { return gateway.links() == 2; }));
  gateway.advance(59 * ns_per_s);
  CHECK(gateway.rooms[0].links->live_count() == 2);
  gateway.advance(2 * ns_per_s);
  CHECK(gateway.until([&] { return silent.closed; }));
  CHECK_FALSE(terminal.link->closed);
  gateway.advance(200 * ns_per_s);
  CHECK(terminal.says(terminal.empty(id::heartbeat), id::heartbeat, AckResult::ok));
  gateway.advance(299 * ns_per_s);
  CHECK_FALSE(terminal.link->closed);
  gateway.advance(2 * ns_per_s);
  CHECK(gateway.until([&] { return terminal.link->closed; }));
  CHECK(gateway.counters().online.value() == 0);
}

TEST_CASE("talking without authenticating does not keep a link beyond the same time") {
  Gateway gateway;
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  for (int i = 0; i < 5; ++i) {
    CHECK(terminal.says(terminal.empty(id::heartbeat), id::heartbeat, AckResult::failed));
    gateway.advance(11 * ns_per_s);
    CHECK_FALSE(terminal.link->closed);
  }
  gateway.advance(11 * ns_per_s);
  terminal.link->send(terminal.empty(id::heartbeat));
  CHECK(gateway.until([&] { return terminal.link->closed; }));
}

TEST_CASE("after a logout the shorter time-out is back") {
  Gateway gateway;
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  REQUIRE(terminal.goes_online());
  CHECK(terminal.says(terminal.empty(id::logout), id::logout, AckResult::ok));
  gateway.advance(61 * ns_per_s);
  CHECK(gateway.until([&] { return terminal.link->closed; }));
}

TEST_CASE("the idle time-out moves with the link") {
  GatewayOptions options;
  options.shards = 2;
  Gateway gateway(options);
  Terminal far(gateway, gateway.jt808(0), phone_of(1, 2));
  REQUIRE(far.goes_online());
  gateway.advance(100 * ns_per_s);
  CHECK_FALSE(far.link->closed);
  gateway.advance(201 * ns_per_s);
  CHECK(gateway.until([&] { return far.link->closed; }));
}

TEST_CASE("a frame that does not end closes the link; a lone delimiter does not") {
  Gateway gateway;
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  REQUIRE(terminal.goes_online());
  terminal.link->send(hex("7e7e"));
  gateway.settle();
  gateway.advance(100 * ns_per_s);
  CHECK_FALSE(terminal.link->closed);
  const Raw frame = terminal.location(now_s);
  terminal.link->send(Bytes(frame).subspan(1, 20));
  gateway.settle();
  // Bytes that come late do not keep it alive.
  gateway.advance(29 * ns_per_s);
  terminal.link->send(Bytes(frame).subspan(21, 1));
  gateway.settle();
  CHECK_FALSE(terminal.link->closed);
  gateway.advance(2 * ns_per_s);
  CHECK(gateway.until([&] { return terminal.link->closed; }));
}

TEST_CASE("a peer that closes: its last frames are stored and answered, the device is offline") {
  Gateway gateway;
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  REQUIRE(terminal.goes_online());
  terminal.link->send(terminal.location(now_s));
  terminal.link->finish();
  CHECK(terminal.hears(terminal.ack(id::location, AckResult::ok)));
  CHECK(gateway.until([&] { return terminal.link->closed && gateway.links() == 0; }));
  CHECK_FALSE(terminal.link->reset);
  const auto all = gateway.stored();
  CHECK(positions(all).size() == 1);
  CHECK(all.back().payload == "offline peer_closed");
}

}  // namespace
