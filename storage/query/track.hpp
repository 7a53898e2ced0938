// A device's way: fixes in order, without doubles, cut where fixes are missing, thinned out; with
// the stops and gaps in it. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/clock.hpp"
#include "storage/event/rows.hpp"

namespace ringgate::query {

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

// Along the great circle.
double distance_km(const Fix& from, const Fix& to);

// Whose clock orders a track.
enum class TrackOrder : std::uint8_t { device_time, received };

struct TrackShape {
  WallUs gap_us = 0;   // a new leg where fixes are further apart; 0: one leg
  WallUs step_us = 0;  // of fixes nearer than this only the first stays; 0: all
  double step_m = 0;   // the same by distance
  TrackOrder order = TrackOrder::device_time;
  // A stop: fixes that stay for so long within so many metres of the first of them; 0: none is
  // looked for.
  WallUs stop_us = 0;
  double stop_radius_m = 50;  // what a parked receiver wanders
};

// Fixes are missing from one to the other.
struct TrackGap {
  Fix from;
  Fix to;
};
struct TrackStop {
  WallUs from_us = 0;
  WallUs to_us = 0;
  double latitude_deg = 0;  // of its first fix
  double longitude_deg = 0;
};

// Told of a track as it is made: fixes between leg_begins and leg_ends; gaps between legs, stops
// when they are over.
class TrackListener {
 public:
  virtual ~TrackListener() = default;
  virtual void leg_begins() = 0;
  virtual void fix(const Fix& fix) = 0;
  virtual void leg_ends() = 0;
  virtual void gap(const TrackGap&) {}
  virtual void stop(const TrackStop&) {}
};

// Makes a track of fixes that are shown in its order; keeps a few of them and no more. A leg's
// first and last fix always stay. Legs also end where the way crosses the 180th meridian (RFC 7946
// 3.1.9).
class TrackMaker {
 public:
  TrackMaker(const TrackShape& shape, TrackListener& out) : shape_(shape), out_(out) {}
  void add(const Fix& fix);
  void end();

  WallUs time_of(const Fix& fix) const {
    return shape_.order == TrackOrder::device_time ? fix.device_time_us : fix.received_us;
  }

 private:
  bool is_double(const Fix& fix);
  void look_for_stop(const Fix& fix);
  void end_stop();
  void end_leg();
  bool is_step(const Fix& fix) const;

  TrackShape shape_;
  TrackListener& out_;
  bool begun_ = false;
  Fix last_;     // that was added
  Fix kept_;     // that was told of
  bool last_kept_ = false;
  std::vector<std::pair<double, double>> places_;  // of the fixes of last_'s time
  std::optional<Fix> still_;  // the first of those that may be a stop
  WallUs still_until_us_ = 0;
};

// The same at once -------------------------------------------------------------------------------

// Without a break: consecutive fixes are at most the gap apart.
using Leg = std::vector<Fix>;
struct Track {
  std::string device;
  std::vector<Leg> legs;
  std::uint64_t fixes() const;
};

// Sorts (those of one time by receipt) and makes the track.
Track make_track(std::string device, std::vector<Fix> fixes, const TrackShape& shape);

// Sorts as a TrackMaker wants it.
void sort_fixes(std::vector<Fix>& fixes, TrackOrder order);

// Puts a fix, or all, where maps of China have it (engine/base/gcj02.hpp).
void to_gcj02(Fix& fix);
void to_gcj02(Track& track);

double length_km(std::span<const Fix> leg);
inline double length_km(const Leg& leg) { return length_km(std::span<const Fix>(leg)); }

}  // namespace ringgate::query
