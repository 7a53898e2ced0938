#include "protocols/jt808/codec/body_json.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <random>

#include "protocols/jt808/codec/messages.hpp"
#include "protocols/jt808/codec/text.hpp"
#include "tests/unit/jt808/law.hpp"
#include "tests/unit/jt808/support.hpp"

using namespace ringgate;
using namespace ringgate::jt808;
using namespace ringgate::jt808::test;

namespace {

// Frames as they stand on the wire.
std::vector<Raw> public_frames() {
  std::ifstream file(RG_JT808_FRAMES);
  std::vector<Raw> out;
  std::string line;
  while (std::getline(file, line)) {
    if (!line.empty() && line[0] != '#') out.push_back(hex(line));
  }
  return out;
}

std::string body_text(std::uint16_t id, const Raw& body, Version version = Version::v2013) {
  std::string out;
  JsonWriter json(out);
  Header header{};
  header.version = version;
  json.begin_object();
  body_json(*find_message(id), header, body, true, json);
  json.end_object();
  return out;
}

std::string encoded(std::uint16_t id, std::string_view json, Version version = Version::v2013) {
  const auto body = encode_body(*find_message(id), version, json);
  return body ? to_hex(*body) : body.error().message;
}

Raw frame_of(std::uint16_t id, Version version, Bytes body) {
  FrameWriter writer(make_peer(version, "13800138000"), id, 7);
  writer.bytes(body);
  const Bytes frame = writer.unescaped();
  return {frame.begin(), frame.end()};
}

}  // namespace

TEST_CASE("every public frame is the same on the wire after decoding and encoding") {
  const std::vector<Raw> all = public_frames();
  REQUIRE(all.size() == 117);
  for (const Raw& bytes : all) {
    CAPTURE(to_hex(bytes));
    const std::vector<Event> events = events_of(bytes);
    REQUIRE(events.size() == 1);
    REQUIRE(events[0].reason == BadReason::none);
    const Raw& frame = events[0].frame;
    CHECK(broken_law(frame) == "");
    const auto again = encode_frame(json_of_frame(frame));
    REQUIRE(again);
    CHECK(to_hex(wire(*again)) == to_hex(bytes));
  }
}

TEST_CASE("cut at every byte, and with bytes behind, public frames obey the law") {
  for (const Raw& bytes : public_frames()) {
    const Raw frame = events_of(bytes).at(0).frame;
    Header header;
    REQUIRE(parse_header(frame, header) == BadReason::none);
    if (header.fragment() || find_message(header.message_id) == nullptr) continue;
    const Raw body(frame.begin() + header.size, frame.end());
    for (std::size_t size = 0; size < body.size(); ++size) {
      const Bytes part = Bytes(body).first(size);
      const std::string wrong = broken_law(frame_of(header.message_id, header.version, part));
      REQUIRE_MESSAGE(wrong.empty(), wrong << to_hex(part));
    }
    if (body.size() + 3 > body_size_max) continue;
    CHECK(broken_law(frame_of(header.message_id, header.version, body + hex("7e7d00"))) == "");
  }
}

TEST_CASE("any bytes in any message obey the law") {
  std::mt19937_64 random(808);
  for (const MessageSpec& message : messages()) {
    CAPTURE(message.name);
    for (int round = 0; round < 300; ++round) {
      const Raw body = random_bytes(random, random() % 80);
      const Version version = (random() & 1) != 0 ? Version::v2019 : Version::v2013;
      const std::string wrong = broken_law(frame_of(message.id, version, body));
      REQUIRE_MESSAGE(wrong.empty(), wrong << to_hex(body));
    }
  }
}

TEST_CASE("bytes changed in public frames obey the law") {
  std::mt19937_64 random(2019);
  for (const Raw& bytes : public_frames()) {
    const Raw frame = events_of(bytes).at(0).frame;
    for (int round = 0; round < 60; ++round) {
      Raw changed = frame;
      for (std::uint64_t n = 1 + random() % 3; n > 0; --n) {
        changed[4 + random() % (changed.size() - 4)] = static_cast<std::uint8_t>(random());
      }
      const std::string wrong = broken_law(changed);
      REQUIRE_MESSAGE(wrong.empty(), wrong << to_hex(changed));
    }
  }
}

TEST_CASE("a header comes back with everything that is odd about it") {
  const auto same = [](std::string_view text) {
    const Raw frame = hex(text);
    CAPTURE(json_of_frame(frame));
    const auto again = encode_frame(json_of_frame(frame));
    CHECK((again && *again == frame));
  };
  same("0002 0000 013800138000 0001");
  same("0002 4000 013800138000 0001");                       // version bit, layout of 2013
  same("0002 8000 013800138000 0001");                       // reserved bit
  same("0002 4000 07 00000000013800138000 0001");            // version byte
  same("0002 2000 013800138000 0001 0001 0001");             // one part of one
  same("0200 2002 013800138000 0001 0002 0001 aabb");        // a part
  same("0200 0402 013800138000 0001 aabb");                  // RSA
  same("0002 5c01 07 00000000000000000000 ffff aa");         // all encryption bits, no phone
  same("0200 2002 013800138000 0001 0002 0003 aabb");        // packet 3 of 2: no header at all
  same("0e00 0002 013800138000 0001 aabb");                  // unknown message
  same("02");
  same("");
  const std::string much(2 * 1100, 'a');
  same("0900 8000 013800138000 0001 00" + much);             // a whole of several packets
  same("0900 c000 01 00000000013800138000 0001 00" + much);
  same("0900 e000 01 00000000013800138000 0001 00" + much);  // no header
}

TEST_CASE("layouts are chosen by what fits and said where the header does not") {
  const Raw rest = hex("01 41");
  const Raw v2011 = Raw(25, 0x30);
  const Raw v2013 = Raw(36, 0x30) + rest;
  CHECK(body_text(0x0100, v2011).starts_with("{\"layout\":\"2011\","));
  CHECK(body_text(0x0100, v2013).starts_with("{\"province\":"));
  CHECK(body_text(0x0100, v2013, Version::v2019).starts_with("{\"layout\":\"2013\","));
  CHECK(body_text(0x0100, Raw(75, 0x30) + rest, Version::v2019).starts_with("{\"province\":"));
}

TEST_CASE("a position, value by value, both ways") {
  const Raw body = hex("80000001 00000303 01d9f190 06c8d04e 0026 003c 00b4 260131160000"
                       "0104000f4240 3001ff e102aabb 0103010203");
  const std::string text = body_text(0x0200, body);
  CHECK(text ==
        "{\"alarms\":[\"sos\",\"illegal-door-opening\"],\"status\":[\"acc-on\",\"fixed\"],"
        "\"load\":\"full\",\"latitude_deg\":31.060368,\"longitude_deg\":113.823822,"
        "\"altitude_m\":38,\"speed_kmh\":6.0,\"heading_deg\":180,"
        "\"time\":\"2026-01-31T08:00:00Z\",\"items\":["
        "{\"id\":\"0x01\",\"name\":\"odometer\",\"odometer_km\":100000.0},"
        "{\"id\":\"0x30\",\"name\":\"signal-strength\",\"signal_strength\":255},"
        "{\"id\":\"0xe1\",\"offset\":37,\"bytes\":\"aabb\"},"
        "{\"id\":\"0x01\",\"name\":\"odometer\",\"offset\":41,\"bytes\":\"010203\","
        "\"problem\":\"value does not fit\"}]}");
  CHECK(encoded(0x0200, text) == to_hex(body));
  CHECK(body_text(0x0200, body, Version::v2019).starts_with("{\"alarms\":[\"sos\",\"bit-31\"]"));
}

TEST_CASE("hemispheres are signs, and a sign must agree with its bit") {
  Raw body(28, 0);
  body[7] = 0x0c;
  body[11] = 1;
  body[15] = 2;
  const std::string text = body_text(0x0200, body);
  CHECK(text.find("\"latitude_deg\":-0.000001,\"longitude_deg\":-0.000002") != std::string::npos);
  CHECK(encoded(0x0200, text) == to_hex(body));
  std::string wrong = text;
  wrong.replace(wrong.find("-0.000001"), 9, "0.000001");
  CHECK(encoded(0x0200, wrong) == "latitude_deg: must be negative: bit 2 of status says so");
}

TEST_CASE("what can't be read is there with its offset, and what stands before it is decoded") {
  const std::string text = body_text(0x0001, hex("0007 02"));
  CHECK(text == "{\"reply_serial\":7,\"error\":\"body too short\",\"error_offset\":2,"
                "\"unparsed\":{\"offset\":2,\"bytes\":\"02\"}}");
  CHECK(encoded(0x0001, text) == "000702");
  CHECK(body_text(0x0001, hex("0007 0200 00 ff")) ==
        "{\"reply_serial\":7,\"reply_message_id\":\"0x0200\",\"result\":\"ok\","
        "\"unparsed\":{\"offset\":5,\"bytes\":\"ff\"}}");
  // An item of a batch that is too short costs itself, one that runs over the end the rest.
  const std::string batch = body_text(0x0704, hex("0002 00 0001 aa 001c 00"));
  CHECK(batch == "{\"type\":\"normal\",\"locations\":[{\"error\":\"body too short\","
                 "\"error_offset\":5,\"unparsed\":{\"offset\":5,\"bytes\":\"aa\"}}],\"count\":2,"
                 "\"error\":\"element runs over the end\",\"error_offset\":6,"
                 "\"unparsed\":{\"offset\":6,\"bytes\":\"001c00\"}}");
  CHECK(encoded(0x0704, batch) == "0002000001aa001c00");
}

TEST_CASE("times: GMT+8 on the wire, UTC in JSON") {
  const auto time_of = [](std::string_view bcd) {
    const std::string text = body_text(0x8004, hex(bcd));
    CHECK(encoded(0x8004, text) == bcd);
    return text;
  };
  CHECK(time_of("260131080000") == "{\"time\":\"2026-01-31T08:00:00Z\"}");
  CHECK(time_of("000000000000") == "{\"time\":null}");
  CHECK(time_of("000000083000") == "{\"time\":\"08:30:00\"}");
  CHECK(time_of("261331080000") == "{\"time\":null,\"time_raw\":\"261331080000\"}");
  CHECK(time_of("ffffffffffff") == "{\"time\":null,\"time_raw\":\"ffffffffffff\"}");
  CHECK(encoded(0x8004, R"({"time":"2026-01-31T08:00:00+08:00"})") == "260131000000");
  CHECK(encoded(0x8004, R"({"time":"2026-02-30T08:00:00Z"})") == "time: is no time that exists");
  CHECK(encoded(0x8004, R"({"time":"1999-12-31T08:00:00Z"})").starts_with("time: wants"));
  CHECK(encoded(0x8004, R"({"time":"2000-01-01T00:00:00+01:00"})") ==
        "time: is not in 2000 to 2099");
}

TEST_CASE("texts: GBK on the wire, raw bytes beside what GBK can't be") {
  const std::string head(36 * 2, '0');
  const Raw gbk = hex(head) + hex("01") + hex("b2e2");
  CHECK(body_text(0x0100, gbk).find("\"plate\":\"\xe6\xb5\x8b\"}") != std::string::npos);
  CHECK(encoded(0x0100, body_text(0x0100, gbk)) == to_hex(gbk));
  const Raw broken = hex(head) + hex("01") + hex("b2");
  CHECK(body_text(0x0100, broken).find("\"plate\":\"\xef\xbf\xbd\",\"plate_raw\":\"b2\"}") !=
        std::string::npos);
  CHECK(encoded(0x0102, "{\"auth_code\":\"\xf0\x9f\x98\x80\"}") ==
        "auth_code: has a character that is not in GBK: \xf0\x9f\x98\x80");
  std::vector<std::uint8_t> out;
  CHECK(gbk_from_utf8("a\xe6\xb5\x8b", out).empty());
  CHECK(to_hex(out) == "61b2e2");
}

TEST_CASE("what is wrong in JSON is named by its key") {
  CHECK(encoded(0x0001, R"({"reply_serial":7,"reply_message_id":"0x0200","reslut":"ok"})") ==
        "reslut: unknown key; known are: reply_serial, reply_message_id, result");
  CHECK(encoded(0x0001, R"({"reply_serial":7,"reply_message_id":"0x0200"})") ==
        "result: is missing");
  CHECK(encoded(0x0001,
                R"({"reply_serial":7,"reply_message_id":"0x0200","result":"ok","more":1})") ==
        "more: unknown key; known are: reply_serial, reply_message_id, result");
  CHECK(encoded(0x0001, R"({"reply_serial":65536,"reply_message_id":"0x0200","result":0})") ==
        "reply_serial: 65536 is out of range");
  CHECK(encoded(0x0001, R"({"reply_serial":-1,"reply_message_id":"0x0200","result":0})") ==
        "reply_serial: -1 is out of range");
  CHECK(encoded(0x0001, R"({"reply_serial":1.5,"reply_message_id":"0x0200","result":0})") ==
        "reply_serial: 1.5 is no whole number");
  CHECK(encoded(0x0001, R"({"reply_serial":1,"reply_message_id":"x","result":0})") ==
        "reply_message_id: wants an id such as \"0x0200\"");
  CHECK(encoded(0x0001, R"({"reply_serial":1,"reply_message_id":"0200","result":"fine"})") ==
        "result: wants one of: ok, failed, bad-message, unsupported, alarm-handled");
  CHECK(encoded(0x0001, "[1]") == "no object at offset 0");
  CHECK(encoded(0x0001, "{") == "no JSON at offset 1");
  CHECK(encoded(0x0002, R"({"a":1})") == "a: unknown key; this has none");
  CHECK(encoded(0x0102, R"({"layout":"2011","auth_code":"a"})") ==
        "layout: wants one of \"2013\", \"2019\"");
  CHECK(encoded(0x0102, R"({"auth_code":"a","imei":"1"})") ==
        "imei: has no place here (layout 2013, and what the fields before it say)");
  CHECK(encoded(0x0102, R"({"auth_code":"a","software_version":"1"})", Version::v2019) ==
        "software_version: can't be there without imei before it");
  CHECK(encoded(0x0102, R"({"auth_code":"a","imei":"1234567890123456"})", Version::v2019) ==
        "imei: has 16 bytes in GBK, 15 fit");
}

TEST_CASE("errors in lists and items say where") {
  const std::string base =
      R"("status":[],"latitude_deg":1,"longitude_deg":2,"altitude_m":0,"speed_kmh":0,)"
      R"("heading_deg":0,"time":null)";
  CHECK(encoded(0x0200, "{" + base + "}").size() == 56);
  CHECK(encoded(0x0200, "{" + base + R"(,"items":[{"name":"odometer","odometer_km":0.15}]})") ==
        "items[0].odometer_km: 0.15 has more than 1 decimals");
  CHECK(encoded(0x0200, "{" + base + R"(,"items":[{"name":"odometer","odometer_km":0.1}]})")
            .ends_with("010400000001"));
  CHECK(encoded(0x0200, "{" + base + R"(,"items":[{"id":"0x01","km":1}]})") ==
        "items[0].km: unknown key; known are: odometer_km");
  CHECK(encoded(0x0200, "{" + base + R"(,"items":[{"name":"odo"}]})") ==
        "items[0].name: there are no location items called odo");
  CHECK(encoded(0x0200, "{" + base + R"(,"items":[{"id":"0xe9","bytes":"0"}]})") ==
        "items[0].bytes: wants bytes in hex, in quotes");
  CHECK(encoded(0x0704, R"({"type":0,"locations":[{"status":["up"]}]})") ==
        "locations[0].status: there is no up; there are: acc-on, fixed, south, west, "
        "out-of-service, coordinates-encrypted, oil-circuit-cut, power-circuit-cut, doors-locked, "
        "front-door-open, middle-door-open, rear-door-open, driver-door-open, custom-door-open, "
        "gps, beidou, glonass, galileo, and bit-N");
  CHECK(encoded(0x0704, "{\"type\":0,\"locations\":[{" + base + "}]}").starts_with("000100001c"));
}

TEST_CASE("what is wrong in a frame's JSON is named") {
  const auto error = [](std::string_view json) {
    const auto frame = encode_frame(json);
    return frame ? to_hex(*frame) : frame.error().message;
  };
  CHECK(error(R"({"message":"heartbeat","phone":"13800138000"})") == "000200000138001380000000");
  CHECK(error(R"({"message":"heartbeat","phone":"13800138000","version":"2019","serial":9})") ==
        "0002400001000000000138001380000009");
  CHECK(error(R"({"message":"heartbeat"})") == "phone: wants digits in quotes");
  CHECK(error(R"({"message":"heartbeat","phone":"1234567890123"})") ==
        "phone: has too many digits");
  CHECK(error(R"({"message":"heart","phone":"1"})") == "message: no message is called heart");
  CHECK(error(R"({"message":"heartbeat","message_id":"0x0003","phone":"1"})") ==
        "message: has another message_id");
  CHECK(error(R"({"message_id":"0x0eee","phone":"1"})") ==
        "message_id: is not known: its body must be body_hex");
  CHECK(error(R"({"message":"time-reply","phone":"1"})") == "body is missing: time: is missing");
  CHECK(error(R"({"message":"time-reply","phone":"1","body":{"time":1}})") ==
        "body: time: wants a time in quotes");
  CHECK(error(R"({"message":"heartbeat","phone":"1","sreial":1})").starts_with("sreial: unknown"));
  CHECK(error(R"({"message":"heartbeat","phone":"1","packet":{"total":1,"number":2}})") ==
        "the header contradicts itself: header");
}

TEST_CASE("2011 has the header of 2013 and bodies of its own") {
  const std::string body =
      R"("body":{"province":11,"city":101,"maker":"a","model":"b","terminal_id":"c",)"
      R"("plate_color":"blue","plate":"d"}})";
  const std::string head = R"({"message":"register","phone":"1","version":)";
  const auto v2011 = encode_frame(head + R"("2011",)" + body);
  const auto v2013 = encode_frame(head + R"("2013",)" + body);
  REQUIRE((v2011 && v2013));
  CHECK(v2011->size() == 12 + 26);
  CHECK(v2013->size() == 12 + 38);
  CHECK(json_of_frame(*v2011).find("\"layout\":\"2011\"") != std::string::npos);
}

TEST_CASE("secrets are stars where they are not wanted") {
  std::string out;
  JsonWriter json(out);
  frame_json(frame_2013(0x0102, 1, hex("736563726574")), false, json);
  CHECK(out.find("\"body\":{\"auth_code\":\"******\"}") != std::string::npos);
}
