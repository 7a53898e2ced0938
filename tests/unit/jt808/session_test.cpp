// What a terminal says and what it is answered, on one shard: wire bytes, log, device table.
#include "protocols/jt808/session.hpp"

#include "tests/unit/jt808/terminal.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::jt808;
using namespace ringgate::jt808::test;
using unit::Stored;

constexpr std::int64_t now_s = RigSys::start_unix_s + 1000;

std::vector<Stored> frames(const std::vector<Stored>& all) {
  std::vector<Stored> out;
  for (const Stored& record : all) {
    if (record.kind == log::Kind::frame_up) out.push_back(record);
  }
  return out;
}

std::vector<std::string> session_texts(const std::vector<Stored>& all) {
  std::vector<std::string> out;
  for (const Stored& record : all) {
    if (record.kind == log::Kind::session) out.push_back(record.payload);
  }
  return out;
}

TEST_CASE("a registration of each version is answered with the phone's code, as it stands here") {
  struct Case {
    Version version;
    std::string_view phone;
    std::size_t model_size;  // 8: the layout of 2011
    std::string_view reply_before_code;
  };
  // Delimiter, 0x8100, attributes, [version,] phone, serial 0, reply serial 0, result 0.
  const Case cases[] = {
      {Version::v2013, "13800138000", 8, "7e81000017" "013800138000" "0000" "0000" "00"},
      {Version::v2013, "13800138001", 20, "7e81000017" "013800138001" "0000" "0000" "00"},
      {Version::v2019, "13800138002", 30,
       "7e81004017" "01" "00000000013800138002" "0000" "0000" "00"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.phone);
    Gateway gateway;
    Terminal terminal(gateway, gateway.jt808(), c.phone, c.version);
    Raw sent = terminal.registration();
    if (c.model_size == 8) {
      FrameWriter writer(terminal.peer, id::registration, 0);
      writer.u16(44).u16(300).fixed("ABCDE", 5).fixed("M1", 8).fixed("T1", 7).u8(1).text("A88888");
      sent = written([&](MutableBytes out) { return writer.finish(out); });
    }
    terminal.link->send(sent);
    const Raw expected = written([&](MutableBytes out) {
      return write_register_reply(out, terminal.peer, terminal.reply_serial++, 0,
                                  RegisterResult::ok, terminal.code());
    });
    CHECK(to_hex(expected).starts_with(c.reply_before_code));
    CHECK(to_hex(expected).find(to_hex(as_bytes(terminal.code()))) != std::string::npos);
    CHECK(terminal.hears(expected));
    CHECK(gateway.counters().registrations.value() == 1);
    // The code is good, at once and on another link.
    CHECK(terminal.goes_online());
    Terminal again(gateway, gateway.jt808(), c.phone, c.version);
    CHECK(again.goes_online());
    const auto stored = frames(gateway.stored());
    REQUIRE(stored.size() == 3);
    CHECK(stored[0].message == id::registration);
    CHECK(stored[0].device == c.phone);
    CHECK(stored[1].message == id::authentication);
  }
}

TEST_CASE("a registration that is too short gets result 2 and is not logged") {
  Gateway gateway;
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  const Raw body(24);
  CHECK(terminal.says(terminal.message(id::registration, body), id::registration,
                      AckResult::bad_message));
  CHECK(gateway.counters().refused.value(Refusal::malformed) == 1);
  CHECK(gateway.stored().empty());
}

TEST_CASE("a wrong code, another phone's, a cut one and a longer one get result 1") {
  Gateway gateway;
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  const Terminal other(gateway, *terminal.link, "13800138001");
  const std::string code = terminal.code();
  CHECK(code.size() == Authenticator::code_size);
  CHECK(code != other.code());
  std::string flipped = code;
  flipped.back() = flipped.back() == 'A' ? 'B' : 'A';
  std::string upper = code;
  upper[0] = 'F';  // ids are written in lower case
  for (const std::string& wrong : {other.code(), flipped, upper, code.substr(0, 19), code + "x",
                                   std::string("x"), terminal.code(1)}) {
    CAPTURE(wrong);
    CHECK(terminal.says(terminal.authentication(wrong), id::authentication, AckResult::failed));
  }
  CHECK(gateway.counters().refused.value(Refusal::wrong_code) == 7);
  CHECK(gateway.device("13800138000") == nullptr);
  CHECK(terminal.goes_online());
  CHECK(frames(gateway.stored()).size() == 1);
}

TEST_CASE("the layouts of 0x0102: padded code, 2019 with and without what follows, broken length") {
  Gateway gateway;
  Terminal old(gateway, gateway.jt808(), "13800138000");
  const std::string padded = old.code() + std::string(4, '\0');
  CHECK(old.says(old.message(id::authentication, as_bytes(padded)), id::authentication,
                 AckResult::ok));
  CHECK(old.says(old.message(id::authentication, {}), id::authentication, AckResult::bad_message));

  Terminal young(gateway, gateway.jt808(), "13800138002", Version::v2019);
  const std::string alone = std::string(1, 20) + young.code();
  const std::string over = std::string(1, 21) + young.code();
  CHECK(young.says(young.message(id::authentication, as_bytes(over)), id::authentication,
                   AckResult::bad_message));
  CHECK(young.says(young.message(id::authentication, as_bytes(alone)), id::authentication,
                   AckResult::ok));
  CHECK(young.goes_online());  // with IMEI and software version
}

TEST_CASE("raising a device's generation revokes its codes; registering again gives the new one") {
  Gateway gateway;
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  REQUIRE(terminal.goes_online());
  state::Store& state = *gateway.rooms[0].jt808->oversight().state;
  REQUIRE(state.set_generation({Namespace::phone, "13800138000"}, 1) != 0);
  CHECK(terminal.says(terminal.authentication(), id::authentication, AckResult::failed));
  terminal.link->send(terminal.registration());
  terminal.hears(written([&](MutableBytes out) {
    return write_register_reply(out, terminal.peer, terminal.reply_serial++, 2, RegisterResult::ok,
                                terminal.code(1));
  }));
  CHECK(terminal.says(terminal.authentication(terminal.code(1)), id::authentication,
                      AckResult::ok));
}

TEST_CASE("before authentication everything else gets result 1, is counted and is not logged") {
  Gateway gateway;
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  for (const int id : {0x0002, 0x0003, 0x0200, 0x0704, 0x0f01, 0x8001}) {
    const auto message = static_cast<std::uint16_t>(id);
    CHECK(terminal.says(terminal.message(message), message, AckResult::failed));
  }
  CHECK(gateway.counters().refused.value(Refusal::unauthenticated) == 6);
  // An answer is not answered; the time is told.
  terminal.link->send(terminal.message(id::terminal_reply, Raw(5)));
  terminal.link->send(terminal.empty(id::time_query));
  const std::uint16_t serial = terminal.reply_serial++;
  CHECK(terminal.hears(written([&](MutableBytes out) {
    return write_time_reply(out, terminal.peer, serial, now_s);
  })));
  CHECK(gateway.counters().refused.value(Refusal::unauthenticated) == 7);
  CHECK(gateway.counters().bad.value(BadReason::garbage) == 0);
  CHECK(gateway.stored().empty());
}

TEST_CASE("0x8004 is the time in UTC, before and after authentication") {
  Gateway gateway;
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  terminal.link->send(terminal.empty(id::time_query));
  // 1795001000 s is 2026-11-18T11:23:20Z.
  CHECK(terminal.hears(hex("7e80040006013800138000" "0000" "261118112320" "15" "7e")));
  terminal.reply_serial = 1;
  REQUIRE(terminal.goes_online());
  gateway.sys.advance(40 * ns_per_s);
  gateway.turn();
  terminal.link->send(terminal.empty(id::time_query));
  CHECK(terminal.hears(written([&](MutableBytes out) {
    return write_time_reply(out, terminal.peer, terminal.reply_serial++, now_s + 40);
  })));
  const auto stored = frames(gateway.stored());
  REQUIRE(stored.size() == 2);
  CHECK(stored[1].message == id::time_query);
}

TEST_CASE("heartbeats are logged only when asked for") {
  for (const bool wanted : {false, true}) {
    GatewayOptions options;
    options.jt808.log_heartbeats = wanted;
    Gateway gateway(options);
    Terminal terminal(gateway, gateway.jt808(), "13800138000");
    REQUIRE(terminal.goes_online());
    CHECK(terminal.says(terminal.empty(id::heartbeat), id::heartbeat, AckResult::ok));
    CHECK(terminal.says(terminal.message(id::heartbeat, Raw{80, 30, 1}), id::heartbeat,
                        AckResult::ok));
    CHECK(frames(gateway.stored()).size() == (wanted ? 3 : 1));
  }
}

TEST_CASE("logout ends the terminal's session, not its link") {
  Gateway gateway;
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  REQUIRE(terminal.goes_online());
  CHECK(gateway.counters().online.value() == 1);
  CHECK(terminal.says(terminal.empty(id::logout), id::logout, AckResult::ok));
  CHECK(gateway.counters().online.value() == 0);
  CHECK_FALSE(gateway.device("13800138000")->link.valid());
  CHECK(terminal.says(terminal.location(now_s), id::location, AckResult::failed));
  CHECK(terminal.goes_online());
  CHECK(gateway.counters().online.value() == 1);
  const auto texts = session_texts(gateway.stored());
  REQUIRE(texts.size() == 3);
  CHECK(texts[0].starts_with("online 127.0.0.1:"));
  CHECK(texts[1] == "offline logout");
  CHECK(texts[2] == texts[0]);
}

TEST_CASE("a position is logged as sent, acknowledged, and the device's last state") {
  Gateway gateway;
  Terminal terminal(gateway, gateway.jt808(), "13800138000", Version::v2019);
  REQUIRE(terminal.goes_online());
  const Raw frame = terminal.location(now_s - 10);
  CHECK(terminal.says(frame, id::location, AckResult::ok));
  device::Device& device = *gateway.device("13800138000");
  auto& last = device.last_state<LastState>();
  CHECK(last.time_unix_s == now_s - 10);
  CHECK(last.received_us == now_s * us_per_s);
  CHECK(last.latitude_deg_x1e6 == 22'500'000);
  CHECK(last.longitude_deg_x1e6 == 114'000'000);
  CHECK(last.speed_kmh_x10 == 600);
  CHECK(last.heading_deg == 90);
  CHECK(last.has_odometer == 0);
  CHECK(device.frames == 1);
  CHECK(gateway.counters().positions.value() == 1);
  const auto stored = frames(gateway.stored());
  REQUIRE(stored.size() == 2);
  CHECK(stored[1].serial == 1);
  CHECK(stored[1].ns == Namespace::phone);
  // As it came, without delimiters, escapes and check.
  Raw scratch(scratch_size);
  CHECK(stored[1].payload == as_text(next_frame(frame, scratch).frame));
}

TEST_CASE("late, undated and far-future positions and the last state") {
  Gateway gateway;
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  REQUIRE(terminal.goes_online());
  const auto report = [&](std::int64_t time_s, std::uint32_t latitude) {
    REQUIRE(terminal.says(terminal.location(time_s, latitude), id::location, AckResult::ok));
    return gateway.device("13800138000")->last_state<LastState>().latitude_deg_x1e6;
  };
  // A terminal without a clock: 2000-00-00 is no date.
  FrameWriter undated(terminal.peer, id::location, terminal.serial++);
  undated.u32(0).u32(3).u32(1'000'001).u32(2).u16(0).u16(0).u16(0).bytes(Raw(6));
  CHECK(terminal.says(written([&](MutableBytes out) { return undated.finish(out); }), id::location,
                      AckResult::ok));
  const LastState& last = gateway.device("13800138000")->last_state<LastState>();
  CHECK(last.latitude_deg_x1e6 == 1'000'001);
  CHECK(last.received_us != 0);
  CHECK(report(now_s - 100, 2) == 2);
  CHECK(report(now_s - 500, 3) == 2);  // stored while out of coverage
  CHECK(report(now_s - 100, 4) == 4);  // the same second, later
  CHECK(report(now_s + 3600, 5) == 5);
  CHECK(report(now_s, 6) == 5);
  // A receiver that lost count of its weeks must not freeze the device for years.
  CHECK(report(now_s + 1024 * 7 * 86400, 7) == 7);
  CHECK(report(now_s + 1, 8) == 8);
}

TEST_CASE("a batch of positions: the newest stays, a broken one gets result 2 and is logged") {
  Gateway gateway;
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  REQUIRE(terminal.goes_online());
  const LocationFields old{.latitude_deg_x1e6 = 1, .time_unix_s = now_s - 900};
  const LocationFields young{.latitude_deg_x1e6 = 2, .time_unix_s = now_s - 600};
  const LocationFields positions[] = {young, old};
  CHECK(terminal.says(written([&](MutableBytes out) {
                        return write_location_batch(out, terminal.peer, terminal.serial++, 1,
                                                    positions);
                      }),
                      id::location_batch, AckResult::ok));
  const LastState& last = gateway.device("13800138000")->last_state<LastState>();
  CHECK(last.latitude_deg_x1e6 == 2);
  CHECK(gateway.counters().positions.value() == 2);
  // Count 3, type 0, one item that claims 28 bytes and has 20.
  const Raw broken = Raw{0, 3, 0, 0, 28} + Raw(20);
  CHECK(terminal.says(terminal.message(id::location_batch, broken), id::location_batch,
                      AckResult::bad_message));
  CHECK(frames(gateway.stored()).size() == 3);
}

TEST_CASE("malformed is 2, unknown is 3, what only a platform sends is 3; all are logged") {
  Gateway gateway;
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  REQUIRE(terminal.goes_online());
  CHECK(terminal.says(terminal.message(id::location, Raw(27)), id::location,
                      AckResult::bad_message));
  CHECK(terminal.says(terminal.message(0x0f01, Raw(3)), 0x0f01, AckResult::unsupported));
  for (const std::uint16_t downward : {id::platform_reply, id::time_reply,
                                       id::registration_reply}) {
    CHECK(terminal.says(terminal.message(downward, Raw(6)), downward, AckResult::unsupported));
  }
  CHECK(frames(gateway.stored()).size() == 6);
}

TEST_CASE("an answer of the terminal is logged and not answered") {
  Gateway gateway;
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  REQUIRE(terminal.goes_online());
  terminal.link->send(terminal.message(id::terminal_reply, Raw(5)));
  CHECK(terminal.says(terminal.empty(id::heartbeat), id::heartbeat, AckResult::ok));
  const auto stored = frames(gateway.stored());
  REQUIRE(stored.size() == 2);
  CHECK(stored[1].message == id::terminal_reply);
}

TEST_CASE("a retransmission is acknowledged again and flagged, within the last 16 frames") {
  Gateway gateway;
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  REQUIRE(terminal.goes_online());
  const Raw first = terminal.location(now_s);
  const std::uint16_t serial = terminal.serial - 1;
  CHECK(terminal.says(first, id::location, AckResult::ok));
  terminal.link->send(first);
  CHECK(terminal.hears(terminal.ack(serial, id::location, AckResult::ok)));
  // Same serial and id with another body is another message.
  terminal.serial = serial;
  CHECK(terminal.says(terminal.location(now_s, 1), id::location, AckResult::ok));
  // 14 more: `first` is the oldest of 16.
  for (int i = 0; i < 14; ++i) {
    CHECK(terminal.says(terminal.location(now_s), id::location, AckResult::ok));
  }
  terminal.link->send(first);
  CHECK(terminal.hears(terminal.ack(serial, id::location, AckResult::ok)));
  CHECK(terminal.says(terminal.location(now_s), id::location, AckResult::ok));
  terminal.link->send(first);
  CHECK(terminal.hears(terminal.ack(serial, id::location, AckResult::ok)));
  CHECK(gateway.counters().duplicates.value() == 2);
  std::string flags;
  for (const Stored& record : frames(gateway.stored())) flags += record.duplicate ? 'd' : '.';
  CHECK(flags == "..d..............." "d..");
}

TEST_CASE("a retransmission is known on the terminal's next link too") {
  Gateway gateway;
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  REQUIRE(terminal.goes_online());
  const Raw frame = terminal.location(now_s);
  CHECK(terminal.says(frame, id::location, AckResult::ok));
  Terminal later(gateway, gateway.jt808(), "13800138000");
  later.serial = 7;
  REQUIRE(later.goes_online());
  later.link->send(frame);
  CHECK(later.hears(later.ack(1, id::location, AckResult::ok)));
  CHECK(frames(gateway.stored()).back().duplicate);
}

TEST_CASE("replies repeat phone width, version byte and version bit as they came") {
  Gateway gateway;
  // Version byte 0x7e has to be escaped; and the bit of 2019 over the layout of 2013.
  for (const int kind : {0, 1, 2}) {
    Terminal terminal(gateway, gateway.jt808(), "13900139000",
                      kind == 0 ? Version::v2019 : Version::v2013);
    Raw header = hex(kind == 0   ? "0102" "4038" "7e" "00000000013900139000" "0009"
                     : kind == 1 ? "0102" "4014" "013900139000" "0009"
                                 : "0102" "0014" "013900139000" "0009");
    const std::string code = terminal.code();
    Raw body(code.begin(), code.end());
    if (kind == 0) body = Raw{20} + body + Raw(35);
    terminal.link->send(wire(header + body));
    const Raw reply = hex(kind == 0   ? "8001" "4005" "7e" "00000000013900139000" "0000"
                          : kind == 1 ? "8001" "4005" "013900139000" "0000"
                                      : "8001" "0005" "013900139000" "0000");
    CHECK(terminal.hears(wire(reply + hex("0009" "0102" "00"))));
  }
}

TEST_CASE("one terminal, two header layouts on one link: same device, each reply as its frame") {
  Gateway gateway;
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  REQUIRE(terminal.goes_online());
  Terminal young(gateway, *terminal.link, "13800138000", Version::v2019);
  young.reply_serial = terminal.reply_serial;
  young.serial = 50;
  CHECK(young.says(young.location(now_s), id::location, AckResult::ok));
  terminal.reply_serial = young.reply_serial;
  CHECK(terminal.says(terminal.location(now_s), id::location, AckResult::ok));
  CHECK(gateway.counters().online.value() == 1);
  CHECK(frames(gateway.stored()).size() == 3);
}

TEST_CASE("serials of terminal and platform wrap at 65535") {
  GatewayOptions options;
  options.jt808.commit = false;
  Gateway gateway(options);
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  terminal.serial = 65530;
  REQUIRE(terminal.goes_online());
  constexpr int pieces = 66;
  for (int piece = 0; piece < pieces; ++piece) {
    Raw sent;
    Raw expected;
    for (int i = 0; i < 1000; ++i) {
      sent = sent + terminal.empty(id::heartbeat);
      expected = expected + terminal.ack(id::heartbeat, AckResult::ok);
    }
    terminal.link->send(sent);
    if (!terminal.hears(expected)) break;
  }
  CHECK(terminal.reply_serial == (1 + pieces * 1000) % 65536);
}

TEST_CASE("one byte at a time") {
  Gateway gateway;
  Terminal terminal(gateway, gateway.jt808(), "13800138000", Version::v2019);
  Raw sent = terminal.authentication();
  sent = sent + terminal.location(now_s);
  sent = sent + terminal.empty(id::heartbeat);
  for (std::size_t i = 0; i < sent.size(); ++i) {
    terminal.link->send(Bytes(sent).subspan(i, 1));
    gateway.turn();
  }
  Raw expected = terminal.ack(0, id::authentication, AckResult::ok);
  expected = expected + terminal.ack(1, id::location, AckResult::ok);
  CHECK(terminal.hears(expected + terminal.ack(2, id::heartbeat, AckResult::ok)));
}

}  // namespace
