// A device's way: fixes in the order of the device's clock, without doubles, cut where fixes are
// missing, thinned out. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/clock.hpp"
#include "storage/event/rows.hpp"

namespace ringgate::log_tool {

struct Fix {
  WallUs device_time_us = 0;
  WallUs received_us = 0;
  double latitude_deg = 0;
  double longitude_deg = 0;
  float altitude_m = 0;  // NaN: not said; so are the next three
  float speed_kmh = 0;
  float heading_deg = 0;
  double odometer_km = 0;
  std::uint32_t alarm_bits = 0;
  std::uint32_t status_bits = 0;
  bool fixed = false;
  bool late = false;
};
Fix fix_of(const event::PositionRow& row, WallUs received_us);

// Without a break: consecutive fixes are at most the gap apart.
using Leg = std::vector<Fix>;
struct Track {
  std::string device;
  std::vector<Leg> legs;
  std::uint64_t fixes() const;
};

struct TrackShape {
  WallUs gap_us = 0;   // a new leg where fixes are further apart; 0: one leg
  WallUs step_us = 0;  // of fixes nearer than this only the first stays; 0: all
};

// Sorts by device time (those of one time by receipt), drops doubles (same time and place), cuts
// and thins out. A leg's first and last fix always stay. Legs also end where the way crosses the
// 180th meridian (RFC 7946 3.1.9).
Track make_track(std::string device, std::vector<Fix> fixes, const TrackShape& shape);

// Puts all fixes where maps of China have them (engine/base/gcj02.hpp).
void to_gcj02(Track& track);

// Along the great circle between fixes.
double length_km(const Leg& leg);

}  // namespace ringgate::log_tool
