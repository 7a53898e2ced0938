// Rows of records: positions, alarms, devices, sessions, media.
#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "protocols/jt808/catalog.hpp"
#include "protocols/jt808/codec/whole.hpp"
#include "protocols/jt808/session_events.hpp"
#include "tests/unit/jt808/support.hpp"
#include "tests/unit/jt808/vectors.hpp"

using namespace ringgate;
using namespace ringgate::jt808;
using namespace ringgate::jt808::test;
using event::RecordKind;
using event::RecordView;

namespace {

const Catalog catalog;

// Rows with texts of their own, in the order in which they came.
struct Rows final : event::RowVisitor {
  struct Alarm {
    std::string type, source, phase;
    event::AlarmRow row;
  };
  struct Device {
    std::string plate, terminal_id, maker, model, version;
    int plate_colour;
  };
  std::vector<event::PositionRow> positions;
  std::vector<Alarm> alarms;
  std::vector<Device> devices;
  std::vector<std::pair<event::SessionRow::What, std::string>> sessions;
  std::vector<std::string> media_texts;
  event::MediaRow last_media;
  bool alarm_before_position = false;

  void position(const event::PositionRow& row) override {
    alarm_before_position |= !alarms.empty();
    positions.push_back(row);
  }
  void alarm(const event::AlarmRow& row) override {
    alarms.push_back({std::string(row.type), std::string(row.source), std::string(row.phase), row});
  }
  void device(const event::DeviceRow& row) override {
    devices.push_back({std::string(row.plate), std::string(row.terminal_id),
                       std::string(row.maker), std::string(row.model), std::string(row.version),
                       row.plate_colour});
  }
  void session(const event::SessionRow& row) override {
    sessions.emplace_back(row.what, row.detail);
  }
  void media(const event::MediaRow& row) override {
    last_media = row;
    for (const std::string_view text : {row.blob, row.name, row.type, row.json}) {
      media_texts.emplace_back(text);
    }
  }
  std::size_t count() const {
    return positions.size() + alarms.size() + devices.size() + sessions.size() +
           media_texts.size();
  }
};

RecordView record_of(Bytes frame) {
  return {.ns = Namespace::phone,
          .message = frame.size() < 2 ? std::uint16_t{0} : load_be16(frame.data()),
          .device = "13800138000",
          .payload = frame};
}
Rows rows_of(const RecordView& record) {
  Rows rows;
  catalog.rows(record, rows);
  return rows;
}
Rows rows_of(const Raw& frame) { return rows_of(record_of(frame)); }

Raw frame_2019(std::uint16_t message_id, Bytes body) {
  FrameWriter writer(make_peer(Version::v2019, "13800138000"), message_id, 1);
  writer.bytes(body);
  const Bytes frame = writer.unescaped();
  return {frame.begin(), frame.end()};
}

// Alarm bits, status bits, and what is the same in all tests: 31.230416 121.473701, 12 m,
// 60.5 km/h, 270 degrees, 2026-01-31 16:00:01 at GMT+8.
Raw position(std::string_view alarms, std::string_view status) {
  return hex(alarms) + hex(status) + hex("01dc89d0 073d8aa5 000c 025d 010e 260131160001");
}
constexpr WallUs taken_us = 1'769'846'401 * us_per_s;

// The alarm of T/JSATL 12 up to the sign: 50 km/h, 31.230417 121.473702, one second later.
constexpr std::string_view place = "32 000c 01dc89d1 073d8aa6 260131160002 0000";
Raw sign(std::size_t terminal_id_size, std::size_t reserved) {
  return Raw(terminal_id_size, 'T') + hex("260131160003 00 02") + Raw(reserved, 0);
}
Raw item(std::uint8_t id, const Raw& value) {
  return Raw{id, static_cast<std::uint8_t>(value.size())} + value;
}

}  // namespace

TEST_CASE("a position with its units") {
  const Raw body = position("00000000", "0000000f") + hex("0104 000003e9 3101 0b");
  for (const Raw& frame : {frame_2013(0x0200, 1, body), frame_2019(0x0200, body),
                           frame_2013(0x0201, 1, hex("1234") + body),
                           frame_2019(0x0500, hex("1234") + body)}) {
    const Rows rows = rows_of(frame);
    REQUIRE(rows.positions.size() == 1);
    CHECK(rows.count() == 1);
    const event::PositionRow& row = rows.positions[0];
    CHECK(row.sub == 0);
    CHECK(row.device_time_us == taken_us);
    CHECK(row.latitude_deg == doctest::Approx(-31.230416).epsilon(1e-12));
    CHECK(row.longitude_deg == doctest::Approx(-121.473701).epsilon(1e-12));
    CHECK(row.altitude_m == 12);
    CHECK(row.speed_kmh == 60.5);
    CHECK(row.heading_deg == 270);
    CHECK(row.odometer_km == 100.1);
    CHECK(row.status_bits == 15);
    CHECK(row.alarm_bits == 0);
    CHECK(row.fixed);
    CHECK(!row.late);
    const auto times = catalog.device_times(record_of(frame));
    REQUIRE(times.has_value());
    CHECK(times->first_us == taken_us);
    CHECK(times->last_us == taken_us);
  }
}

TEST_CASE("what a position does not say") {
  const Raw no_fix = position("00000000", "00000001");
  CHECK(!rows_of(frame_2013(0x0200, 1, no_fix)).positions[0].fixed);
  CHECK(std::isnan(rows_of(frame_2013(0x0200, 1, no_fix)).positions[0].odometer_km));
  Raw beyond = position("00000000", "00000003");
  beyond[8] = 0x10;  // 268 degrees north
  CHECK(!rows_of(frame_2013(0x0200, 1, beyond)).positions[0].fixed);
  Raw no_time = position("00000000", "00000003");
  std::fill(no_time.end() - 6, no_time.end(), std::uint8_t{0});
  const Raw frame = frame_2013(0x0200, 1, no_time);
  CHECK(rows_of(frame).positions[0].device_time_us == 0);
  CHECK(!catalog.device_times(record_of(frame)).has_value());
}

TEST_CASE("a batch: each position has its number, stored ones are late") {
  Raw early = position("00000002", "00000002");
  early[27] = 0x00;  // a second before
  const Raw late = position("00000001", "00000002");
  for (const bool stored : {false, true}) {
    const Raw body = hex(stored ? "0003 01" : "0003 00") + hex("001c") + late +
                     hex("0003 aabbcc") + hex("001c") + early;
    const Raw frame = frame_2013(0x0704, 1, body);
    const Rows rows = rows_of(frame);
    REQUIRE(rows.positions.size() == 2);
    CHECK(rows.positions[0].sub == 0);
    CHECK(rows.positions[1].sub == 1);
    CHECK(rows.positions[0].late == stored);
    CHECK(rows.positions[1].late == stored);
    CHECK(rows.positions[1].device_time_us == taken_us - us_per_s);
    REQUIRE(rows.alarms.size() == 2);
    CHECK(!rows.alarm_before_position);
    CHECK(rows.alarms[0].type == "sos");
    CHECK(rows.alarms[1].type == "overspeed");
    CHECK(rows.alarms[1].row.sub == 1);
    CHECK(rows.alarms[1].row.device_time_us == taken_us - us_per_s);
    const auto times = catalog.device_times(record_of(frame));
    REQUIRE(times.has_value());
    CHECK(times->first_us == taken_us - us_per_s);
    CHECK(times->last_us == taken_us);
  }
}

TEST_CASE("alarm bits have the names of their version; reserved ones are no alarms") {
  const Raw body = position("80010008", "00000002");
  const Rows old = rows_of(frame_2013(0x0200, 1, body));
  REQUIRE(old.alarms.size() == 2);
  CHECK(old.alarms[0].type == "danger-warning");
  CHECK(old.alarms[1].type == "illegal-door-opening");
  const Rows rows = rows_of(frame_2019(0x0200, body));
  REQUIRE(rows.alarms.size() == 2);
  CHECK(rows.alarms[0].type == "dangerous-driving");
  CHECK(rows.alarms[1].type == "tyre-pressure-warning");
  const event::AlarmRow& row = rows.alarms[1].row;
  CHECK(rows.alarms[1].source == "alarm-bits");
  CHECK(rows.alarms[1].phase.empty());
  CHECK(row.sub == 1);
  CHECK(row.alarm_id == 0);
  CHECK(row.level == 0);
  CHECK(row.speed_kmh == 60.5);
  CHECK(row.latitude_deg == rows.positions[0].latitude_deg);
  CHECK(row.longitude_deg == rows.positions[0].longitude_deg);
}

TEST_CASE("alarms of driver assistance, in every form of the sign") {
  struct Form {
    std::size_t terminal_id, reserved;
  };
  for (const Form form : {Form{7, 1}, Form{30, 2}, Form{30, 1}, Form{30, 0}}) {
    const Raw end = hex(place) + sign(form.terminal_id, form.reserved);
    const Raw body = position("00000000", "00000006") +
                     item(0x64, hex("00000007 01 01 02 00 00 00 00 00") + end) +
                     item(0x65, hex("00000008 02 02 01 00 00000000") + end) +
                     item(0x66, hex("00000009 00") + end + hex("00")) +
                     item(0x67, hex("0000000a 01 03") + end);
    const Rows rows = rows_of(frame_2019(0x0200, body));
    REQUIRE(rows.alarms.size() == 3);
    const auto& adas = rows.alarms[0];
    CHECK(adas.source == "adas");
    CHECK(adas.type == "forward-collision");
    CHECK(adas.phase == "start");
    CHECK(adas.row.alarm_id == 7);
    CHECK(adas.row.level == 2);
    CHECK(adas.row.speed_kmh == 50);
    CHECK(adas.row.device_time_us == taken_us + us_per_s);
    CHECK(adas.row.latitude_deg == doctest::Approx(-31.230417).epsilon(1e-12));
    CHECK(adas.row.longitude_deg == doctest::Approx(121.473702).epsilon(1e-12));
    CHECK(rows.alarms[1].source == "dsm");
    CHECK(rows.alarms[1].type == "phone-call");
    CHECK(rows.alarms[1].phase == "end");
    CHECK(rows.alarms[1].row.level == 1);
    CHECK(rows.alarms[2].source == "bsd");
    CHECK(rows.alarms[2].type == "right-rear-approach");
    CHECK(rows.alarms[2].row.alarm_id == 10);
    CHECK(rows.alarms[2].row.sub == 2);
  }
}

TEST_CASE("tyres: one row for each kind of alarm, none for reports in time") {
  const Raw end = hex(place) + sign(7, 1);
  const Raw tyres = hex("03  00 0001 00f0 0019 0050 "
                        "01 0005 00a0 0019 0050  02 000c 0090 0060 0050");
  const Rows rows = rows_of(frame_2013(
      0x0200, 1, position("00000000", "00000002") + item(0x66, hex("00000009 01") + end + tyres)));
  REQUIRE(rows.alarms.size() == 2);
  CHECK(rows.alarms[0].source == "tpms");
  CHECK(rows.alarms[0].type == "pressure-low");
  CHECK(rows.alarms[1].type == "temperature-high");
  CHECK(rows.alarms[1].row.alarm_id == 9);
}

TEST_CASE("types of a vendor's own have their number; items of other sizes are no alarms") {
  const Raw end = hex(place) + sign(7, 1);
  const Raw vendor = hex("00000007 01 e5 02 00 00 00 00 00") + end;
  const Rows rows = rows_of(frame_2013(
      0x0200, 1, position("00000000", "00000002") + item(0x64, Raw(5, 1)) + item(0x64, vendor) +
                     item(0x64, vendor + hex("00"))));
  REQUIRE(rows.alarms.size() == 1);
  CHECK(rows.alarms[0].type == "0xe5");
}

TEST_CASE("video alarms") {
  const Rows rows = rows_of(frame_2013(
      0x0200, 1, position("00000000", "00000002") + hex("1404 00000041 1403 000041")));
  REQUIRE(rows.alarms.size() == 2);
  CHECK(rows.alarms[0].source == "video");
  CHECK(rows.alarms[0].type == "video-signal-lost");
  CHECK(rows.alarms[1].type == "special-alarm-recording-full");
}

TEST_CASE("registrations in all three layouts") {
  const auto padded = [](std::string_view text, std::size_t size) {
    Raw out(text.begin(), text.end());
    out.resize(size);
    return out;
  };
  const Raw plate = hex("01 b2e2 41383838383838");
  const Rows v2011 = rows_of(frame_2013(0x0100, 1, hex("001f 0073") + padded("MAKER", 5) +
                                                       padded("M1", 8) + padded("T1", 7) + plate));
  const Rows v2013 = rows_of(frame_2013(0x0100, 1, hex("001f 0073") + padded("MAKER", 5) +
                                                       padded("M1", 20) + padded("T1", 7) + plate));
  const Rows v2019 = rows_of(frame_2019(0x0100, hex("001f 0073") + padded("MAKER", 11) +
                                                    padded("M1", 30) + padded("T1", 30) + plate));
  int year = 2011;
  for (const Rows& rows : {v2011, v2013, v2019}) {
    REQUIRE(rows.devices.size() == 1);
    const Rows::Device& device = rows.devices[0];
    CHECK(device.version == std::to_string(year));
    CHECK(device.maker == "MAKER");
    CHECK(device.model == "M1");
    CHECK(device.terminal_id == "T1");
    CHECK(device.plate == "\xe6\xb5\x8b"
                          "A888888");
    CHECK(device.plate_colour == 1);
    year = year == 2011 ? 2013 : 2019;
  }
  Raw vin = hex("001f 0073") + padded("MAKER", 5) + padded("M1", 20) + padded("T1", 7) +
            hex("00") + padded("LSVAA4182E2184847", 17);
  CHECK(rows_of(frame_2013(0x0100, 1, vin)).devices.at(0).plate.empty());
  CHECK(rows_of(frame_2013(0x0100, 1, Raw(24, 0))).count() == 0);
  // What stands behind a 00 is not the text; what no table holds is shown, not kept.
  const Raw odd = hex("001f 0073 4100424344") + padded("a\nb\x7f", 20) + hex("0000 54003100 00") +
                  hex("01 ff41");
  const Rows rows = rows_of(frame_2013(0x0100, 1, odd));
  CHECK(rows.devices.at(0).maker == "A");
  CHECK(rows.devices.at(0).model == "a?b?");
  CHECK(rows.devices.at(0).terminal_id == "T");
  CHECK(rows.devices.at(0).plate == "\xef\xbf\xbd"
                                    "A");
}

TEST_CASE("attributes, also with the long maker that some terminals of 2019 send") {
  const auto attributes = [](std::size_t maker, std::size_t model, std::size_t id) {
    Raw out = hex("0007");
    for (const auto& [text, size] : {std::pair{'K', maker}, {'M', model}, {'T', id}}) {
      out.push_back(static_cast<std::uint8_t>(text));
      out.resize(out.size() + size - 1);
    }
    return out + Raw(10, 0) + hex("01 31 01 32 0f ff");
  };
  struct Case {
    Raw frame;
    std::string_view version;
  };
  for (const Case& c : {Case{frame_2013(0x0107, 1, attributes(5, 20, 7)), "2013"},
                        Case{frame_2019(0x0107, attributes(5, 30, 30)), "2019"},
                        Case{frame_2019(0x0107, attributes(11, 30, 30)), "2019"}}) {
    const Rows rows = rows_of(c.frame);
    REQUIRE(rows.devices.size() == 1);
    CHECK(rows.devices[0].maker == "K");
    CHECK(rows.devices[0].model == "M");
    CHECK(rows.devices[0].terminal_id == "T");
    CHECK(rows.devices[0].version == c.version);
    CHECK(rows.devices[0].plate.empty());
  }
  CHECK(rows_of(frame_2013(0x0107, 1, hex("0007 4b"))).count() == 0);
}

TEST_CASE("sessions") {
  using What = event::SessionRow::What;
  const auto row_of = [](std::uint16_t message, std::string_view text) {
    RecordView record{.kind = RecordKind::session, .ns = Namespace::phone, .message = message};
    record.payload = as_bytes(text);
    const Rows rows = rows_of(record);
    REQUIRE(rows.count() == 1);
    CHECK(rows.sessions[0].second == text);
    return rows.sessions[0].first;
  };
  CHECK(row_of(event_online, "online 10.1.2.3:4711 udp") == What::online);
  CHECK(row_of(event_offline, "offline idle") == What::offline);
  CHECK(row_of(event_offline, "offline logout") == What::logged_out);
  CHECK(row_of(77, "") == What::other);
}

TEST_CASE("media") {
  const std::string json =
      "{\"blob\":\"0193c8f2a1b-7-0-2a\",\"file\":\"20261121/a.jpg\",\"size_bytes\":70000,"
      "\"crc32c\":\"00000000\",\"content_type\":\"image/jpeg\",\"declared_type\":\"image/jpeg\","
      "\"name\":\"a \\\"b\\\".jpg\",\"location\":{\"latitude_deg\":1.0,\"longitude_deg\":2.0,"
      "\"time_unix_s\":1769846401,\"raw\":\"00\"}}";
  RecordView record{.kind = RecordKind::media, .ns = Namespace::phone, .message = 0x0801};
  record.payload = as_bytes(json);
  const Rows rows = rows_of(record);
  REQUIRE(rows.media_texts.size() == 4);
  CHECK(rows.media_texts[0] == "0193c8f2a1b-7-0-2a");
  CHECK(rows.media_texts[1] == "a \"b\".jpg");
  CHECK(rows.media_texts[2] == "image/jpeg");
  CHECK(rows.media_texts[3] == json);
  CHECK(rows.last_media.size_bytes == 70000);
  CHECK(rows.last_media.device_time_us == taken_us);
  for (const char* text : {"", "{", "[]", "{}", "{\"blob\":7}"}) {
    record.payload = as_bytes(text);
    CHECK(rows_of(record).count() == 0);
  }
  for (const char* text : {"{\"blob\":\"b\"}", "{\"blob\":\"b\",\"location\":[1]}",
                           "{\"blob\":\"b\",\"size_bytes\":\"9\",\"name\":7,"
                           "\"location\":{\"time_unix_s\":null}}"}) {
    record.payload = as_bytes(text);
    const Rows sparse = rows_of(record);
    CHECK(sparse.media_texts.at(0) == "b");
    CHECK(sparse.last_media.device_time_us == 0);
    CHECK(sparse.last_media.size_bytes == 0);
  }
}

TEST_CASE("parts have no rows, their whole has; encrypted frames have none") {
  const Raw body = position("00000001", "00000002");
  const Raw part = hex("0200 2002 013800138000 0001 0002 0001 aabb");
  CHECK(catalog.is_part(record_of(part)));
  CHECK(rows_of(part).count() == 0);
  CHECK(!catalog.device_times(record_of(part)).has_value());
  // The bit alone, without a second part, makes no part.
  const Raw alone = hex("0200 201c 013800138000 0001 0001 0001") + body;
  CHECK(!catalog.is_part(record_of(alone)));
  CHECK(rows_of(alone).positions.size() == 1);
  CHECK(catalog.device_times(record_of(alone)).has_value());
  const Raw encrypted = hex("0200 041c 013800138000 0001") + body;
  CHECK(!catalog.is_part(record_of(encrypted)));
  CHECK(rows_of(encrypted).count() == 0);
  CHECK(!catalog.device_times(record_of(encrypted)).has_value());

  // A batch too long for one frame, as parts.cpp stores it.
  Raw batch = hex("0032 01");
  for (int i = 0; i < 50; ++i) batch = batch + hex("001c") + body;
  Header header;
  REQUIRE(parse_header(hex("0704 2002 013800138000 0001 0002 0001 aabb"), header) ==
          BadReason::none);
  std::uint8_t head[whole_header_max];
  Header whole_header;
  const std::size_t size = write_whole_header(head, header, 1, batch.size(), whole_header);
  const Raw frame = Raw(head, head + size) + batch;
  RecordView whole = record_of(frame);
  whole.flags = event::flag_whole;
  CHECK(!catalog.is_part(whole));
  const Rows rows = rows_of(whole);
  CHECK(rows.positions.size() == 50);
  CHECK(rows.alarms.size() == 50);
  CHECK(rows.positions.back().sub == 49);
  CHECK(rows.alarms.back().row.sub == 49);
  CHECK(catalog.device_times(whole).has_value());
}

TEST_CASE("records of other kinds, messages and shapes have no rows") {
  const Raw frame = frame_2013(0x0200, 1, position("00000001", "00000002"));
  for (const RecordKind kind : {RecordKind::frame_down, RecordKind::command, RecordKind::audit,
                                RecordKind::state}) {
    RecordView record = record_of(frame);
    record.kind = kind;
    CHECK(rows_of(record).count() == 0);
    CHECK(!catalog.device_times(record).has_value());
  }
  CHECK(rows_of(frame_2013(0x0002, 1, {})).count() == 0);
  CHECK(rows_of(frame_2013(0x0900, 1, hex("00 aabb"))).count() == 0);
  CHECK(rows_of(frame_2013(0x0200, 1, Raw(27, 0))).count() == 0);
  CHECK(rows_of(frame_2013(0x0201, 1, hex("01"))).count() == 0);
  CHECK(rows_of(frame_2013(0x0704, 1, hex("0001"))).count() == 0);
  for (std::size_t size = 0; size < frame.size(); ++size) {
    const Raw cut(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(size));
    CHECK(rows_of(cut).count() == 0);
    CHECK(!catalog.device_times(record_of(cut)).has_value());
    CHECK(!catalog.is_part(record_of(cut)));
  }
}

TEST_CASE("device times are those of the rows, whatever the bytes") {
  std::mt19937_64 random(7);
  std::size_t with_times = 0;
  std::size_t rounds_with_rows = 0;
  for (int round = 0; round < 20'000; ++round) {
    const Vector& vector = vectors[random() % std::size(vectors)];
    Raw frame = events_of(hex(vector.hex)).at(0).frame;
    for (std::uint64_t i = random() % 4; i != 0; --i) {
      frame[random() % frame.size()] = static_cast<std::uint8_t>(random());
    }
    const RecordView record = record_of(frame);
    const Rows rows = rows_of(record);
    rounds_with_rows += rows.count() != 0;
    std::optional<event::DeviceTimes> expected;
    for (const event::PositionRow& row : rows.positions) {
      if (row.device_time_us == 0) continue;
      if (!expected) expected = event::DeviceTimes{row.device_time_us, row.device_time_us};
      expected->first_us = std::min(expected->first_us, row.device_time_us);
      expected->last_us = std::max(expected->last_us, row.device_time_us);
    }
    const auto times = catalog.device_times(record);
    REQUIRE(times.has_value() == expected.has_value());
    if (!times) continue;
    ++with_times;
    REQUIRE(times->first_us == expected->first_us);
    REQUIRE(times->last_us == expected->last_us);
  }
  CHECK(with_times > 1000);
  CHECK(rounds_with_rows > with_times);
}
