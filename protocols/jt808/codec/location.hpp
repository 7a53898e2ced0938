// Positions: 0x0200, and the batches of them in 0x0704. The decoder runs for every position on the
// message path: no allocation, no branch on what is only shown to people. Pure; any thread.
// JT/T 808-2013 8.18 and 8.49, and what 2019 adds to them. Offsets follow the field types: the
// printed offsets of the time (21) and of the items of 0x0704 (2) are misprints for 22 and 3.
#pragma once

#include <type_traits>

#include "engine/base/bytes.hpp"
#include "protocols/jt808/codec/bcd.hpp"

namespace ringgate::jt808 {

constexpr std::size_t location_base_size = 28;

// The standard items. Those before `simple_count` hold one number, found in Location::values.
enum class Item : std::uint8_t {
  odometer_km_x10,         // 0x01
  fuel_l_x10,              // 0x02; some devices set bit 15 and mean percent
  recorder_speed_kmh_x10,  // 0x03
  manual_alarm_event,      // 0x04
  cabin_temperature_c,     // 0x06 (2019), raw: see cabin_temperature_c()
  vehicle_signals,         // 0x25 bits
  io_status,               // 0x2A bits
  analog,                  // 0x2B: AD0 in bits 0-15, AD1 in bits 16-31
  signal_strength,         // 0x30
  satellites,              // 0x31
  simple_count,
  overspeed = simple_count,  // 0x11
  area,                      // 0x12
  segment,                   // 0x13
  tyre_pressure,             // 0x05 (2019)
};
constexpr std::size_t simple_item_count = static_cast<std::size_t>(Item::simple_count);

struct Location {
  // Bits of `flags`.
  static constexpr std::uint8_t coordinates_out_of_range = 1;  // beyond 90 or 180 degrees
  static constexpr std::uint8_t items_cut_short = 2;           // the last item runs over the end

  std::int64_t time_unix_s;  // or time_invalid
  std::uint32_t alarm_bits;
  std::uint32_t status_bits;
  std::int32_t latitude_deg_x1e6;   // south is negative (status bit 2)
  std::int32_t longitude_deg_x1e6;  // west is negative (status bit 3)
  std::int16_t altitude_m;          // below sea level as two's complement, as devices send it
  std::uint16_t speed_kmh_x10;
  std::uint16_t heading_deg;  // 0-359, clockwise from north
  std::uint16_t present;      // bit n: Item n was there with the right length
  std::uint32_t values[simple_item_count];
  std::uint32_t overspeed_area_id;  // 0 when overspeed_area_type is 0
  std::uint32_t area_id;
  std::uint32_t segment_id;
  std::uint16_t segment_time_s;
  std::uint8_t overspeed_area_type;  // 0 none, 1 circle, 2 rectangle, 3 polygon, 4 segment
  std::uint8_t area_type;
  std::uint8_t area_leaving;     // 0 entering, 1 leaving
  std::uint8_t segment_too_long;  // 0 too short, 1 too long
  std::uint8_t flags;
  std::uint8_t item_count;  // up to 255: a body holds no more than 497, the rest are not counted
  std::uint16_t tyre_offset;   // of the 30 pressures in the body (Pa, 0xFF invalid)
  std::uint16_t other_offset;  // of the first item that is neither standard nor of a right length
  std::uint8_t other_count;    // items of unknown id
  std::uint8_t bad_count;      // items of a known id and a wrong length: kept raw

  bool has(Item item) const { return (present >> static_cast<unsigned>(item) & 1) != 0; }
  std::uint32_t value(Item item) const { return values[static_cast<std::size_t>(item)]; }
  bool fixed() const { return (status_bits & 2) != 0; }
};
static_assert(std::is_trivially_copyable_v<Location> && sizeof(Location) == 104);

// Signed degrees. The text asks for "top bit set means negative" (sign and magnitude); devices send
// two's complement as well. Real temperatures are small, so the reading with the smaller size is
// meant.
constexpr int cabin_temperature_c(std::uint32_t raw) {
  const int magnitude = static_cast<int>(raw & 0x7fff);
  if ((raw & 0x8000) == 0) return magnitude;
  return magnitude <= 0x4000 ? -magnitude : magnitude - 0x8000;
}

namespace detail {

// How an item of one id is read: numbers of 1, 2 or 4 bytes go to a slot of `values`.
struct alignas(16) ItemRule {
  static constexpr std::uint16_t not_simple = 0x100;  // no item is that long: goes the long way
  std::uint32_t mask = 0;                             // of the value's bytes
  std::uint32_t slot = 0;
  std::uint16_t size = not_simple;
  std::uint16_t present = 0;
};
struct ItemRules {
  ItemRule of[256] = {};
  constexpr ItemRules() {
    const auto rule = [this](int id, int size, Item item) {
      const auto slot = static_cast<std::uint32_t>(item);
      of[id] = {.mask = 0xffffffffU >> (32 - 8 * size),
                .slot = slot,
                .size = static_cast<std::uint16_t>(size),
                .present = static_cast<std::uint16_t>(1U << slot)};
    };
    rule(0x01, 4, Item::odometer_km_x10);
    rule(0x02, 2, Item::fuel_l_x10);
    rule(0x03, 2, Item::recorder_speed_kmh_x10);
    rule(0x04, 2, Item::manual_alarm_event);
    rule(0x06, 2, Item::cabin_temperature_c);
    rule(0x25, 4, Item::vehicle_signals);
    rule(0x2a, 2, Item::io_status);
    rule(0x2b, 4, Item::analog);
    rule(0x30, 1, Item::signal_strength);
    rule(0x31, 1, Item::satellites);
  }
};
inline constexpr ItemRules item_rules;

// Items that hold more than one number, unknown ids, wrong lengths. `offset` is of the item's id.
void read_other_item(Bytes body, std::size_t offset, Location& out);

inline void read_items(Bytes body, Location& out) {
  const std::uint8_t* const start = body.data();
  std::size_t at = location_base_size;
  std::uint32_t count = 0;
  std::uint32_t present = 0;
  while (at + 2 <= body.size()) {
    const ItemRule& rule = item_rules.of[start[at]];
    const std::size_t size = start[at + 1];
    if (at + 2 + size > body.size()) break;
    ++count;
    if (rule.size == size) [[likely]] {
      // Four bytes that end with the value; what stands before it is masked out.
      out.values[rule.slot] = load_be32(start + at + size - 2) & rule.mask;
      present |= rule.present;
    } else {
      read_other_item(body, at, out);
    }
    at += 2 + size;
  }
  out.present = static_cast<std::uint16_t>(out.present | present);
  out.item_count = static_cast<std::uint8_t>(count < 255 ? count : 255);
  if (at != body.size()) out.flags |= Location::items_cut_short;
}

inline std::int32_t signed_degrees(std::uint32_t magnitude, bool negative) {
  const std::uint32_t held = magnitude < 0x7fffffffU ? magnitude : 0x7fffffffU;
  const auto value = static_cast<std::int32_t>(held);
  return negative ? -value : value;
}

}  // namespace detail

// Decodes a position body. False when it is shorter than the fixed part; nothing else makes it
// fail: a bad item never costs the position.
inline bool decode_location(Bytes body, Location& out) {
  if (body.size() < location_base_size) return false;
  const std::uint8_t* const at = body.data();
  std::memset(static_cast<void*>(&out), 0, sizeof out);
  out.alarm_bits = load_be32(at);
  out.status_bits = load_be32(at + 4);
  const std::uint32_t latitude = load_be32(at + 8);
  const std::uint32_t longitude = load_be32(at + 12);
  out.latitude_deg_x1e6 = detail::signed_degrees(latitude, (out.status_bits & 4) != 0);
  out.longitude_deg_x1e6 = detail::signed_degrees(longitude, (out.status_bits & 8) != 0);
  out.altitude_m = static_cast<std::int16_t>(load_be16(at + 16));
  out.speed_kmh_x10 = load_be16(at + 18);
  out.heading_deg = load_be16(at + 20);
  const std::int64_t time = time_from_digits(load_be64(at + 20) & 0xffffffffffffULL);
  out.time_unix_s = time == time_invalid ? time : time - gmt8_offset_s;
  if (latitude > 90'000'000 || longitude > 180'000'000) {
    out.flags |= Location::coordinates_out_of_range;
  }
  detail::read_items(body, out);
  return true;
}

// One item of a position as it stands, for text and for ids that have no place in Location.
struct RawItem {
  std::uint8_t id = 0;
  std::uint16_t offset = 0;  // of the id, in the body
  bool known = false;        // a standard item of the right length
  bool bad = false;          // a standard id of a wrong length
  Bytes value;
};

// Walks the items of a position body; `at` starts as location_base_size. False at the end and where
// an item runs over it.
bool next_item(Bytes body, std::size_t& at, RawItem& out);

// What a batch held, after walking it.
struct BatchSummary {
  std::uint16_t declared = 0;  // may disagree with what is there
  std::uint8_t type = 0;       // 0 normal, 1 stored while out of coverage
  std::uint16_t decoded = 0;
  std::uint16_t bad = 0;    // items too short for a position
  bool malformed = false;   // no room for count and type, or an item that runs over the end
  std::uint16_t malformed_offset = 0;
};

constexpr std::size_t batch_header_size = 3;

// Calls `each(location, position_body, offset)` for every position of a 0x0704 body, whatever the
// count says. What stands before a broken item is handed out.
template <class Each>
inline BatchSummary for_each_location(Bytes body, Each&& each) {
  BatchSummary out;
  if (body.size() < batch_header_size) {
    out.malformed = true;
    return out;
  }
  out.declared = load_be16(body.data());
  out.type = body[2];
  std::size_t at = batch_header_size;
  Location location;
  while (at + 2 <= body.size()) {
    const std::size_t size = load_be16(body.data() + at);
    if (at + 2 + size > body.size()) break;
    const Bytes item = body.subspan(at + 2, size);
    if (decode_location(item, location)) {
      ++out.decoded;
      each(static_cast<const Location&>(location), item, at + 2);
    } else {
      ++out.bad;
    }
    at += 2 + size;
  }
  if (at != body.size()) {
    out.malformed = true;
    out.malformed_offset = static_cast<std::uint16_t>(at);
  }
  return out;
}

}  // namespace ringgate::jt808
