// What the device table keeps of a terminal: its latest position, and what only a registration
// tells. Lives in Device::last_state.
#pragma once

#include <cstdint>
#include <type_traits>

#include "engine/device/device_table.hpp"

namespace ringgate::jt808 {

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
static_assert(std::is_trivially_copyable_v<LastState> && sizeof(LastState) <= 64);

// Whether the terminal is known to speak 2011: no header tells it from 2013, only 0x0100 does.
inline bool is_2011(device::Device& device) {
  return device.last_state<LastState>().layout_2011 != 0;
}

}  // namespace ringgate::jt808
