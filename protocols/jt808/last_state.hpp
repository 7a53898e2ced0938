// What the device table keeps of a terminal: its latest position, and what only a registration
// tells. Lives in Device::last_state, is written to snapshots as it is, and is made again from the
// log by device_folder.hpp: what the session does to it, the folder does as well, so both do it by
// the functions of this header.
#pragma once

#include <cstdint>
#include <type_traits>

#include "engine/base/clock.hpp"
#include "engine/base/crc32c.hpp"
#include "engine/device/device_table.hpp"
#include "protocols/jt808/codec/header.hpp"
#include "protocols/jt808/codec/location.hpp"

namespace ringgate::jt808 {

// Of the bytes below. Whoever changes their meaning takes the next number: what a snapshot holds in
// another layout is read from the log again.
constexpr std::uint16_t last_state_layout = 1;

struct LastState {
  std::int64_t time_unix_s = 0;
  std::int64_t received_us = 0;  // 0: no position yet
  std::uint32_t alarm_bits = 0;
  std::uint32_t status_bits = 0;
  std::int32_t latitude_deg_x1e6 = 0;
  std::int32_t longitude_deg_x1e6 = 0;
  std::int16_t altitude_m = 0;
  std::uint16_t speed_kmh_x10 = 0;
  std::uint16_t heading_deg = 0;
  std::uint8_t has_odometer = 0;
  enum : std::uint8_t { v_unknown, v2013, v2019 };
  std::uint8_t version = v_unknown;  // of the terminal's frames; set with or without a position
  std::uint8_t layout_2011 = 0;  // 1: its last registration was of 2011
  std::uint32_t odometer_km_x10 = 0;
};
static_assert(std::is_trivially_copyable_v<LastState> && sizeof(LastState) == 48);

// Whether the terminal is known to speak 2011: no header tells it from 2013, only 0x0100 does.
inline bool is_2011(device::Device& device) {
  return device.last_state<LastState>().layout_2011 != 0;
}

// Takes a position in, unless it is older than what is there. Positions from before a gap in
// coverage come late and do not move the device back. A time that lies ahead of us orders nothing:
// receivers lose count of their weeks. `now_us`: when it was received.
inline void take_position(LastState& last, const Location& location, WallUs now_us) {
  constexpr std::int64_t ahead_max_s = 86400;  // a terminal's clock may be so far ahead of ours
  const bool ordered = last.received_us != 0 && last.time_unix_s <= now_us / us_per_s + ahead_max_s;
  if (ordered && location.time_unix_s < last.time_unix_s) return;
  last.time_unix_s = location.time_unix_s;
  last.received_us = now_us;
  last.alarm_bits = location.alarm_bits;
  last.status_bits = location.status_bits;
  last.latitude_deg_x1e6 = location.latitude_deg_x1e6;
  last.longitude_deg_x1e6 = location.longitude_deg_x1e6;
  last.altitude_m = location.altitude_m;
  last.speed_kmh_x10 = location.speed_kmh_x10;
  last.heading_deg = location.heading_deg;
  if (location.has(Item::odometer_km_x10)) {
    last.has_odometer = 1;
    last.odometer_km_x10 = location.value(Item::odometer_km_x10);
  }
}

// Tells retransmissions: same message id, serial and body. JT/T 808-2019 6.5.
inline std::uint32_t fingerprint(const Header& header, Bytes body) {
  const std::uint32_t id = std::uint32_t{header.message_id} << 16 | header.serial;
  const std::uint32_t value = crc32c(id, body);
  return value == 0 ? 1 : value;  // 0 is an empty place of the device's list
}

}  // namespace ringgate::jt808
