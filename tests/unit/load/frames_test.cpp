// The load tool's own frames, read back with the server's codec: two pieces of code that were
// written apart must agree. Replies are written here by hand.
#include <doctest/doctest.h>

#include <array>
#include <vector>

#include "engine/base/hex.hpp"
#include "protocols/jt808/codec/framing.hpp"
#include "protocols/jt808/codec/header.hpp"
#include "protocols/jt808/codec/location.hpp"
#include "tools/load/frames.hpp"

using namespace ringgate;
using load::FrameWriter;
using load::Version;

namespace {

struct Decoded {
  jt808::Header header;
  std::vector<std::uint8_t> body;
};

Decoded decode(const std::uint8_t* wire, std::size_t size) {
  std::array<std::uint8_t, jt808::scratch_size> scratch;
  const jt808::NextFrame next = jt808::next_frame({wire, size}, scratch);
  REQUIRE(next.kind == jt808::NextFrame::Kind::frame);
  REQUIRE(next.consumed == size);
  Decoded out;
  REQUIRE(jt808::parse_header(next.frame, out.header) == jt808::BadReason::none);
  const Bytes body = jt808::body_of(next.frame, out.header);
  out.body.assign(body.begin(), body.end());
  return out;
}

// What stands between the delimiters.
std::vector<std::uint8_t> inside(std::string_view hex) { return *from_hex(hex); }

}  // namespace

TEST_CASE("a report of the perf mix is 69 bytes and carries what was asked") {
  FrameWriter writer(Version::v2013);
  std::uint8_t wire[FrameWriter::report_bytes_max];
  const load::Phone phone = load::phone_from_number(13'800'001'234);
  load::Position position;
  position.latitude_udeg = 23'129'163;
  position.speed_dkmh = 513;
  const load::BcdTime time = load::bcd_time(1'700'000'000 * us_per_s);
  const std::size_t size = writer.report(wire, phone, 0x1234, time, position);
  CHECK(size == 69);
  const Decoded got = decode(wire, size);
  CHECK(got.header.message_id == 0x0200);
  CHECK(got.header.serial == 0x1234);
  CHECK(got.header.version == jt808::Version::v2013);
  CHECK(got.header.phone.text() == "13800001234");
  jt808::Location location;
  REQUIRE(jt808::decode_location(got.body, location));
  CHECK(location.time_unix_s == 1'700'000'000);
  CHECK(location.latitude_deg_x1e6 == 23'129'163);
  CHECK(location.speed_kmh_x10 == 513);
  CHECK(location.fixed());
  CHECK(location.item_count == 6);
  CHECK(location.bad_count == 0);
  CHECK(location.value(jt808::Item::odometer_km_x10) == position.odometer_hm);
  CHECK(location.value(jt808::Item::satellites) == position.satellites);
}

TEST_CASE("every serial and phone survives the escapes, in both versions") {
  for (const Version version : {Version::v2013, Version::v2019}) {
    FrameWriter writer(version);
    std::uint8_t wire[FrameWriter::report_bytes_max];
    std::size_t escaped = 0;
    for (std::uint32_t serial = 0; serial <= 0xffff; serial += 7) {
      const load::Phone phone = load::phone_from_number(13'800'000'000 + serial * 1'001);
      const std::size_t size =
          writer.report(wire, phone, static_cast<std::uint16_t>(serial), load::BcdTime{});
      const Decoded got = decode(wire, size);
      REQUIRE(got.header.serial == serial);
      REQUIRE(got.header.phone.text() == std::to_string(13'800'000'000 + serial * 1'001));
      escaped += size > got.header.size + got.body.size() + 3 ? 1 : 0;
    }
    CHECK(escaped > 50);  // serials, check bytes
  }
}

TEST_CASE("bytes that need escapes are written right at every place of a frame") {
  for (std::size_t count = 13; count < 40; ++count) {
    for (std::size_t at = 0; at < count; ++at) {
      for (const std::uint8_t special : {std::uint8_t{0x7d}, std::uint8_t{0x7e}}) {
        std::vector<std::uint8_t> raw(count + 8, 0x7e);  // what lies behind must not get out
        for (std::size_t i = 0; i < count; ++i) raw[i] = static_cast<std::uint8_t>(i);
        raw[at] = special;
        std::vector<std::uint8_t> expected(raw.begin(), raw.begin() + static_cast<long>(count));
        std::vector<std::uint8_t> wire(2 * count + 12);
        const std::size_t size = load::write_frame(wire.data(), raw.data(), count);
        REQUIRE(wire[0] == 0x7e);
        REQUIRE(wire[size - 1] == 0x7e);
        std::uint8_t check = 0;
        std::vector<std::uint8_t> got;
        for (std::size_t i = 1; i + 1 < size; ++i) {
          std::uint8_t byte = wire[i];
          REQUIRE(byte != 0x7e);
          if (byte == 0x7d) byte = wire[++i] == 2 ? 0x7e : 0x7d;
          got.push_back(byte);
          check = static_cast<std::uint8_t>(check ^ byte);
        }
        got.pop_back();
        REQUIRE(check == 0);
        REQUIRE(got == expected);
      }
    }
  }
}

TEST_CASE("registration and authentication have the bodies of their version") {
  const load::Phone phone = load::phone_from_number(13'912'345'678);
  const Bytes code = as_bytes("secret~}code");
  std::uint8_t wire[FrameWriter::frame_bytes_max];
  for (const Version version : {Version::v2013, Version::v2019}) {
    const bool wide = version == Version::v2019;
    const FrameWriter writer(version);
    Decoded got = decode(wire, writer.register_terminal(wire, phone, 0));
    CHECK(got.header.message_id == 0x0100);
    CHECK(got.body.size() == (wide ? 86 : 47));
    CHECK(as_text(Bytes(got.body).last(10)) == "TEST345678");
    CHECK(got.body[wide ? 75 : 36] == 2);
    got = decode(wire, writer.authenticate(wire, phone, 1, code));
    CHECK(got.header.message_id == 0x0102);
    CHECK(got.header.serial == 1);
    const std::size_t at = wide ? 1 : 0;
    CHECK(as_text(Bytes(got.body).subspan(at, code.size())) == as_text(code));
    CHECK(got.body.size() == code.size() + (wide ? 36 : 0));
    if (wide) CHECK(got.body[0] == code.size());
  }
}

TEST_CASE("phones and times are what they look like") {
  CHECK(to_hex(load::phone_from_number(13'800'001'234)) == "013800001234");
  CHECK(load::number_from_phone(load::phone_from_number(999'999'999'999)) == 999'999'999'999);
  // 2023-11-14 22:13:20 UTC is the 15th in China.
  CHECK(to_hex(load::bcd_time(1'700'000'000 * us_per_s)) == "231115061320");
}

TEST_CASE("replies are read, and broken ones told apart") {
  load::ReplyScratch scratch;
  load::Reply reply;
  std::vector<std::uint8_t> bytes;  // reply.code may point into it
  const auto parse = [&](std::string_view hex, Version version = Version::v2013) {
    bytes = inside(hex);
    return load::parse_reply(bytes, version, scratch, reply);
  };
  // 0x8001 to report 0x7e7d: escaped serial.
  CHECK(parse("8001 0005 013800001234 0000 7d027d01 0200 00 9a") == load::ReplyKind::general);
  CHECK(reply.serial == 0x7e7d);
  CHECK(reply.answered_id == 0x0200);
  CHECK(reply.result == 0);
  CHECK(load::number_from_phone(reply.phone) == 13'800'001'234);
  CHECK(parse("8100 0007 013800001234 0001 0000 00 61626364 9c") == load::ReplyKind::registered);
  CHECK(as_text(reply.code) == "abcd");
  CHECK(parse("8104 0000 013800001234 0001 9b") == load::ReplyKind::other);
  // Wrong check byte, wrong length, escape that is none, other version, too short.
  CHECK(parse("8001 0005 013800001234 0000 0001 0200 00 99") == load::ReplyKind::broken);
  CHECK(parse("8001 0006 013800001234 0000 0001 0200 00 9b") == load::ReplyKind::broken);
  CHECK(parse("8001 0005 013800001234 0000 7d03 7d01 0200 00 9a") == load::ReplyKind::broken);
  CHECK(parse("8104 0000 013800001234 0001 9b", Version::v2019) == load::ReplyKind::broken);
  CHECK(parse("80 01") == load::ReplyKind::broken);
  CHECK(parse("8001 4005 01 00000000013800001234 0000 0001 0200 00 d9", Version::v2019) ==
        load::ReplyKind::general);
  CHECK(reply.serial == 1);
}
