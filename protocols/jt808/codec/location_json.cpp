#include "protocols/jt808/codec/location_json.hpp"

#include <array>
#include <cstdio>

#include "protocols/jt808/codec/location.hpp"

namespace ringgate::jt808 {

namespace {

struct BitNames {
  std::string_view v2013;
  std::string_view v2019;
  constexpr BitNames(std::string_view both) : v2013(both), v2019(both) {}
  constexpr BitNames(std::string_view old_name, std::string_view new_name)
      : v2013(old_name), v2019(new_name) {}
  constexpr std::string_view in(Version version) const {
    return version == Version::v2019 ? v2019 : v2013;
  }
};

constexpr std::array<BitNames, 32> alarm_names = {{
    {"sos"},
    {"overspeed"},
    {"fatigue-driving"},
    {"danger-warning", "dangerous-driving"},
    {"gnss-fault"},
    {"gnss-antenna-disconnected"},
    {"gnss-antenna-short-circuit"},
    {"main-power-undervoltage"},
    {"main-power-lost"},
    {"display-fault"},
    {"tts-fault"},
    {"camera-fault"},
    {"ic-card-module-fault"},
    {"overspeed-warning"},
    {"fatigue-driving-warning"},
    {"", "driving-against-rules"},
    {"", "tyre-pressure-warning"},
    {"", "right-turn-blind-spot"},
    {"daily-driving-time-exceeded"},
    {"parking-time-exceeded"},
    {"area-crossed"},
    {"route-crossed"},
    {"segment-time-wrong"},
    {"off-route"},
    {"vss-fault"},
    {"fuel-abnormal"},
    {"theft"},
    {"illegal-ignition"},
    {"illegal-movement"},
    {"collision"},
    {"rollover"},
    {"illegal-door-opening", ""},
}};

// Bits 8 and 9 are one number, the load, and have no names.
constexpr std::array<BitNames, 32> status_names = {{
    {"acc-on"},
    {"fixed"},
    {"south"},
    {"west"},
    {"out-of-service"},
    {"coordinates-encrypted"},
    {"", "forward-collision-warning"},
    {"", "lane-departure-warning"},
    {""},
    {""},
    {"oil-circuit-cut"},
    {"power-circuit-cut"},
    {"doors-locked"},
    {"front-door-open"},
    {"middle-door-open"},
    {"rear-door-open"},
    {"driver-door-open"},
    {"custom-door-open"},
    {"gps"},
    {"beidou"},
    {"glonass"},
    {"galileo"},
    {"", "moving"},
    {""}, {""}, {""}, {""}, {""}, {""}, {""}, {""}, {""},
}};

constexpr std::array<BitNames, 32> signal_names = {{
    {"low-beam"}, {"high-beam"}, {"right-turn"}, {"left-turn"}, {"brake"},
    {"reverse"}, {"fog-light"}, {"marker-light"}, {"horn"}, {"air-conditioning"},
    {"neutral"}, {"retarder"}, {"abs"}, {"heater"}, {"clutch"},
    {""}, {""}, {""}, {""}, {""}, {""}, {""}, {""}, {""}, {""}, {""}, {""}, {""}, {""}, {""},
    {""}, {""},
}};

constexpr std::array<BitNames, 32> io_names = {{
    {"deep-sleep"}, {"sleep"},
    {""}, {""}, {""}, {""}, {""}, {""}, {""}, {""}, {""}, {""}, {""}, {""}, {""}, {""}, {""},
    {""}, {""}, {""}, {""}, {""}, {""}, {""}, {""}, {""}, {""}, {""}, {""}, {""}, {""}, {""},
}};

// Bits without a name are written as "bit-N", so that none is lost. `skip` are not written.
void json_bits(std::string_view key, std::uint32_t bits, const std::array<BitNames, 32>& names,
               Version version, std::uint32_t skip, JsonWriter& out) {
  out.key(key).begin_array();
  for (unsigned bit = 0; bit < 32; ++bit) {
    if (((bits & ~skip) >> bit & 1) == 0) continue;
    const std::string_view name = names[bit].in(version);
    out.text(name.empty() ? "bit-" + std::to_string(bit) : std::string(name));
  }
  out.end_array();
}

void json_hex_id(std::string_view key, std::uint8_t id, JsonWriter& out) {
  char text[8];
  std::snprintf(text, sizeof text, "0x%02x", static_cast<unsigned>(id));
  out.key(key).text(text);
}

std::string_view area_type_name(std::uint8_t type) {
  constexpr std::string_view names[] = {"none", "circle", "rectangle", "polygon", "segment"};
  return type < std::size(names) ? names[type] : "unknown";
}

void json_tenths(std::string_view key, std::uint32_t tenths, JsonWriter& out) {
  out.key(key).number(tenths / 10.0, 1);
}

void json_simple_items(Version version, const Location& at, JsonWriter& out) {
  if (at.has(Item::odometer_km_x10)) {
    json_tenths("odometer_km", at.value(Item::odometer_km_x10), out);
  }
  if (at.has(Item::fuel_l_x10)) {
    const std::uint32_t fuel = at.value(Item::fuel_l_x10);
    if ((fuel & 0x8000) != 0) {
      json_tenths("fuel_percent", fuel & 0x7fff, out);
    } else {
      json_tenths("fuel_l", fuel, out);
    }
  }
  if (at.has(Item::recorder_speed_kmh_x10)) {
    json_tenths("recorder_speed_kmh", at.value(Item::recorder_speed_kmh_x10), out);
  }
  if (at.has(Item::manual_alarm_event)) {
    out.key("manual_alarm_event_id").unsigned_integer(at.value(Item::manual_alarm_event));
  }
  if (at.has(Item::cabin_temperature_c)) {
    out.key("cabin_temperature_c")
        .integer(cabin_temperature_c(at.value(Item::cabin_temperature_c)));
  }
  if (at.has(Item::vehicle_signals)) {
    json_bits("vehicle_signals", at.value(Item::vehicle_signals), signal_names, version, 0, out);
  }
  if (at.has(Item::io_status)) {
    json_bits("io_status", at.value(Item::io_status), io_names, version, 0, out);
  }
  if (at.has(Item::analog)) {
    out.key("analog_0").unsigned_integer(at.value(Item::analog) & 0xffff);
    out.key("analog_1").unsigned_integer(at.value(Item::analog) >> 16);
  }
  if (at.has(Item::signal_strength)) {
    out.key("signal_strength").unsigned_integer(at.value(Item::signal_strength));
  }
  if (at.has(Item::satellites)) out.key("satellites").unsigned_integer(at.value(Item::satellites));
}

void json_compound_items(const Location& at, Bytes body, JsonWriter& out) {
  if (at.has(Item::tyre_pressure)) {
    out.key("tyre_pressure_pa").begin_array();
    for (const std::uint8_t pressure : body.subspan(at.tyre_offset, 30)) {
      pressure == 0xff ? out.null() : out.unsigned_integer(pressure);
    }
    out.end_array();
  }
  if (at.has(Item::overspeed)) {
    out.key("overspeed").begin_object();
    out.key("area_type").text(area_type_name(at.overspeed_area_type));
    if (at.overspeed_area_type != 0) out.key("area_id").unsigned_integer(at.overspeed_area_id);
    out.end_object();
  }
  if (at.has(Item::area)) {
    out.key("area").begin_object();
    out.key("area_type").text(area_type_name(at.area_type));
    out.key("area_id").unsigned_integer(at.area_id);
    out.key("direction").text(at.area_leaving == 0 ? "in" : "out");
    out.end_object();
  }
  if (at.has(Item::segment)) {
    out.key("segment").begin_object();
    out.key("segment_id").unsigned_integer(at.segment_id);
    out.key("driving_time_s").unsigned_integer(at.segment_time_s);
    out.key("result").text(at.segment_too_long == 0 ? "too-short" : "too-long");
    out.end_object();
  }
}

void json_other_items(const Location& at, Bytes body, JsonWriter& out) {
  if (at.other_count != 0 || at.bad_count != 0) {
    out.key("other_items").begin_array();
    std::size_t cursor = location_base_size;
    RawItem item;
    while (next_item(body, cursor, item)) {
      if (item.known) continue;
      out.begin_object();
      json_hex_id("id", item.id, out);
      out.key("offset").unsigned_integer(item.offset);
      out.key("bytes").hex(item.value);
      if (item.bad) out.key("problem").text("length");
      out.end_object();
    }
    out.end_array();
  }
  if ((at.flags & Location::items_cut_short) != 0) {
    std::size_t cursor = location_base_size;
    RawItem item;
    while (next_item(body, cursor, item)) {
    }
    out.key("cut_short_offset").unsigned_integer(cursor);
    out.key("cut_short_bytes").hex(body.subspan(cursor));
  }
}

}  // namespace

std::string_view alarm_name(Version version, unsigned bit) {
  return bit < 32 ? alarm_names[bit].in(version) : std::string_view{};
}
std::string_view status_name(Version version, unsigned bit) {
  return bit < 32 ? status_names[bit].in(version) : std::string_view{};
}

void json_time(std::string_view key, std::int64_t unix_s, JsonWriter& out) {
  out.key(key);
  std::uint8_t bcd[6] = {};
  if (unix_s != time_invalid) write_time_utc(unix_s, bcd);
  if (bcd[1] == 0) {  // a month of 0: no time
    out.null();
    return;
  }
  char text[32];
  unsigned parts[6];
  for (int i = 0; i < 6; ++i) parts[i] = bcd[i];
  std::snprintf(text, sizeof text, "20%02x-%02x-%02xT%02x:%02x:%02xZ", parts[0], parts[1], parts[2],
                parts[3], parts[4], parts[5]);
  out.text(text);
}

void json_location(Version version, Bytes body, JsonWriter& out) {
  Location at;
  if (!decode_location(body, at)) return;
  constexpr std::uint32_t load_bits = 3U << 8;
  constexpr std::string_view loads[] = {"empty", "half", "reserved", "full"};
  json_time("time", at.time_unix_s, out);
  out.key("fixed").boolean(at.fixed());
  out.key("latitude_deg").number(at.latitude_deg_x1e6 / 1e6, 6);
  out.key("longitude_deg").number(at.longitude_deg_x1e6 / 1e6, 6);
  if ((at.flags & Location::coordinates_out_of_range) != 0) {
    out.key("coordinates_out_of_range").boolean(true);
  }
  out.key("altitude_m").integer(at.altitude_m);
  json_tenths("speed_kmh", at.speed_kmh_x10, out);
  out.key("heading_deg").unsigned_integer(at.heading_deg);
  json_bits("alarms", at.alarm_bits, alarm_names, version, 0, out);
  json_bits("status", at.status_bits, status_names, version, load_bits, out);
  out.key("load").text(loads[at.status_bits >> 8 & 3]);
  json_simple_items(version, at, out);
  json_compound_items(at, body, out);
  json_other_items(at, body, out);
}

}  // namespace ringgate::jt808
