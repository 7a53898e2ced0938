#include "protocols/jt808/catalog.hpp"

#include <doctest/doctest.h>

#include <set>

#include "protocols/jt808/codec/messages.hpp"
#include "protocols/jt808/codec/text.hpp"
#include "tests/unit/jt808/support.hpp"
#include "tests/unit/jt808/vectors.hpp"

using namespace ringgate;
using namespace ringgate::jt808;
using namespace ringgate::jt808::test;

namespace {

const Catalog catalog;

std::string json_of(Bytes frame) {
  std::string text;
  JsonWriter out(text);
  catalog.json(frame, out);
  return text;
}

Raw frame_of(std::string_view wire_hex) { return events_of(hex(wire_hex)).at(0).frame; }

bool contains(const std::string& text, std::string_view part) {
  const bool found = text.find(part) != std::string::npos;
  if (!found) MESSAGE(text);
  return found;
}

}  // namespace

TEST_CASE("the table lists each message once, with a name and a source") {
  std::set<std::uint16_t> ids;
  std::set<std::string_view> names;
  for (const event::MessageInfo& info : catalog.list()) {
    CHECK(ids.insert(info.id).second);
    CHECK(names.insert(info.name).second);
    CHECK((info.source.starts_with("JT/T ") || info.source.starts_with("T/") ||
           info.source == "seen in the field"));
    CHECK(info.from_device == (info.id < 0x8000));
    CHECK(find_message(info.id)->name == info.name);
    CHECK(find_message(info.name)->id == info.id);
  }
  CHECK(ids.size() > 80);
  CHECK(find_message(0x0200)->name == "location-report");
  CHECK(find_message("0x0200")->name == "location-report");
  CHECK(find_message("8100")->name == "register-reply");
  CHECK(find_message("location") == nullptr);
  CHECK(find_message(0x0eee) == nullptr);
  CHECK(catalog.message_id_text(0x0200) == "0x0200");
  CHECK(catalog.protocol() == "jt808");
  CHECK(catalog.ns() == Namespace::phone);
}

TEST_CASE("every public frame decodes without an error") {
  for (const Vector& vector : vectors) {
    const std::string text = json_of(frame_of(vector.hex));
    CHECK(contains(text, vector.v2019 ? "\"version\":\"2019\"" : "\"version\":\"2013\""));
    CHECK(contains(text, "\"phone\":\"" + std::string(vector.phone) + "\""));
    CHECK(text.find("\"error\"") == std::string::npos);
    CHECK(text.find("\"unparsed\"") == std::string::npos);
  }
}

TEST_CASE("a public position, value by value") {
  const std::string text = json_of(frame_of(vectors[6].hex));
  CHECK(text ==
        "{\"message_id\":\"0x0200\",\"message\":\"location-report\",\"version\":\"2013\","
        "\"phone\":\"12345678901\",\"serial\":32767,\"body\":{\"alarms\":[\"tts-fault\"],"
        "\"status\":[\"power-circuit-cut\"],\"load\":\"empty\",\"latitude_deg\":116.307629,"
        "\"longitude_deg\":40.058359,\"altitude_m\":312,\"speed_kmh\":0.3,\"heading_deg\":99,"
        "\"time\":\"2020-07-07T11:23:59Z\",\"items\":["
        "{\"id\":\"0x01\",\"name\":\"odometer\",\"odometer_km\":1.1},"
        "{\"id\":\"0x02\",\"name\":\"fuel\",\"fuel\":2.2,\"fuel_unit\":\"l\"},"
        "{\"id\":\"0x03\",\"name\":\"recorder-speed\",\"recorder_speed_kmh\":3.3},"
        "{\"id\":\"0x04\",\"name\":\"manual-alarm\",\"event_id\":44},"
        "{\"id\":\"0x05\",\"name\":\"tyre-pressure\",\"tyre_pressure_pa\":"
        "[55,55,55,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]},"
        "{\"id\":\"0x11\",\"name\":\"overspeed\",\"area_type\":66,\"area_id\":66},"
        "{\"id\":\"0x12\",\"name\":\"area\",\"area_type\":77,\"area_id\":77,\"direction\":77},"
        "{\"id\":\"0x13\",\"name\":\"segment\",\"segment_id\":88,\"driving_time_s\":88,"
        "\"result\":88},"
        "{\"id\":\"0x25\",\"name\":\"vehicle-signals\",\"vehicle_signals\":[\"low-beam\","
        "\"high-beam\",\"reverse\",\"fog-light\"]},"
        "{\"id\":\"0x2a\",\"name\":\"io-status\",\"io_status\":[\"sleep\",\"bit-3\"]},"
        "{\"id\":\"0x2b\",\"name\":\"analog\",\"analog_1\":0,\"analog_0\":20},"
        "{\"id\":\"0x30\",\"name\":\"signal-strength\",\"signal_strength\":30},"
        "{\"id\":\"0x31\",\"name\":\"satellites\",\"satellites\":40}]}}");
}

TEST_CASE("plates are GBK on the wire and UTF-8 in JSON") {
  CHECK(contains(json_of(frame_of(vectors[2].hex)), "\"plate\":\"\xe6\xb5\x8b"
                                                    "A888888\""));
  CHECK(utf8_from_gbk(hex("b2e2")) == "\xe6\xb5\x8b");
  CHECK(utf8_from_gbk(hex("b2e2ff41")) == "\xe6\xb5\x8b\xef\xbf\xbd"
                                          "A");
  CHECK(utf8_from_gbk(hex("41b2")) == "A\xef\xbf\xbd");
  Raw many;
  for (int i = 0; i < 400; ++i) many = many + hex("b2e2");
  CHECK(utf8_from_gbk(many).size() == 1200);
  CHECK(to_hex(trimmed(hex("0020 41 20 42 2000"))) == "412042");
}

TEST_CASE("alarm and status bits mean what the version says") {
  Raw body(28, 0);
  body[0] = 0x80;
  body[3] = 0x08;
  body[5] = 0x40;
  body[7] = 0x03;
  CHECK(alarm_name(Version::v2013, 16).empty());
  CHECK(alarm_name(Version::v2019, 16) == "tyre-pressure-warning");
  CHECK(alarm_name(Version::v2013, 32).empty());
  CHECK(status_name(Version::v2013, 12) == "doors-locked");
  CHECK(status_name(Version::v2013, 22).empty());
  const std::string v2013 = json_of(frame_2013(0x0200, 1, body));
  CHECK(contains(v2013, "\"alarms\":[\"danger-warning\",\"illegal-door-opening\"]"));
  CHECK(contains(v2013, "\"status\":[\"acc-on\",\"fixed\",\"bit-22\"]"));
  CHECK(contains(v2013, "\"time\":null"));
  FrameWriter writer(make_peer(Version::v2019, "13800138000"), 0x0200, 1);
  writer.bytes(body);
  const std::string v2019 = json_of(writer.unescaped());
  CHECK(contains(v2019, "\"alarms\":[\"dangerous-driving\",\"bit-31\"]"));
  CHECK(contains(v2019, "\"status\":[\"acc-on\",\"fixed\",\"moving\"]"));
}

TEST_CASE("unknown and bad items stand in the JSON with their bytes") {
  const Raw body = Raw(28, 0) + hex("e202aabb 0103010203 3105 01");
  const std::string text = json_of(frame_2013(0x0200, 1, body));
  CHECK(contains(text, "\"items\":[{\"id\":\"0xe2\",\"offset\":28,\"bytes\":\"aabb\"},"
                       "{\"id\":\"0x01\",\"name\":\"odometer\",\"offset\":32,"
                       "\"bytes\":\"010203\",\"problem\":\"value does not fit\"}]"));
  CHECK(contains(text, "\"unparsed\":{\"offset\":37,\"bytes\":\"310501\"}"));
}

TEST_CASE("what does not decode is an object with an error and an offset") {
  CHECK(json_of(hex("0200")) ==
        "{\"error\":\"header: too_short\",\"error_offset\":0,\"frame_hex\":\"0200\"}");
  CHECK(json_of(hex("0200 0009 013800138000 0001 aa")) ==
        "{\"error\":\"header: length\",\"error_offset\":0,"
        "\"frame_hex\":\"020000090138001380000001aa\"}");
  const std::string text = json_of(frame_2013(0x0200, 9, Raw(27, 0)));
  CHECK(contains(text, "\"error\":\"body too short\",\"error_offset\":22,"
                       "\"unparsed\":{\"offset\":22,\"bytes\":\"0000000000\"}"));
  CHECK(contains(text, "\"serial\":9"));
  const std::string unknown = json_of(frame_2013(0x0eee, 9, hex("aabb")));
  CHECK(contains(unknown, "\"body_hex\":\"aabb\""));
  const std::string batch =
      json_of(frame_2013(0x0704, 9, hex("0002 00 001c") + Raw(28, 0) + hex("001c 00")));
  CHECK(contains(batch, "\"error\":\"element runs over the end\",\"error_offset\":33"));
  CHECK(contains(batch, "\"locations\":[{"));
}

TEST_CASE("parts of messages and encrypted bodies are not looked into") {
  CHECK(contains(json_of(hex("0200 2002 013800138000 0001 0002 0001 aabb")),
                 "\"packet\":{\"total\":2,\"number\":1},\"body_hex\":\"aabb\""));
  CHECK(contains(json_of(hex("0200 0402 013800138000 0001 aabb")),
                 "\"encryption\":1,\"body_hex\":\"aabb\""));
}

TEST_CASE("what the catalog shows it can write") {
  for (const Vector& vector : vectors) {
    const Raw frame = frame_of(vector.hex);
    std::string text;
    JsonWriter out(text);
    catalog.json(frame, out, true);
    const auto again = catalog.encode(text);
    CHECK((again && *again == frame));
  }
  const Raw compressed = frame_2013(0x0901, 1, hex("00000002 1f8b"));
  std::string text;
  JsonWriter out(text);
  catalog.json(compressed, out, true);
  CHECK(contains(text, "\"inflated\""));
  const auto again = catalog.encode(text);
  CHECK((again && *again == compressed));
  CHECK(catalog.encode("{}").error().message.starts_with("message_id: is missing"));
}

TEST_CASE("codes are blanked, nothing else is") {
  for (const Vector& vector : vectors) {
    const Raw frame = frame_of(vector.hex);
    const Raw hidden = catalog.redact(frame);
    REQUIRE(hidden.size() == frame.size());
    if (vector.message_id != 0x0102 && vector.message_id != 0x8100) {
      CHECK(hidden == frame);
      continue;
    }
    CHECK(hidden != frame);
    Header header;
    REQUIRE(parse_header(hidden, header) == BadReason::none);
    const Bytes body = body_of(hidden, header);
    const bool up_2019 = vector.message_id == 0x0102 && vector.v2019;
    const std::size_t start = vector.message_id == 0x8100 ? 3 : up_2019 ? 1 : 0;
    const std::size_t end = up_2019 ? 1 + body[0] : body.size();
    for (std::size_t i = 0; i < body.size(); ++i) {
      CHECK(body[i] == (i >= start && i < end ? '*' : frame[header.size + i]));
    }
  }
  const std::string text = json_of(frame_2013(0x0102, 1, hex("736563726574")));
  CHECK(contains(text, "\"auth_code\":\"******\""));
  CHECK(text.find("secret") == std::string::npos);
}

TEST_CASE("when a code can't be placed, the whole body is blanked") {
  CHECK(to_hex(catalog.redact(hex("0102 4002 01 00000000013800138000 0001 0561"))) ==
        "010240020100000000013800138000" "0001" "2a2a");
  CHECK(to_hex(catalog.redact(hex("0102 2002 013800138000 0001 0002 0001 6162"))) ==
        "01022002013800138000" "000100020001" "2a2a");
  CHECK(to_hex(catalog.redact(hex("0102 0009 013800138000 0001 6162"))) ==
        "01020009013800138000" "0001" "2a2a");
  const std::string part = json_of(hex("0102 2002 013800138000 0001 0002 0001 6162"));
  CHECK(part.find("6162") == std::string::npos);
  CHECK(catalog.redact(hex("0102")).size() == 2);
}
