#include <doctest/doctest.h>

#include "tests/unit/jt808/support.hpp"

using namespace ringgate;
using namespace ringgate::jt808;
using namespace ringgate::jt808::test;

namespace {

BadReason reason_of(const Raw& frame) {
  Header header;
  return parse_header(frame, header);
}

std::string phone_of(const Raw& frame) {
  Header header;
  REQUIRE(parse_header(frame, header) == BadReason::none);
  return std::string(header.phone.text());
}

}  // namespace

TEST_CASE("2013: twelve bytes, phone of six") {
  const Raw frame = hex("0200 0003 013800138000 1234 aabbcc");
  Header header;
  REQUIRE(parse_header(frame, header) == BadReason::none);
  CHECK(header.message_id == 0x0200);
  CHECK(header.version == Version::v2013);
  CHECK(header.serial == 0x1234);
  CHECK(header.size == 12);
  CHECK(header.phone.text() == "13800138000");
  CHECK(to_hex({header.phone_bcd, header.phone_size}) == "013800138000");
  CHECK(to_hex(body_of(frame, header)) == "aabbcc");
  CHECK_FALSE(header.subpackage());
  CHECK_FALSE(header.encrypted());
}

TEST_CASE("2019: version byte, phone of ten") {
  const Raw frame = hex("0200 4001 02 00000000017299841738 ffff aa");
  Header header;
  REQUIRE(parse_header(frame, header) == BadReason::none);
  CHECK(header.version == Version::v2019);
  CHECK(header.version_byte == 2);
  CHECK(header.size == 17);
  CHECK(header.phone.text() == "17299841738");
  CHECK(header.phone_size == 10);
  CHECK(header.serial == 0xffff);
}

TEST_CASE("subpackage fields are read in both layouts, and must make sense") {
  Header header;
  REQUIRE(parse_header(hex("0801 2001 013800138000 0001 0003 0002 aa"), header) ==
          BadReason::none);
  CHECK(header.size == 16);
  CHECK(header.packet_total == 3);
  CHECK(header.packet_number == 2);
  CHECK(header.fragment());
  REQUIRE(parse_header(hex("0801 6001 01 00000000013800138000 0001 0001 0001 aa"), header) ==
          BadReason::none);
  CHECK(header.size == 21);
  CHECK(header.subpackage());
  CHECK_FALSE(header.fragment());
  CHECK(reason_of(hex("0801 2001 013800138000 0001 0003 0000 aa")) == BadReason::header);
  CHECK(reason_of(hex("0801 2001 013800138000 0001 0003 0004 aa")) == BadReason::header);
  CHECK(reason_of(hex("0801 2000 013800138000 0001")) == BadReason::length);
}

TEST_CASE("encryption bits are kept") {
  Header header;
  REQUIRE(parse_header(hex("0200 0402 013800138000 0001 aabb"), header) == BadReason::none);
  CHECK(header.encrypted());
  CHECK(header.body_size() == 2);
}

TEST_CASE("the version bit over the layout of 2013: the length decides") {
  const Raw frame = hex("0200 4003 013800138000 1234 aabbcc");
  Header header;
  REQUIRE(parse_header(frame, header) == BadReason::none);
  CHECK(header.version == Version::v2013);
  CHECK(header.phone.text() == "13800138000");
  const Peer peer = peer_of(header);
  CHECK(peer.size == 6);
  CHECK(peer.versioned == 0x40);
  // The reply has what the terminal sent: its layout and its bit.
  Raw out(wire_size_max);
  out.resize(write_ack(out, peer, 1, 0x1234, 0x0200, AckResult::ok));
  CHECK(to_hex(Bytes(out).subspan(1, 10)) == "80014005013800138000");
}

TEST_CASE("length disagreements and short headers") {
  CHECK(reason_of(hex("0200 0003 013800138000 1234 aabb")) == BadReason::length);
  CHECK(reason_of(hex("0200 0003 013800138000 1234 aabbccdd")) == BadReason::length);
  CHECK(reason_of(hex("0200 4003 01 00000000013800138000 1234 aabb")) == BadReason::length);
  CHECK(reason_of(hex("0200 0003 013800138000")) == BadReason::too_short);
  CHECK(reason_of({}) == BadReason::too_short);
}

TEST_CASE("phones: leading zeros go, all zeros stay one, nibbles above 9 are refused") {
  CHECK(phone_of(hex("0002 0000 000000000000 0001")) == "0");
  CHECK(phone_of(hex("0002 0000 000000000007 0001")) == "7");
  CHECK(phone_of(hex("0002 0000 987654321098 0001")) == "987654321098");
  CHECK(phone_of(hex("0002 4000 01 00000000000000000000 0001")) == "0");
  CHECK(phone_of(hex("0002 4000 01 00000000000000000009 0001")) == "9");
  CHECK(phone_of(hex("0002 4000 01 00000000000000009000 0001")) == "9000");
  CHECK(phone_of(hex("0002 4000 01 00000000000000010000 0001")) == "10000");
  CHECK(phone_of(hex("0002 4000 01 12345678901234567890 0001")) == "12345678901234567890");
  for (int nibble = 0; nibble < 12; ++nibble) {
    for (std::uint8_t value = 0; value < 16; ++value) {
      Raw frame = hex("0002 0000 000000000000 0001");
      frame[4 + nibble / 2] = static_cast<std::uint8_t>(nibble % 2 == 0 ? value << 4 : value);
      CHECK(reason_of(frame) == (value < 10 ? BadReason::none : BadReason::phone));
    }
  }
  for (int nibble = 0; nibble < 20; ++nibble) {
    Raw frame = hex("0002 4000 01 00000000000000000000 0001");
    frame[5 + nibble / 2] = nibble % 2 == 0 ? 0xa0 : 0x0a;
    CHECK(reason_of(frame) == BadReason::phone);
    frame[5 + nibble / 2] = nibble % 2 == 0 ? 0x90 : 0x09;
    std::string expected(static_cast<std::size_t>(20 - nibble), '0');
    expected[0] = '9';
    CHECK(phone_of(frame) == expected);
  }
}
