#include <doctest/doctest.h>

#include <ctime>

#include "protocols/jt808/codec/location.hpp"
#include "protocols/jt808/codec/messages.hpp"
#include "tests/unit/jt808/support.hpp"

using namespace ringgate;
using namespace ringgate::jt808;
using namespace ringgate::jt808::test;

namespace {

// 31.000562 N, 121.451372 E, 2019-12-17 17:09:59 GMT+8.
const char* const base_hex =
    "00000100 00000003 01d907f2 073d336c 0041 0203 00b4 191217170959";

Location decoded(const Raw& body) {
  Location out;
  REQUIRE(decode_location(body, out));
  return out;
}

}  // namespace

TEST_CASE("the fixed part of a position") {
  const Location at = decoded(hex(base_hex));
  CHECK(at.alarm_bits == 0x100);
  CHECK(at.status_bits == 3);
  CHECK(at.fixed());
  CHECK(at.latitude_deg_x1e6 == 31000562);
  CHECK(at.longitude_deg_x1e6 == 121451372);
  CHECK(at.altitude_m == 65);
  CHECK(at.speed_kmh_x10 == 515);
  CHECK(at.heading_deg == 180);
  CHECK(at.time_unix_s == 1576573799);  // 2019-12-17T09:09:59Z
  CHECK(at.present == 0);
  CHECK(at.item_count == 0);
  CHECK(at.flags == 0);
  Location out;
  const Raw body = hex(base_hex);
  CHECK_FALSE(decode_location(Bytes(body).first(27), out));
}

TEST_CASE("hemispheres come from status bits, altitude below the sea from the sign") {
  Raw body = hex(base_hex);
  body[7] = 0x0f;
  body[16] = 0xff;
  body[17] = 0xf6;
  const Location at = decoded(body);
  CHECK(at.latitude_deg_x1e6 == -31000562);
  CHECK(at.longitude_deg_x1e6 == -121451372);
  CHECK(at.altitude_m == -10);
  for (int i = 8; i < 16; ++i) body[i] = 0xff;
  const Location far = decoded(body);
  CHECK((far.flags & Location::coordinates_out_of_range) != 0);
  CHECK(far.latitude_deg_x1e6 == -0x7fffffff);
}

TEST_CASE("every standard item") {
  const Raw body = hex(base_hex) + hex("0104 000186a0 0202 01f4 0302 0206 0402 0007") +
                   hex("051e 1e") + Raw(28, 0xff) + hex("20 0602 0019") +
                   hex("1105 01 00000042 1206 04 0000004d 01 1307 00000058 0058 01") +
                   hex("2504 00000018 2a02 0002 2b04 00140030 3001 1e 3101 0c");
  const Location at = decoded(body);
  CHECK(at.item_count == 14);
  CHECK(at.other_count == 0);
  CHECK(at.bad_count == 0);
  CHECK(at.present == 0x3fff);
  CHECK(at.value(Item::odometer_km_x10) == 100000);
  CHECK(at.value(Item::fuel_l_x10) == 500);
  CHECK(at.value(Item::recorder_speed_kmh_x10) == 518);
  CHECK(at.value(Item::manual_alarm_event) == 7);
  CHECK(cabin_temperature_c(at.value(Item::cabin_temperature_c)) == 25);
  CHECK(at.value(Item::vehicle_signals) == 0x18);
  CHECK(at.value(Item::io_status) == 2);
  CHECK(at.value(Item::analog) == 0x00140030);
  CHECK(at.value(Item::signal_strength) == 30);
  CHECK(at.value(Item::satellites) == 12);
  CHECK(at.overspeed_area_type == 1);
  CHECK(at.overspeed_area_id == 0x42);
  CHECK(at.area_type == 4);
  CHECK(at.area_id == 0x4d);
  CHECK(at.area_leaving == 1);
  CHECK(at.segment_id == 0x58);
  CHECK(at.segment_time_s == 0x58);
  CHECK(at.segment_too_long == 1);
  REQUIRE(at.has(Item::tyre_pressure));
  CHECK(body[at.tyre_offset] == 0x1e);
  CHECK(body[at.tyre_offset + 29] == 0x20);
}

TEST_CASE("an overspeed item without an area has one byte") {
  const Location none = decoded(hex(base_hex) + hex("1101 00"));
  CHECK(none.has(Item::overspeed));
  CHECK(none.overspeed_area_type == 0);
  const Location bad = decoded(hex(base_hex) + hex("1101 02"));
  CHECK_FALSE(bad.has(Item::overspeed));
  CHECK(bad.bad_count == 1);
}

TEST_CASE("the temperature reads sign and magnitude as well as two's complement") {
  CHECK(cabin_temperature_c(0x0019) == 25);
  CHECK(cabin_temperature_c(0x8005) == -5);
  CHECK(cabin_temperature_c(0xfffb) == -5);
  CHECK(cabin_temperature_c(0x8000) == 0);
}

TEST_CASE("a bad item costs neither the position nor the items around it") {
  const Raw body = hex(base_hex) + hex("3101 0c 0103 010203 e103 aabbcc 3001 1f");
  const Location at = decoded(body);
  CHECK(at.value(Item::satellites) == 12);
  CHECK(at.value(Item::signal_strength) == 31);
  CHECK_FALSE(at.has(Item::odometer_km_x10));
  CHECK(at.bad_count == 1);
  CHECK(at.other_count == 1);
  CHECK(at.other_offset == 31);
  CHECK(at.item_count == 4);
  std::size_t cursor = location_base_size;
  RawItem item;
  REQUIRE(next_item(body, cursor, item));
  CHECK(item.known);
  REQUIRE(next_item(body, cursor, item));
  CHECK(item.bad);
  CHECK(to_hex(item.value) == "010203");
  REQUIRE(next_item(body, cursor, item));
  CHECK(item.id == 0xe1);
  CHECK(item.offset == 36);
  CHECK_FALSE(item.bad);
  CHECK_FALSE(item.known);
}

TEST_CASE("an item that runs over the end, junk behind, duplicates, the longest unknown item") {
  CHECK(decoded(hex(base_hex) + hex("3101 0c 0104 0001")).flags == Location::items_cut_short);
  CHECK(decoded(hex(base_hex) + hex("3101 0c 01")).flags == Location::items_cut_short);
  const Location twice = decoded(hex(base_hex) + hex("3101 0c 3101 0d"));
  CHECK(twice.value(Item::satellites) == 13);
  CHECK(twice.item_count == 2);
  const Location vendor = decoded(hex(base_hex) + hex("e1ff") + Raw(255, 0x31) + hex("3101 09"));
  CHECK(vendor.other_count == 1);
  CHECK(vendor.value(Item::satellites) == 9);
  CHECK(decoded(hex(base_hex) + hex("e000")).other_count == 1);
}

TEST_CASE("times: against the C library, and those that are none") {
  std::mt19937_64 random(1);
  for (int round = 0; round < 20000; ++round) {
    const auto unix_s = static_cast<std::int64_t>(
        unix_2000_s + static_cast<std::int64_t>(random() % (unix_2100_s - unix_2000_s)));
    std::uint8_t bcd[6];
    write_time_utc(unix_s, bcd);
    const std::time_t as_time = unix_s;
    std::tm parts{};
    ::gmtime_r(&as_time, &parts);
    char text[16];
    std::strftime(text, sizeof text, "%y%m%d%H%M%S", &parts);
    REQUIRE(to_hex(bcd) == text);
    REQUIRE(read_time_gmt8(bcd) == unix_s - gmt8_offset_s);
  }
  const char* const none[] = {"000000000000", "191317170959", "190017170959", "190200170959",
                              "190229170959", "190431170959", "191217240000", "191217006000",
                              "191217000060", "1912170000ff", "a91217000000", "1912a7000000",
                              "191a17000000", "ffffffffffff"};
  for (const char* text : none) CHECK(read_time_gmt8(hex(text).data()) == time_invalid);
  CHECK(read_time_gmt8(hex("200229000000").data()) == 1582905600);
  CHECK(read_time_gmt8(hex("000229000000").data()) != time_invalid);
  CHECK(read_time_gmt8(hex("991231235959").data()) == unix_2100_s - 1 - gmt8_offset_s);
  std::uint8_t bcd[6];
  write_time_utc(unix_2100_s, bcd);
  CHECK(to_hex(bcd) == "000000000000");
}

TEST_CASE("a time that is none leaves the position") {
  Raw body = hex(base_hex);
  for (int i = 22; i < 28; ++i) body[i] = 0;
  const Location at = decoded(body);
  CHECK(at.time_unix_s == time_invalid);
  CHECK(at.latitude_deg_x1e6 == 31000562);
}

TEST_CASE("batches: what is there counts, not what the count says") {
  const Raw base = hex(base_hex);
  const Raw item = hex("001c") + base;
  const auto walk = [](const Raw& body, std::vector<std::size_t>& offsets) {
    return for_each_location(body, [&](const Location& at, Bytes bytes, std::size_t offset) {
      CHECK(at.latitude_deg_x1e6 == 31000562);
      CHECK(bytes.size() >= 28);
      offsets.push_back(offset);
    });
  };
  std::vector<std::size_t> offsets;
  BatchSummary batch = walk(hex("0002 01") + item + item, offsets);
  CHECK(batch.declared == 2);
  CHECK(batch.type == 1);
  CHECK(batch.decoded == 2);
  CHECK_FALSE(batch.malformed);
  CHECK(offsets == std::vector<std::size_t>{5, 35});

  offsets.clear();
  batch = walk(hex("0009 00") + item, offsets);
  CHECK(batch.decoded == 1);
  CHECK(batch.declared == 9);
  CHECK_FALSE(batch.malformed);

  batch = walk(hex("0003 00") + item + hex("0003 aabbcc") + item, offsets);
  CHECK(batch.decoded == 2);
  CHECK(batch.bad == 1);

  batch = walk(hex("0002 00") + item + hex("001c 0000"), offsets);
  CHECK(batch.decoded == 1);
  CHECK(batch.malformed);
  CHECK(batch.malformed_offset == 33);

  batch = walk(hex("0002"), offsets);
  CHECK(batch.malformed);
  CHECK(batch.decoded == 0);
}

TEST_CASE("random items never read outside the body and lose no position") {
  std::mt19937_64 random(7);
  for (int round = 0; round < 20000; ++round) {
    Raw body = hex(base_hex);
    while (random() % 4 != 0 && body.size() < 900) {
      constexpr std::uint8_t ids[] = {0x01, 0x02, 0x05, 0x06, 0x11, 0x12, 0x13, 0x25, 0x31, 0xe1};
      const Raw value = random_bytes(random, random() % 40);
      body.push_back(ids[random() % std::size(ids)]);
      body.push_back(static_cast<std::uint8_t>(value.size() + random() % 2));
      body = body + value;
    }
    body.shrink_to_fit();
    const Location at = decoded(body);
    CHECK(at.latitude_deg_x1e6 == 31000562);
    std::size_t cursor = location_base_size;
    RawItem item;
    unsigned known = 0, bad = 0, other = 0;
    while (next_item(body, cursor, item)) {
      (item.known ? known : item.bad ? bad : other) += 1;
    }
    REQUIRE(at.item_count == known + bad + other);
    REQUIRE(at.bad_count == bad);
    REQUIRE(at.other_count == other);
    REQUIRE(((at.flags & Location::items_cut_short) != 0) == (cursor != body.size()));
  }
}
