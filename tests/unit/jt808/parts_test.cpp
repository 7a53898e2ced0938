// Messages in parts through a session: acknowledgements, records, requests for what is missing.
#include "protocols/jt808/parts.hpp"

#include "protocols/jt808/catalog.hpp"
#include "tests/unit/jt808/terminal.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::jt808;
using namespace ringgate::jt808::test;
using unit::Stored;

// A message cut into parts of `size` bytes; the terminal's serials are taken at once.
struct Cut {
  Cut(Terminal& of, std::uint16_t message, Raw bytes, std::size_t part_size = 100)
      : terminal(of), id(message), body(std::move(bytes)), size(part_size), first(of.serial),
        total(static_cast<std::uint16_t>((body.size() + size - 1) / size)) {
    terminal.serial = static_cast<std::uint16_t>(terminal.serial + total);
  }
  std::uint16_t serial(std::uint16_t number) const {
    return static_cast<std::uint16_t>(first + number - 1);
  }
  Raw part(std::uint16_t number) const { return part(number, total); }
  Raw part(std::uint16_t number, std::uint16_t says_total) const {
    FrameWriter writer(terminal.peer, id, serial(number), says_total, number);
    const std::size_t begin = (number - 1) * size;
    writer.bytes(Bytes(body).subspan(begin, std::min(size, body.size() - begin)));
    return written([&](MutableBytes out) { return writer.finish(out); });
  }
  bool says(std::uint16_t number, AckResult result = AckResult::ok) const {
    terminal.link->send(part(number));
    return terminal.hears(terminal.ack(serial(number), id, result));
  }

  Terminal& terminal;
  std::uint16_t id;
  Raw body;
  std::size_t size;
  std::uint16_t first;
  std::uint16_t total;
};

Raw pattern(std::size_t size) {
  Raw out(size);
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::uint8_t>(i * 31 + i / 251);
  return out;
}

std::string json_of(std::string_view stored) {
  std::string text;
  JsonWriter json(text);
  Catalog().json(as_bytes(stored), json);
  return text;
}

std::vector<Stored> wholes(const std::vector<Stored>& all) {
  std::vector<Stored> out;
  for (const Stored& record : all) {
    if (record.whole) out.push_back(record);
  }
  return out;
}

// A batch of `count` positions, one second apart.
Raw batch(std::uint16_t count, std::int64_t begin_s) {
  const Raw frame = [&] {
    Raw body{static_cast<std::uint8_t>(count >> 8), static_cast<std::uint8_t>(count), 1};
    for (std::uint16_t i = 0; i < count; ++i) {
      FrameWriter one(make_peer(Version::v2013, "1"), id::location, 0);
      one.u32(0).u32(3).u32(22'000'000U + i).u32(114'000'000).u16(0).u16(0).u16(0);
      one.time_gmt8(begin_s + i);
      const Bytes bytes = one.unescaped().subspan(12);
      body.insert(body.end(), {0, 28});
      body.insert(body.end(), bytes.begin(), bytes.end());
    }
    return body;
  }();
  return frame;
}

TEST_CASE("parts in any order are each acknowledged; the whole is logged and understood") {
  for (const Version version : {Version::v2013, Version::v2019}) {
    Gateway gateway;
    Terminal terminal(gateway, gateway.jt808(), "13800138000", version);
    REQUIRE(terminal.goes_online());
    const Cut cut(terminal, id::location_batch, batch(60, RigSys::start_unix_s), 500);
    REQUIRE(cut.total == 4);
    const Cut other(terminal, 0x0f00, pattern(150));
    CHECK(cut.says(3));
    CHECK(other.says(1));
    CHECK(cut.says(1));
    CHECK(cut.says(1));
    CHECK(cut.says(4));
    CHECK(gateway.counters().positions.value() == 0);
    CHECK(cut.says(2));
    CHECK(gateway.counters().positions.value() == 60);
    CHECK(gateway.device(terminal.phone)->last_state<LastState>().latitude_deg_x1e6 == 22'000'059);
    CHECK(cut.says(2));  // known, and not whole again
    CHECK(other.says(2));
    CHECK(gateway.counters().positions.value() == 60);
    CHECK(gateway.counters().duplicates.value() == 2);
    const auto all = gateway.stored();
    const auto whole = wholes(all);
    REQUIRE(whole.size() == 2);
    CHECK(whole[0].message == id::location_batch);
    CHECK(whole[0].serial == cut.first);
    CHECK(whole[0].device == terminal.phone);
    const std::size_t head = version == Version::v2019 ? 17 : 12;
    CHECK(whole[0].payload.substr(head) == as_text(cut.body));
    const std::string text = json_of(whole[0].payload);
    CHECK(text.find("22.000059") != std::string::npos);
    CHECK(text.find("error") == std::string::npos);
    CHECK(whole[1].payload.substr(head) == as_text(other.body));
    std::size_t parts = 0;
    for (const Stored& record : all) {
      parts += record.kind == log::Kind::frame_up && !record.whole && record.message != 0x0102;
    }
    CHECK(parts == 8);
  }
}

TEST_CASE("a part that says another total is a bad message and is logged all the same") {
  Gateway gateway;
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  REQUIRE(terminal.goes_online());
  const Cut cut(terminal, 0x0f00, pattern(250));
  CHECK(cut.says(1));
  terminal.link->send(cut.part(2, 9));
  CHECK(terminal.hears(terminal.ack(cut.serial(2), 0x0f00, AckResult::bad_message)));
  CHECK(cut.says(2));
  CHECK(cut.says(3));
  const auto all = gateway.stored();
  CHECK(wholes(all).size() == 1);
}

// What asks for `numbers` in the layout of the version.
Raw request(Terminal& terminal, std::uint16_t first, std::vector<std::uint16_t> numbers) {
  return written([&](MutableBytes out) {
    return write_part_request(out, terminal.peer, terminal.reply_serial++, first, numbers);
  });
}

TEST_CASE("missing parts are asked for by 0x8003 of the version, so often, and then given up") {
  for (const Version version : {Version::v2013, Version::v2019}) {
    Gateway gateway;
    Terminal terminal(gateway, gateway.jt808(), "13800138000", version);
    REQUIRE(terminal.goes_online());
    const Cut cut(terminal, 0x0f00, pattern(550));
    CHECK(cut.says(2));
    CHECK(cut.says(5));
    gateway.advance(4 * ns_per_s);
    CHECK(terminal.link->in.empty());
    gateway.advance(1100 * ns_per_ms);
    const Raw asked = request(terminal, cut.first, {1, 3, 4, 6});
    CHECK(terminal.hears(asked));
    // 0x8003 | first serial | count, a BYTE or a WORD | numbers.
    const std::string head = to_hex(asked);
    const std::string tail = version == Version::v2019 ? "00010004" "0001" : "000104" "0001";
    CHECK(head.find(tail) != std::string::npos);
    for (const int number : {1, 3, 4}) CHECK(cut.says(static_cast<std::uint16_t>(number)));
    for (int i = 0; i < 5; ++i) {
      gateway.advance(5100 * ns_per_ms);
      CHECK(terminal.hears(request(terminal, cut.first, {6})));
    }
    CHECK(gateway.rooms[0].jt808->parts().reassembly().incomplete_count() == 1);
    gateway.advance(5100 * ns_per_ms);
    CHECK(terminal.link->in.empty());
    CHECK(gateway.rooms[0].jt808->parts().reassembly().held_bytes() == 0);
    CHECK(cut.says(6));  // the beginning of another try
    CHECK(wholes(gateway.stored()).empty());
  }
}

TEST_CASE("a terminal of 2011 is not asked: it has no such message") {
  Gateway gateway;
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  FrameWriter writer(terminal.peer, id::registration, terminal.serial++);
  writer.u16(44).u16(300).fixed("ABCDE", 5).fixed("M1", 8).fixed("T1", 7).u8(1).text("A88888");
  terminal.link->send(written([&](MutableBytes out) { return writer.finish(out); }));
  gateway.until([&] { return !terminal.link->in.empty(); });
  terminal.link->in.clear();
  ++terminal.reply_serial;
  REQUIRE(terminal.goes_online());
  const Cut cut(terminal, 0x0f00, pattern(250));
  CHECK(cut.says(2));
  gateway.advance(6 * ns_per_s);
  CHECK(terminal.link->in.empty());
  CHECK(cut.says(1));
  CHECK(cut.says(3));
  CHECK(wholes(gateway.stored()).size() == 1);
}

TEST_CASE("parts survive a reconnect within their time, and the new link is asked") {
  Gateway gateway;
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  REQUIRE(terminal.goes_online());
  Cut cut(terminal, 0x0f00, pattern(250));
  CHECK(cut.says(1));
  terminal.link->abort();
  gateway.until([&] { return gateway.links() == 0; });
  gateway.advance(8 * ns_per_s);
  terminal.link = &gateway.jt808();
  terminal.reply_serial = 0;
  REQUIRE(terminal.goes_online());
  CHECK(cut.says(3));
  gateway.advance(5100 * ns_per_ms);
  CHECK(terminal.hears(request(terminal, cut.first, {2})));
  CHECK(cut.says(2));
  const auto whole = wholes(gateway.stored());
  REQUIRE(whole.size() == 1);
  CHECK(whole[0].payload.substr(12) == as_text(cut.body));
}

TEST_CASE("a long whole says so in its header; one that is longer than a record leaves a note") {
  Gateway gateway;
  Terminal terminal(gateway, gateway.jt808(), "13800138000", Version::v2019);
  REQUIRE(terminal.goes_online());
  const Cut fits(terminal, 0x0f00, pattern(60'000), 1000);
  const Cut longer(terminal, 0x0f01, pattern(70'000), 1000);
  for (std::uint16_t n = 1; n <= fits.total; ++n) CHECK(fits.says(n));
  for (std::uint16_t n = 1; n <= longer.total; ++n) CHECK(longer.says(n));
  const auto all = gateway.stored();
  const auto whole = wholes(all);
  REQUIRE(whole.size() == 1);
  Header header{};
  REQUIRE(parse_stored(as_bytes(whole[0].payload), header) == BadReason::none);
  CHECK((header.attributes & attribute_long) != 0);
  CHECK(header.version == Version::v2019);
  CHECK(header.phone.text() == terminal.phone);
  CHECK(header.serial == fits.first);
  CHECK(whole[0].payload.substr(header.size) == as_text(fits.body));
  CHECK(json_of(whole[0].payload).find("\"error\"") == std::string::npos);
  std::vector<std::string> notes;
  for (const Stored& record : all) {
    if (record.kind != log::Kind::audit) continue;
    CHECK(record.message == 0x0f01);
    CHECK(record.serial == longer.first);
    notes.push_back(record.payload);
  }
  REQUIRE(notes.size() == 1);
  CHECK(notes[0].find("parts=70 bytes=70000") != std::string::npos);
}

}  // namespace
