#include "protocols/jt808/catalog.hpp"

#include <doctest/doctest.h>

#include <set>

#include "protocols/jt808/codec/location_json.hpp"
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
    CHECK(info.source.starts_with("JT/T 808-"));
    CHECK(info.from_device == (info.id < 0x8000));
    CHECK(find_message(info.id)->name == info.name);
  }
  CHECK(ids.size() == 11);
  CHECK(find_message(0x0200)->name == "location-report");
  CHECK(find_message(0x0900) == nullptr);
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
    CHECK(text.find("cut_short") == std::string::npos);
  }
}

TEST_CASE("a public position, value by value") {
  const std::string text = json_of(frame_of(vectors[6].hex));
  CHECK(text ==
        "{\"name\":\"location-report\",\"version\":\"2013\",\"phone\":\"12345678901\","
        "\"serial\":32767,\"time\":\"2020-07-07T11:23:59Z\",\"fixed\":false,"
        "\"latitude_deg\":116.307629,\"longitude_deg\":40.058359,"
        "\"coordinates_out_of_range\":true,\"altitude_m\":312,\"speed_kmh\":0.3,"
        "\"heading_deg\":99,\"alarms\":[\"tts-fault\"],\"status\":[\"power-circuit-cut\"],"
        "\"load\":\"empty\",\"odometer_km\":1.1,\"fuel_l\":2.2,\"recorder_speed_kmh\":3.3,"
        "\"manual_alarm_event_id\":44,\"vehicle_signals\":[\"low-beam\",\"high-beam\","
        "\"reverse\",\"fog-light\"],\"io_status\":[\"sleep\",\"bit-3\"],"
        "\"analog_0\":20,\"analog_1\":0,\"signal_strength\":30,\"satellites\":40,"
        "\"tyre_pressure_pa\":[55,55,55,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0],"
        "\"overspeed\":{\"area_type\":\"unknown\",\"area_id\":66},"
        "\"area\":{\"area_type\":\"unknown\",\"area_id\":77,\"direction\":\"out\"},"
        "\"segment\":{\"segment_id\":88,\"driving_time_s\":88,\"result\":\"too-long\"}}");
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
  CHECK(alarm_name(Version::v2013, 31) == "illegal-door-opening");
  CHECK(alarm_name(Version::v2019, 31).empty());
  CHECK(alarm_name(Version::v2013, 16).empty());
  CHECK(alarm_name(Version::v2019, 16) == "tyre-pressure-warning");
  CHECK(alarm_name(Version::v2013, 3) != alarm_name(Version::v2019, 3));
  CHECK(alarm_name(Version::v2013, 0) == "sos");
  CHECK(alarm_name(Version::v2013, 30) == "rollover");
  CHECK(status_name(Version::v2013, 12) == "doors-locked");
  CHECK(status_name(Version::v2013, 22).empty());
  CHECK(status_name(Version::v2019, 22) == "moving");
  CHECK(alarm_name(Version::v2013, 32).empty());
  Raw body(28, 0);
  body[0] = 0x80;
  body[7] = 0x03;
  const Raw frame = frame_2013(0x0200, 1, body);
  CHECK(contains(json_of(frame), "\"alarms\":[\"illegal-door-opening\"]"));
  CHECK(contains(json_of(frame), "\"status\":[\"acc-on\",\"fixed\"]"));
  CHECK(contains(json_of(frame), "\"time\":null"));
}

TEST_CASE("unknown and bad items stand in the JSON with their bytes") {
  const Raw body = Raw(28, 0) + hex("e102aabb 0103010203 3105 01");
  const std::string text = json_of(frame_2013(0x0200, 1, body));
  CHECK(contains(text, "\"other_items\":[{\"id\":\"0xe1\",\"offset\":28,\"bytes\":\"aabb\"},"
                       "{\"id\":\"0x01\",\"offset\":32,\"bytes\":\"010203\","
                       "\"problem\":\"length\"}]"));
  CHECK(contains(text, "\"cut_short_offset\":37,\"cut_short_bytes\":\"310501\""));
}

TEST_CASE("what does not decode is an object with an error and an offset") {
  CHECK(json_of(hex("0200")) == "{\"error\":\"header: too_short\",\"offset\":0}");
  CHECK(json_of(hex("0200 0009 013800138000 0001 aa")) ==
        "{\"error\":\"header: length\",\"offset\":0}");
  const std::string text = json_of(frame_2013(0x0200, 9, Raw(27, 0)));
  CHECK(contains(text, "{\"error\":\"body too short\",\"offset\":39,"));
  CHECK(contains(text, "\"serial\":9"));
  const std::string unknown = json_of(frame_2013(0x0900, 9, hex("aabb")));
  CHECK(contains(unknown, "\"body\":\"aabb\""));
  const std::string batch =
      json_of(frame_2013(0x0704, 9, hex("0002 00 001c") + Raw(28, 0) + hex("001c 00")));
  CHECK(contains(batch, "\"error\":\"item runs over the end\",\"offset\":45"));
  CHECK(contains(batch, "\"locations\":[{"));
}

TEST_CASE("parts of messages and encrypted bodies are not looked into") {
  CHECK(contains(json_of(hex("0200 2002 013800138000 0001 0002 0001 aabb")),
                 "\"packet_total\":2,\"packet_number\":1,\"body\":\"aabb\""));
  CHECK(contains(json_of(hex("0200 0402 013800138000 0001 aabb")),
                 "\"encryption\":1,\"body\":\"aabb\""));
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
