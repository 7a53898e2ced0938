// Neutral rows: what sinks, tracks and the API show of a record, whatever protocol it came by. A
// MessageCatalog makes them of records; one record may give several (a batch of positions), told
// apart by `sub`, which counts the rows of one kind from 0 within the record. The same record
// always gives the same rows. Views live as long as the call.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

#include "engine/base/clock.hpp"

namespace ringgate::event {

constexpr double no_value = std::numeric_limits<double>::quiet_NaN();

struct PositionRow {
  std::uint32_t sub = 0;
  WallUs device_time_us = 0;  // the device's clock; UTC. 0: it sent none that is a time
  double latitude_deg = 0;    // WGS-84 as sent
  double longitude_deg = 0;
  double altitude_m = no_value;
  double speed_kmh = no_value;
  double heading_deg = no_value;  // 0 north, clockwise
  double odometer_km = no_value;
  std::uint32_t alarm_bits = 0;   // as sent; their meaning is the protocol's
  std::uint32_t status_bits = 0;
  bool fixed = false;  // the device says that the position is good, and it lies on Earth
  bool late = false;   // sent again later, from a blind area
};

// One alarm that a message carries. Alarms that last are repeated by every message until they end.
struct AlarmRow {
  std::uint32_t sub = 0;
  WallUs device_time_us = 0;
  std::string_view type;      // "overspeed", "forward-collision"
  std::string_view phase;     // "start", "end"; empty: not said
  std::string_view source;    // "alarm-bits", "adas", "dsm", "tpms", "bsd", "video"
  std::uint32_t alarm_id = 0;  // the device's own number; 0: none
  std::uint8_t level = 0;     // 0: none is defined
  double latitude_deg = no_value;
  double longitude_deg = no_value;
  double speed_kmh = no_value;
};

struct SessionRow {
  enum class What : std::uint8_t { online, offline, registered, logged_out, other };
  What what = What::other;
  std::string_view detail;  // for people: "offline idle", "online 10.1.2.3:4711 udp"
};
constexpr std::string_view name_of(SessionRow::What what) {
  constexpr std::string_view names[] = {"online", "offline", "registered", "logged-out", "other"};
  return names[static_cast<std::size_t>(what)];
}

// What a device says of itself (registration, attributes). Empty: not said by this record. Texts
// are UTF-8 without control characters.
struct DeviceRow {
  std::string_view plate;
  std::uint8_t plate_colour = 0;
  std::string_view terminal_id;
  std::string_view maker;
  std::string_view model;
  std::string_view version;  // of the protocol: "2019"
};

struct MediaRow {
  std::string_view blob;  // its id in storage/blob
  std::string_view name;  // as the device called it; for people
  std::string_view type;  // "image/jpeg"
  std::uint64_t size_bytes = 0;
  WallUs device_time_us = 0;  // 0: not said
  std::string_view json;      // the whole metadata
};

class RowVisitor {
 public:
  virtual ~RowVisitor() = default;
  virtual void position(const PositionRow&) {}
  virtual void alarm(const AlarmRow&) {}
  virtual void session(const SessionRow&) {}
  virtual void device(const DeviceRow&) {}
  virtual void media(const MediaRow&) {}
};

// The device times that a record carries: from its earliest to its latest position.
struct DeviceTimes {
  WallUs first_us = 0;
  WallUs last_us = 0;
};

}  // namespace ringgate::event
