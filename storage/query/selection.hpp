// Which records are meant: by device, message, kind, time and place. A plain value; queries, tails
// and sinks take one.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/base/ids.hpp"
#include "engine/base/result.hpp"
#include "storage/event/catalog.hpp"
#include "storage/log/segment_records.hpp"

namespace ringgate::query {

// A rectangle in degrees; west may lie east of east, where it crosses 180 degrees.
struct Area {
  double south_deg = -90;
  double west_deg = -180;
  double north_deg = 90;
  double east_deg = 180;
  bool contains(double latitude_deg, double longitude_deg) const;
};
// "31.1,121.2,31.4,121.6": latitude and longitude of two opposite corners.
Result<Area> parse_area(std::string_view text);

struct Selection {
  std::vector<DeviceKey> devices;        // empty: all
  std::vector<std::uint16_t> messages;   // empty: all
  std::uint32_t kinds = 0;               // bit 1 << RecordKind; 0: all
  WallUs received_from_us = log::no_time_before;
  WallUs received_to_us = log::no_time_after;  // before this
  // Only records with a position of these times, or in this area; both are looked up through the
  // catalogs, and both hold for one and the same position.
  WallUs device_from_us = log::no_time_before;
  WallUs device_to_us = log::no_time_after;
  std::optional<Area> area;
  bool duplicates = true;  // retransmissions too
  bool parts = true;       // parts of messages whose whole is there too

  void add_kind(event::RecordKind kind) { kinds |= 1U << static_cast<unsigned>(kind); }
  bool wants_rows() const {
    return area.has_value() || device_from_us != log::no_time_before ||
           device_to_us != log::no_time_after;
  }
  // Everything that the record itself tells: cheap. `catalogs` is asked where wants_rows().
  bool matches(const event::RecordView& record, const event::CatalogSet& catalogs) const;
};

}  // namespace ringgate::query
