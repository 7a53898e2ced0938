#include "tools/load/terminal/areas.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace ringgate::load {
namespace {

// Attributes of an area; a segment has bits 0-3 only.
constexpr std::uint16_t with_time = 1;
constexpr std::uint16_t with_speed = 2;
constexpr std::uint16_t tells_platform_in = 1U << 3;
constexpr std::uint16_t tells_platform_out = 1U << 5;
constexpr std::uint16_t area_south = 1U << 6;
constexpr std::uint16_t area_west = 1U << 7;
constexpr std::uint16_t segment_south = 1U << 2;
constexpr std::uint16_t segment_west = 1U << 3;

constexpr std::uint32_t alarm_overspeed = 1U << 1;
constexpr std::uint32_t alarm_area = 1U << 20;
constexpr std::uint32_t alarm_route = 1U << 21;
constexpr std::uint32_t alarm_segment_time = 1U << 22;
constexpr std::uint32_t alarm_off_route = 1U << 23;
constexpr std::uint32_t status_south = 1U << 2;
constexpr std::uint32_t status_west = 1U << 3;

constexpr double metres_per_degree = 111'320;
constexpr std::uint8_t segment_item_type = 4;  // of item 0x11: a way of a route

AreaPoint read_point(BodyReader& in, bool south, bool west) {
  const double latitude = in.u32() / 1e6;
  const double longitude = in.u32() / 1e6;
  return {south ? -latitude : latitude, west ? -longitude : longitude};
}

double shrink_at(double latitude_deg) {  // of a degree east
  return std::cos(latitude_deg * std::numbers::pi / 180);
}

double distance_m(const AreaPoint& a, const AreaPoint& b) {
  const double north = (a.latitude_deg - b.latitude_deg) * metres_per_degree;
  const double east = (a.longitude_deg - b.longitude_deg) * metres_per_degree *
                      shrink_at(a.latitude_deg);
  return std::hypot(north, east);
}

// From `at` to the straight way between two points.
double distance_to_way_m(const AreaPoint& at, const AreaPoint& from, const AreaPoint& to) {
  const double shrink = shrink_at(at.latitude_deg);
  const auto east = [&](const AreaPoint& p) {
    return (p.longitude_deg - at.longitude_deg) * metres_per_degree * shrink;
  };
  const auto north = [&](const AreaPoint& p) {
    return (p.latitude_deg - at.latitude_deg) * metres_per_degree;
  };
  const double x = east(to) - east(from), y = north(to) - north(from);
  const double length2 = x * x + y * y;
  const double part =
      length2 > 0 ? std::clamp(-(east(from) * x + north(from) * y) / length2, 0.0, 1.0) : 0;
  return std::hypot(east(from) + part * x, north(from) + part * y);
}

AreaAlarm overspeed(std::uint32_t bits, std::uint8_t type, std::uint32_t id) {
  BodyWriter item;
  item.u8(type).u32(id);
  return {bits | alarm_overspeed, 0x11, item.take()};
}

AreaAlarm border(std::uint32_t bits, const Area& area, bool out_of_it) {
  BodyWriter item;
  item.u8(static_cast<std::uint8_t>(area.type)).u32(area.id).u8(out_of_it ? 1 : 0);
  return {bits, 0x12, item.take()};
}

}  // namespace

bool Area::contains(const AreaPoint& at) const {
  if (type == AreaType::circle) return distance_m(points[0], at) <= radius_m;
  if (type == AreaType::rectangle) {  // top left, bottom right
    return at.latitude_deg <= points[0].latitude_deg && at.latitude_deg >= points[1].latitude_deg &&
           at.longitude_deg >= points[0].longitude_deg &&
           at.longitude_deg <= points[1].longitude_deg;
  }
  bool in = false;
  for (std::size_t i = 0, j = points.size() - 1; i < points.size(); j = i++) {
    const AreaPoint &a = points[i], &b = points[j];
    if ((a.latitude_deg > at.latitude_deg) == (b.latitude_deg > at.latitude_deg)) continue;
    const double crossing = (b.longitude_deg - a.longitude_deg) *
                                (at.latitude_deg - a.latitude_deg) /
                                (b.latitude_deg - a.latitude_deg) + a.longitude_deg;
    if (at.longitude_deg < crossing) in = !in;
  }
  return in;
}

int Area::segment_at(const AreaPoint& at) const {
  for (std::size_t i = 0; i + 1 < points.size(); ++i) {
    const double half_m = std::max<double>(segments[i].width_m, 1) / 2;
    if (distance_to_way_m(at, points[i], points[i + 1]) <= half_m) return static_cast<int>(i);
  }
  return -1;
}

// Everything of a polygon or route from its attributes on.
bool Areas::read_points(BodyReader& in, Area& out) const {
  const bool south = (out.attributes & area_south) != 0, west = (out.attributes & area_west) != 0;
  const bool is_route = out.type == AreaType::route;
  if ((out.attributes & with_time) != 0) in.take(12);
  if (!is_route && (out.attributes & with_speed) != 0) {
    out.speed_limit_kmh = in.u16();
    in.u8();
  }
  const std::uint16_t count = in.u16();
  for (int i = 0; i < count && in.ok(); ++i) {
    if (!is_route) {
      out.points.push_back(read_point(in, south, west));
      continue;
    }
    in.u32();  // the point's id
    Area::Segment segment{.id = in.u32()};
    const Bytes place = in.take(8);
    segment.width_m = in.u8();
    const std::uint8_t attributes = in.u8();
    BodyReader point(place);
    out.points.push_back(read_point(point, (attributes & segment_south) != 0,
                                    (attributes & segment_west) != 0));
    if ((attributes & with_time) != 0) {
      segment.longest_s = in.u16();
      segment.shortest_s = in.u16();
    }
    if ((attributes & with_speed) != 0) {
      segment.speed_limit_kmh = in.u16();
      in.u8();
      if (version_ == Version::v2019) in.u16();  // at night
    }
    out.segments.push_back(segment);
  }
  if (version_ == Version::v2019 && in.left() > 0) {
    if (!is_route && (out.attributes & with_speed) != 0) in.u16();  // at night
    in.take(in.u16());                                              // its name
  }
  return in.ok() && out.points.size() == count && count >= (is_route ? 1 : 3);
}

bool Areas::read(AreaType type, BodyReader& in, Area& out) const {
  out = Area{.type = type, .id = in.u32(), .attributes = in.u16()};
  if (type == AreaType::polygon || type == AreaType::route) return read_points(in, out);
  const bool south = (out.attributes & area_south) != 0, west = (out.attributes & area_west) != 0;
  out.points.push_back(read_point(in, south, west));
  if (type == AreaType::circle) out.radius_m = in.u32();
  else out.points.push_back(read_point(in, south, west));
  if ((out.attributes & with_time) != 0) in.take(12);
  if ((out.attributes & with_speed) != 0) {
    out.speed_limit_kmh = in.u16();
    in.u8();
    if (version_ == Version::v2019) in.u16();
  }
  if (version_ == Version::v2019 && in.left() > 0) in.take(in.u16());
  return in.ok();
}

std::uint8_t Areas::set(AreaType type, Bytes body) {
  BodyReader in(body);
  const bool has_list = type == AreaType::circle || type == AreaType::rectangle;
  const std::uint8_t way = has_list ? in.u8() : 1;  // 0 instead of the others, 1 besides, 2 modify
  const std::uint8_t count = has_list ? in.u8() : 1;
  std::vector<Area> taken;
  for (int i = 0; i < count; ++i) {
    const std::size_t before = in.left();
    Area area;
    if (!read(type, in, area)) return 2;
    const Bytes item = body.subspan(body.size() - before, before - in.left());
    area.item.assign(item.begin(), item.end());
    taken.push_back(std::move(area));
  }
  if (!in.ended() || way > 2) return 2;
  if (areas_.size() + taken.size() > count_max) return 1;
  if (way == 0) std::erase_if(areas_, [&](const auto& one) { return one.first.first == type; });
  for (Area& area : taken) areas_[{type, area.id}] = std::move(area);
  return 0;
}

std::uint8_t Areas::remove(AreaType type, Bytes body) {
  BodyReader in(body);
  const std::uint8_t count = in.u8();
  if (in.left() != count * std::size_t{4}) return 2;
  if (count == 0) std::erase_if(areas_, [&](const auto& one) { return one.first.first == type; });
  for (int i = 0; i < count; ++i) areas_.erase({type, in.u32()});
  return 0;
}

bool Areas::query(Bytes body, Body& out) const {
  BodyReader in(body);
  const std::uint8_t type = in.u8();
  const std::uint32_t count = in.u32();
  if (!in.ok() || type < 1 || type > 4 || in.left() != count * std::uint64_t{4}) return false;
  BodyWriter items;
  std::uint32_t told = 0;
  const auto tell = [&](const Area& area) {
    items.bytes(area.item);
    ++told;
  };
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto at = areas_.find({static_cast<AreaType>(type), in.u32()});
    if (at != areas_.end()) tell(at->second);
  }
  for (const auto& [key, area] : areas_) {
    if (count == 0 && key.first == static_cast<AreaType>(type)) tell(area);
  }
  BodyWriter head;
  head.u8(type).u32(told).bytes(items.body());
  out = head.take();
  return true;
}

std::vector<AreaAlarm> Areas::drive(const Position& position, MonoNs now) {
  std::vector<AreaAlarm> out;
  AreaPoint at{position.latitude_udeg / 1e6, position.longitude_udeg / 1e6};
  if ((position.status & status_south) != 0) at.latitude_deg = -at.latitude_deg;
  if ((position.status & status_west) != 0) at.longitude_deg = -at.longitude_deg;
  for (auto& [key, area] : areas_) {
    if (area.type == AreaType::route) drive_route(area, at, position, now, out);
    else drive_area(area, at, position, out);
  }
  return out;
}

void Areas::drive_area(Area& area, const AreaPoint& at, const Position& position,
                       std::vector<AreaAlarm>& out) const {
  const bool inside = area.contains(at);
  if (inside != area.inside) {
    area.inside = inside;
    const std::uint16_t asked = inside ? tells_platform_in : tells_platform_out;
    if ((area.attributes & asked) != 0) out.push_back(border(alarm_area, area, !inside));
  }
  const bool too_fast = inside && area.speed_limit_kmh > 0 &&
                        position.speed_dkmh > area.speed_limit_kmh * 10;
  if (too_fast && !area.too_fast) {
    out.push_back(overspeed(0, static_cast<std::uint8_t>(area.type), area.id));
  }
  area.too_fast = too_fast;
}

void Areas::drive_route(Area& area, const AreaPoint& at, const Position& position, MonoNs now,
                        std::vector<AreaAlarm>& out) const {
  const int segment = area.segment_at(at);
  const bool inside = segment >= 0;
  if (segment != area.segment) {
    if (area.segment >= 0) {  // the way that ends: was it driven too fast or too slowly?
      const Area::Segment& was = area.segments[static_cast<std::size_t>(area.segment)];
      const auto took_s = (now - area.segment_since_ns) / ns_per_s;
      const bool too_long = was.longest_s > 0 && took_s > was.longest_s;
      const bool too_short = was.shortest_s > 0 && took_s < was.shortest_s;
      if (too_long || too_short) {
        BodyWriter item;
        item.u32(was.id).u16(std::min<std::int64_t>(took_s, 65'535)).u8(too_long ? 1 : 0);
        out.push_back({alarm_segment_time, 0x13, item.take()});
      }
    }
    area.segment = segment;
    area.segment_since_ns = now;
    area.too_fast = false;
  }
  if (inside != area.inside) {
    area.inside = inside;
    const std::uint16_t asked = inside ? tells_platform_in : tells_platform_out;
    if ((area.attributes & asked) != 0) {
      out.push_back(border(alarm_route | (inside ? 0 : alarm_off_route), area, !inside));
    }
  }
  if (!inside) return;
  const Area::Segment& on = area.segments[static_cast<std::size_t>(segment)];
  const bool too_fast = on.speed_limit_kmh > 0 && position.speed_dkmh > on.speed_limit_kmh * 10;
  if (too_fast && !area.too_fast) out.push_back(overspeed(0, segment_item_type, on.id));
  area.too_fast = too_fast;
}

}  // namespace ringgate::load
