// Areas and routes of a simulated terminal, and what a vehicle does with them: alarms when it
// crosses a border, drives too fast inside, or leaves its route. Pure; one thread.
// JT/T 808-2019 8.35-8.44 (0x8600-0x8608, 0x0608), 8.12 tables 28-30 (items 0x11-0x13).
#pragma once

#include <map>
#include <utility>
#include <vector>

#include "engine/base/clock.hpp"
#include "tools/load/frames.hpp"
#include "tools/load/terminal/body.hpp"

namespace ringgate::load {

// As the standard numbers them.
enum class AreaType : std::uint8_t { circle = 1, rectangle, polygon, route };

struct AreaPoint {
  double latitude_deg = 0;
  double longitude_deg = 0;
};

struct Area {
  AreaType type = AreaType::circle;
  std::uint32_t id = 0;
  std::uint16_t attributes = 0;
  Body item;  // as it came: what 0x0608 tells
  std::vector<AreaPoint> points;
  std::uint32_t radius_m = 0;        // circle
  std::uint16_t speed_limit_kmh = 0;  // 0: none
  // Route: one per point, the way that begins there.
  struct Segment {
    std::uint32_t id = 0;
    std::uint8_t width_m = 0;
    std::uint16_t speed_limit_kmh = 0;
    std::uint16_t longest_s = 0;  // 0: no limit
    std::uint16_t shortest_s = 0;
  };
  std::vector<Segment> segments;
  // Of the vehicle.
  bool inside = false;
  bool too_fast = false;
  int segment = -1;  // on which it is
  MonoNs segment_since_ns = 0;

  bool contains(const AreaPoint& at) const;
  int segment_at(const AreaPoint& at) const;  // -1: off the route
};

// What a vehicle has done: goes into a 0x0200 as alarm bits and one item.
struct AreaAlarm {
  std::uint32_t alarm_bits = 0;
  std::uint8_t item_id = 0;  // 0x11, 0x12, 0x13; 0: none
  Body item;
};

class Areas {
 public:
  explicit Areas(Version version) : version_(version) {}

  // Results of a 0x0001: 0 done, 1 no room, 2 the body is wrong (nothing is changed).
  std::uint8_t set(AreaType type, Bytes body);
  std::uint8_t remove(AreaType type, Bytes body);
  // The body of a 0x0608 for a 0x8608; false: the body is wrong.
  bool query(Bytes body, Body& out) const;

  // The vehicle is here now: what it has crossed since the last call.
  std::vector<AreaAlarm> drive(const Position& position, MonoNs now);
  std::size_t count() const { return areas_.size(); }
  void clear() { areas_.clear(); }

  // "Not more than 24 of a kind" is what many terminals say; this one has room for more.
  static constexpr std::size_t count_max = 500;

 private:
  bool read(AreaType type, BodyReader& in, Area& out) const;
  bool read_points(BodyReader& in, Area& out) const;
  void drive_area(Area& area, const AreaPoint& at, const Position& position,
                  std::vector<AreaAlarm>& out) const;
  void drive_route(Area& area, const AreaPoint& at, const Position& position, MonoNs now,
                   std::vector<AreaAlarm>& out) const;

  Version version_;
  std::map<std::pair<AreaType, std::uint32_t>, Area> areas_;
};

}  // namespace ringgate::load
