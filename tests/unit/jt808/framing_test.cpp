#include <doctest/doctest.h>

#include <set>

#include "tests/unit/jt808/support.hpp"
#include "tests/unit/jt808/vectors.hpp"

using namespace ringgate;
using namespace ringgate::jt808;
using namespace ringgate::jt808::test;

namespace {

Raw good(std::uint16_t serial) {
  const std::uint8_t body[] = {1, 2, 0x7e, 4, 0x7d};
  return wire(frame_2013(0x0200, serial, body));
}

std::vector<Event> expect_good(std::uint16_t serial) {
  const std::uint8_t body[] = {1, 2, 0x7e, 4, 0x7d};
  return {{BadReason::none, frame_2013(0x0200, serial, body)}};
}

// The check byte of `frame` wrong by one bit.
Raw with_wrong_check(Raw frame) {
  std::uint8_t check = 0x08;
  for (const std::uint8_t byte : frame) check = static_cast<std::uint8_t>(check ^ byte);
  frame.push_back(check);
  Raw out{0x7e};
  for (const std::uint8_t byte : frame) {
    if (byte == 0x7e || byte == 0x7d) out.push_back(0x7d);
    const bool escaped = byte == 0x7e || byte == 0x7d;
    out.push_back(escaped ? static_cast<std::uint8_t>(byte - 0x7c) : byte);
  }
  out.push_back(0x7e);
  return out;
}

// Between two good frames, `middle` gives exactly these reasons and costs neither of them, however
// the stream is cut.
void check_between(const Raw& middle, const std::vector<BadReason>& reasons) {
  const Raw stream = good(1) + middle + good(2);
  std::vector<Event> expected = expect_good(1);
  for (const BadReason reason : reasons) expected.push_back({reason, {}});
  expected.push_back(expect_good(2)[0]);
  for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
    Stream split;
    split.feed(Bytes(stream).first(cut));
    split.feed(Bytes(stream).subspan(cut));
    REQUIRE(split.events == expected);
    REQUIRE(split.kept.empty());
  }
  Stream slow;
  for (const std::uint8_t byte : stream) slow.feed({&byte, 1});
  CHECK(slow.events == expected);
}

}  // namespace

TEST_CASE("the example of the standard: 30 7E 08 7D 55 goes as 7E 30 7D 02 08 7D 01 55 7E") {
  // The example shows the escapes only; the writer adds the check byte, 6E.
  CHECK(to_hex(wire(hex("307e087d55"))) == "7e307d02087d01556e7e");
  const Raw padded = hex("307e087d") + Raw(16, 0x55);
  CHECK(events_of(wire(padded)) == std::vector<Event>{{BadReason::none, padded}});
}

TEST_CASE("public frames come out whole, with their headers") {
  for (const Vector& vector : vectors) {
    const Raw stream = hex(vector.hex);
    Raw scratch(scratch_size);
    const NextFrame next = next_frame(stream, scratch);
    REQUIRE(next.kind == NextFrame::Kind::frame);
    CHECK(next.consumed == stream.size());
    Header header;
    REQUIRE(parse_header(next.frame, header) == BadReason::none);
    CHECK(header.message_id == vector.message_id);
    CHECK((header.version == Version::v2019) == vector.v2019);
    CHECK(header.phone.text() == vector.phone);
    CHECK(wire(next.frame) == stream);
  }
}

TEST_CASE("a frame without escapes is not copied, one with escapes is") {
  Raw scratch(scratch_size);
  const Raw plain = wire(frame_2013(0x0002, 1, {}));
  const NextFrame first = next_frame(plain, scratch);
  CHECK(first.frame.data() == plain.data() + 1);
  CHECK_FALSE(first.was_escaped);
  const Raw stream = good(1);
  const NextFrame second = next_frame(stream, scratch);
  CHECK(second.frame.data() == scratch.data());
  CHECK(second.was_escaped);
}

TEST_CASE("doubled and shared delimiters") {
  const Raw frame = frame_2013(0x0002, 7, {});
  const Raw whole = wire(frame);
  const Raw open(whole.begin() + 1, whole.end());       // without the first 7E
  const std::vector<Event> two{{BadReason::none, frame}, {BadReason::none, frame}};
  CHECK(events_of(whole + open) == two);
  CHECK(events_of(whole + hex("7e7e7e") + whole) == two);
  CHECK(events_of(hex("7e7e") + whole + hex("7e") + open) == two);
  check_between(hex("7e"), {});
  check_between(hex("7e7e"), {});
}

TEST_CASE("one bad frame costs no good one: every reason") {
  const Raw frame = frame_2013(0x0002, 9, {});
  const Raw whole = wire(frame);
  SUBCASE("garbage") { check_between(hex("0d0a474554202f"), {BadReason::garbage}); }
  SUBCASE("checksum") { check_between(with_wrong_check(frame), {BadReason::checksum}); }
  SUBCASE("broken escape") {
    check_between(hex("7e0102037d05060708090a0b0c0d0e0f7e"), {BadReason::escape});
  }
  SUBCASE("7D before the closing delimiter of a frame that is wrong") {
    check_between(hex("7e000200000138001380000001557d7e"), {BadReason::checksum});
  }
  SUBCASE("too short") { check_between(hex("7e0102037e"), {BadReason::too_short}); }
  SUBCASE("oversize") {
    check_between(hex("7e") + Raw(content_size_max + 1, 0x55) + hex("7e"), {BadReason::oversize});
  }
  SUBCASE("oversize and far more") {
    check_between(hex("7e") + Raw(3 * (content_size_max + 1) + 100, 0x55) + hex("7e"),
                  {BadReason::oversize, BadReason::garbage, BadReason::garbage,
                   BadReason::garbage});
  }
  SUBCASE("closing delimiter lost") {
    const Raw longer = wire(frame_2013(0x0200, 9, Raw(28, 0x31)));
    const Raw cut(longer.begin(), longer.end() - 2);  // check byte gone too
    check_between(cut, {BadReason::checksum});
  }
  SUBCASE("opening delimiter lost, frame cut") {
    const Raw cut(whole.begin() + 3, whole.end());
    check_between(cut, {BadReason::garbage});
  }
  SUBCASE("a byte turned into a delimiter") {
    Raw torn = whole;
    torn[6] = 0x7e;
    check_between(torn, {BadReason::too_short, BadReason::too_short});
  }
}

TEST_CASE("a bad header is a frame of its own and costs no other: length, phone, packet number") {
  Raw length = frame_2013(0x0200, 3, Raw(28, 0));
  length[3] = 29;
  Raw phone = frame_2013(0x0200, 3, Raw(28, 0));
  phone[4] = 0xa1;
  const Raw packet = hex("0801 2001 013800138000 0001 0003 0004 aa");
  const std::pair<Raw, BadReason> cases[] = {
      {length, BadReason::length}, {phone, BadReason::phone}, {packet, BadReason::header}};
  for (const auto& [frame, reason] : cases) {
    const std::vector<Event> events = events_of(good(1) + wire(frame) + good(2));
    REQUIRE(events.size() == 3);
    Header header;
    CHECK(parse_header(events[0].frame, header) == BadReason::none);
    CHECK(parse_header(events[1].frame, header) == reason);
    CHECK(parse_header(events[2].frame, header) == BadReason::none);
    // Without its opening delimiter nothing says that it is a frame at all.
    const Raw whole = wire(frame);
    const Raw open(whole.begin() + 1, whole.end());
    CHECK(events_of(good(1) + open + good(2))[1].reason == BadReason::garbage);
  }
}

TEST_CASE("reasons have names of their own") {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < bad_reason_count; ++i) names.insert(name(static_cast<BadReason>(i)));
  CHECK(names.size() == bad_reason_count);
  CHECK(name(BadReason::header) == "header");
}

TEST_CASE("a check byte of 7D that was not escaped is accepted") {
  // Look for a serial whose check is 7D.
  for (std::uint16_t serial = 0; serial < 256; ++serial) {
    const Raw frame = frame_2013(0x0002, serial, {});
    Raw stream = wire(frame);
    if (stream[stream.size() - 3] != 0x7d || stream[stream.size() - 2] != 0x01) continue;
    stream.erase(stream.end() - 2);
    CHECK(events_of(stream) == std::vector<Event>{{BadReason::none, frame}});
    check_between(Raw(stream.begin(), stream.end() - 3) + hex("7c7d7e"), {BadReason::checksum});
    return;
  }
  FAIL("no serial gives that check byte");
}

TEST_CASE("7D is never looked for across the closing delimiter") {
  // 7D 7E 02: were the delimiter skipped, this would read as an escape.
  check_between(hex("7e") + Raw(20, 0x11) + hex("7d7e"), {BadReason::checksum});
}

TEST_CASE("what is kept on need_more is bounded and starts at the frame") {
  Stream stream;
  stream.feed(hex("7e7e7e0102"));
  CHECK(to_hex(stream.kept) == "7e0102");
  CHECK(is_partial_frame(stream.kept));
  Stream closed;
  closed.feed(good(1));
  CHECK(closed.kept.empty());
  closed.feed(hex("7e"));
  CHECK_FALSE(is_partial_frame(closed.kept));
  CHECK_FALSE(is_partial_frame(hex("0d0a")));
  CHECK(is_partial_frame(hex("00")));
  CHECK(is_partial_frame(hex("7e00")));
  CHECK(is_partial_frame(hex("0d0a0d")));
  Stream flood;
  for (int i = 0; i < 100; ++i) {
    flood.feed(Raw(777, 0x41));
    CHECK(flood.kept.size() <= wire_size_max);
  }
  flood.feed(good(5));
  CHECK(flood.events.back() == expect_good(5)[0]);
}

TEST_CASE("the longest frame, all of it escaped, is a frame") {
  Raw body(body_size_max, 0x7e);
  FrameWriter writer(make_peer(Version::v2019, "1"), 0x0801, 0x7e7d, 0x7e7e, 0x7d7d);
  writer.bytes(body);
  Raw out(wire_size_max);
  const std::size_t size = writer.finish(out);
  CHECK(size > 2 * body_size_max);
  out.resize(size);
  const Bytes frame = writer.unescaped();
  CHECK(events_of(out) == std::vector<Event>{{BadReason::none, {frame.begin(), frame.end()}}});
}

TEST_CASE("random frames survive encoding and any cutting") {
  std::mt19937_64 random(808);
  for (int round = 0; round < 300; ++round) {
    Raw stream;
    std::vector<Event> expected;
    for (int i = 0; i < 5; ++i) {
      const Raw frame = frame_2013(static_cast<std::uint16_t>(random()),
                                   static_cast<std::uint16_t>(random()),
                                   random_bytes(random, random() % 200));
      expected.push_back({BadReason::none, frame});
      stream = stream + wire(frame);
    }
    CHECK(events_of(stream) == expected);
    Stream split;
    for (std::size_t at = 0; at < stream.size();) {
      const std::size_t size = std::min<std::size_t>(1 + random() % 90, stream.size() - at);
      split.feed(Bytes(stream).subspan(at, size));
      at += size;
    }
    CHECK(split.events == expected);
  }
}

TEST_CASE("random rubbish gives the same events however it is cut") {
  std::mt19937_64 random(1078);
  for (int round = 0; round < 2000; ++round) {
    const Raw stream = random_bytes(random, random() % 300);
    Stream whole;
    whole.feed(stream);
    Stream slow;
    for (const std::uint8_t byte : stream) slow.feed({&byte, 1});
    REQUIRE(slow.events == whole.events);
    REQUIRE(slow.kept == whole.kept);
  }
}

TEST_CASE("the fast scan agrees with the portable one") {
  std::mt19937_64 random(2019);
  for (int round = 0; round < 20000; ++round) {
    Raw bytes(random() % 130);
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random());
    if (round % 2 == 0 && !bytes.empty()) bytes[random() % bytes.size()] = delimiter;
    if (round % 3 == 0 && !bytes.empty()) bytes[random() % bytes.size()] = escape_mark;
    bytes.shrink_to_fit();
    const Scan fast = scan_frame(bytes.data(), bytes.size());
    const Scan slow = scan_portable(bytes.data(), bytes.size());
    REQUIRE(fast.size == slow.size);
    REQUIRE(fast.found == slow.found);
    REQUIRE(fast.escaped == slow.escaped);
    REQUIRE(fast.check == slow.check);
    std::size_t size = 0;
    std::uint8_t check = 0;
    bool escaped = false;
    for (; size < bytes.size() && bytes[size] != delimiter; ++size) {
      check = static_cast<std::uint8_t>(check ^ bytes[size]);
      escaped = escaped || bytes[size] == escape_mark;
    }
    REQUIRE(fast.size == size);
    REQUIRE(fast.check == check);
    REQUIRE(fast.escaped == escaped);
    REQUIRE(fast.found == (size < bytes.size()));
  }
}
