#include <doctest/doctest.h>

#include "protocols/jt808/codec/location.hpp"
#include "protocols/jt808/codec/messages.hpp"
#include "tests/unit/jt808/support.hpp"

using namespace ringgate;
using namespace ringgate::jt808;
using namespace ringgate::jt808::test;

namespace {

struct Parsed {
  Header header;
  Raw body;
};

// Exactly one frame must come out of `wire_bytes`.
Parsed parsed(Bytes wire_bytes) {
  Stream stream;
  stream.feed(wire_bytes);
  REQUIRE(stream.events.size() == 1);
  REQUIRE(stream.events[0].reason == BadReason::none);
  REQUIRE(stream.kept.empty());
  Parsed out;
  REQUIRE(parse_header(stream.events[0].frame, out.header) == BadReason::none);
  const Bytes body = body_of(stream.events[0].frame, out.header);
  out.body.assign(body.begin(), body.end());
  return out;
}

const Peer peer_2013 = make_peer(Version::v2013, "13800138000");
const Peer peer_2019 = make_peer(Version::v2019, "13800138000");

}  // namespace

TEST_CASE("peers echo what the terminal sent") {
  CHECK(to_hex({peer_2013.bytes, peer_2013.size}) == "013800138000");
  CHECK(to_hex({peer_2019.bytes, peer_2019.size}) == "0100000000013800138000");
  Header header;
  REQUIRE(parse_header(hex("0002 4000 7e 00000000013800138000 0001"), header) == BadReason::none);
  const Peer odd = peer_of(header);
  CHECK(odd.needs_escape == 1);
  CHECK(to_hex({odd.bytes, odd.size}) == "7e00000000013800138000");
  CHECK(to_hex({make_peer(Version::v2013, "1234567890123").bytes, 6}) == "000000000000");
  CHECK(to_hex({make_peer(Version::v2013, "12a").bytes, 6}) == "000000000000");
}

TEST_CASE("a frame is from a peer exactly when its own peer is the same") {
  const std::string_view frames[] = {
      "0002 0000 013800138000 0001",         "0002 0000 013800138001 0001",
      "0002 0000 113800138000 0001",         "0002 4000 013800138000 0001",
      "0002 4000 01 00000000013800138000 0001", "0002 4000 02 00000000013800138000 0001",
      "0002 4000 01 00000000013800138001 0001", "0002 4000 01 10000000013800138000 0001",
  };
  for (const std::string_view one : frames) {
    Header header;
    REQUIRE(parse_header(hex(one), header) == BadReason::none);
    for (const std::string_view other : frames) {
      Header its;
      REQUIRE(parse_header(hex(other), its) == BadReason::none);
      CHECK(is_from(header, peer_of(its)) == (one == other));
    }
  }
}

TEST_CASE("0x8001 on the fast way is byte for byte what the general writer makes") {
  std::mt19937_64 random(3);
  std::size_t escaped = 0;
  Peer odd = peer_2019;
  odd.bytes[0] = 0x7e;
  odd.check = static_cast<std::uint8_t>(odd.check ^ 0x01 ^ 0x7e);
  odd.needs_escape = 1;
  const Peer peers[] = {peer_2013, peer_2019, odd};
  for (int round = 0; round < 60000; ++round) {
    const Peer& peer = peers[round % 3];
    const auto serial = static_cast<std::uint16_t>(random() % 0x200);
    const auto reply_serial = static_cast<std::uint16_t>(random());
    const auto reply_id = static_cast<std::uint16_t>(random() % 2 != 0 ? 0x0200 : random());
    const auto result = static_cast<AckResult>(random() % 5);
    Raw fast(ack_size_max);
    const std::size_t size = write_ack(fast, peer, serial, reply_serial, reply_id, result);
    FrameWriter writer(peer, 0x8001, serial);
    writer.u16(reply_serial).u16(reply_id).u8(static_cast<std::uint8_t>(result));
    Raw slow(wire_size_max);
    slow.resize(writer.finish(slow));
    fast.resize(size);
    REQUIRE(fast == slow);
    if (size != 14U + peer.size) ++escaped;
  }
  CHECK(escaped > 0);
  Raw small(ack_size_max - 1);
  // Too little room for the worst case is still enough for most.
  CHECK(write_ack(small, peer_2013, 1, 2, 0x0200, AckResult::ok) == 20);
  Raw none(19);
  CHECK(write_ack(none, peer_2013, 1, 2, 0x0200, AckResult::ok) == 0);
}

TEST_CASE("replies: 0x8100 with and without a code, 0x8004 in UTC") {
  Raw out(wire_size_max);
  std::size_t size = write_register_reply(out, peer_2019, 5, 77, RegisterResult::ok, "secret");
  Parsed reply = parsed(Bytes(out).first(size));
  CHECK(reply.header.message_id == 0x8100);
  CHECK(reply.header.serial == 5);
  CHECK(to_hex(reply.body) == "004d00736563726574");
  size = write_register_reply(out, peer_2013, 5, 77, RegisterResult::no_such_vehicle, "secret");
  CHECK(to_hex(parsed(Bytes(out).first(size)).body) == "004d02");
  size = write_time_reply(out, peer_2019, 6, 1576573799);
  reply = parsed(Bytes(out).first(size));
  CHECK(reply.header.message_id == 0x8004);
  CHECK(to_hex(reply.body) == "191217090959");
}

TEST_CASE("registration and authentication come back as they were put, in both layouts") {
  const RegisterFields fields{.province = 31,
                              .city = 115,
                              .maker = "syzh",
                              .model = "model-1",
                              .terminal_id = "7654321",
                              .plate_color = 1,
                              .plate_gbk = "\xb2\xe2"
                                           "A88888"};
  for (const Peer& peer : {peer_2013, peer_2019}) {
    Raw out(wire_size_max);
    std::size_t size = write_register(out, peer, 1, fields);
    Parsed frame = parsed(Bytes(out).first(size));
    Registration registration;
    REQUIRE(decode_registration(frame.header, frame.body, registration));
    CHECK((registration.layout == Registration::Layout::v2019) == (peer.size == 11));
    CHECK(registration.province == 31);
    CHECK(registration.city == 115);
    CHECK(as_text(registration.maker) == "syzh");
    CHECK(as_text(registration.model) == "model-1");
    CHECK(as_text(registration.terminal_id) == "7654321");
    CHECK(registration.plate_color == 1);
    CHECK(as_text(registration.plate) == fields.plate_gbk);

    size = write_auth(out, peer, 2, "code-1", "123456789012345", "3.7.15");
    frame = parsed(Bytes(out).first(size));
    Authentication authentication;
    REQUIRE(decode_authentication(frame.header, frame.body, authentication));
    CHECK(as_text(authentication.code) == "code-1");
    CHECK(as_text(authentication.imei) == (peer.size == 11 ? "123456789012345" : ""));
    CHECK(as_text(authentication.software_version) == (peer.size == 11 ? "3.7.15" : ""));

    size = write_empty(out, peer, id::heartbeat, 0xffff);
    frame = parsed(Bytes(out).first(size));
    CHECK(frame.header.message_id == 0x0002);
    CHECK(frame.header.serial == 0xffff);
    CHECK(frame.body.empty());
  }
}

TEST_CASE("registrations of 2011 are told by their size") {
  const Raw body = hex("001f 0073 3132333435 6d6f64656c202020 69643132333435 02") + Raw(7, 'P');
  CHECK(body.size() == 32);
  Header header;
  REQUIRE(parse_header(frame_2013(0x0100, 1, body), header) == BadReason::none);
  Registration registration;
  REQUIRE(decode_registration(header, body, registration));
  CHECK(registration.layout == Registration::Layout::v2011);
  CHECK(as_text(registration.model) == "model");
  CHECK(as_text(registration.terminal_id) == "id12345");
  CHECK(registration.plate_color == 2);
  CHECK(as_text(registration.plate) == "PPPPPPP");
  CHECK_FALSE(decode_registration(header, Bytes(body).first(24), registration));
  CHECK(decode_registration(header, Bytes(body).first(25), registration));
}

TEST_CASE("authentication of 2019 with a code that is longer than the body is refused") {
  Header header{};
  header.version = Version::v2019;
  Authentication authentication;
  const Raw too_long = hex("05 61626364");
  const Raw code_only = hex("04 61626364");
  const Raw padded = hex("61626364 0000");
  CHECK_FALSE(decode_authentication(header, too_long, authentication));
  CHECK(decode_authentication(header, code_only, authentication));
  CHECK(as_text(authentication.code) == "abcd");
  CHECK_FALSE(decode_authentication(header, {}, authentication));
  header.version = Version::v2013;
  CHECK(decode_authentication(header, padded, authentication));
  CHECK(as_text(authentication.code) == "abcd");
}

TEST_CASE("positions come back as they were put, alone and in a batch") {
  std::mt19937_64 random(11);
  for (int round = 0; round < 3000; ++round) {
    const Raw items = hex("3101") + Raw(1, static_cast<std::uint8_t>(random())) + hex("0104") +
                      random_bytes(random, 4);
    LocationFields fields[3];
    for (LocationFields& at : fields) {
      at.alarm_bits = static_cast<std::uint32_t>(random());
      at.status_bits = static_cast<std::uint32_t>(random());
      at.latitude_deg_x1e6 = static_cast<std::uint32_t>(random() % 90'000'001);
      at.longitude_deg_x1e6 = static_cast<std::uint32_t>(random() % 180'000'001);
      at.altitude_m = static_cast<std::uint16_t>(random() % 9000);
      at.speed_kmh_x10 = static_cast<std::uint16_t>(random());
      at.heading_deg = static_cast<std::uint16_t>(random() % 360);
      at.time_unix_s = 1'700'000'000 + static_cast<std::int64_t>(random() % 100'000'000);
      at.items = items;
    }
    const auto same = [&](const LocationFields& put, const Location& got) {
      const bool south = (put.status_bits & 4) != 0;
      const auto latitude = static_cast<std::int32_t>(put.latitude_deg_x1e6);
      REQUIRE(got.alarm_bits == put.alarm_bits);
      REQUIRE(got.status_bits == put.status_bits);
      REQUIRE(got.latitude_deg_x1e6 == (south ? -latitude : latitude));
      REQUIRE(got.speed_kmh_x10 == put.speed_kmh_x10);
      REQUIRE(got.time_unix_s == put.time_unix_s);
      REQUIRE(got.value(Item::satellites) == items[2]);
      REQUIRE(got.value(Item::odometer_km_x10) == load_be32(&items[5]));
    };
    const Peer& peer = round % 2 == 0 ? peer_2013 : peer_2019;
    Raw out(wire_size_max);
    Parsed frame = parsed(Bytes(out).first(write_location(out, peer, 1, fields[0])));
    Location got;
    REQUIRE(decode_location(frame.body, got));
    same(fields[0], got);
    frame = parsed(Bytes(out).first(write_location_batch(out, peer, 1, 1, fields)));
    std::size_t index = 0;
    const BatchSummary batch = for_each_location(
        frame.body, [&](const Location& at, Bytes, std::size_t) { same(fields[index++], at); });
    REQUIRE(batch.decoded == 3);
    REQUIRE(batch.declared == 3);
    REQUIRE_FALSE(batch.malformed);
  }
}

TEST_CASE("what does not fit is refused, not cut") {
  FrameWriter writer(peer_2013, 0x0900, 1);
  CHECK(writer.body_left() == body_size_max);
  writer.bytes(Raw(body_size_max, 0x11));
  CHECK(writer.body_left() == 0);
  Raw out(wire_size_max);
  CHECK(writer.finish(out) == 2 + 12 + 1023 + 1);
  writer.u8(1);
  CHECK(writer.finish(out) == 0);
  const Raw frame = frame_2013(0x0002, 1, {});
  Raw exact(15);
  CHECK(write_frame(exact, frame) == 15);
  Raw small(14);
  CHECK(write_frame(small, frame) == 0);
}
