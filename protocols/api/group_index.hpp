// Which of many subscriptions may want an event: by device, by area, or all the rest. What it finds
// still has to be asked (Subscription::wants); what it does not find does not want the event.
//
// Areas stand in a grid of several levels: each in the finest whose cells it covers few of, so that
// an event looks into one cell of each level that is in use. Not thread-safe.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "protocols/api/subscription.hpp"

namespace ringgate::api {

struct DeviceHash {
  std::size_t operator()(const DeviceKey& key) const { return hash(key); }
};

template <class Group>
class GroupIndex {
 public:
  void add(Group& group, const Subscription& wanted) { change(group, wanted, true); }
  void remove(Group& group, const Subscription& wanted) { change(group, wanted, false); }

  bool empty() const { return by_device_.empty() && cells_.empty() && rest_.empty(); }
  // False: nobody wants anything of this device.
  bool wants_device(const DeviceKey& device) const {
    return !rest_.empty() || !cells_.empty() || by_device_.contains(device);
  }
  // Calls take(Group&) for each that may want the event, once.
  template <class Take>
  void find(const EventFacts& event, Take&& take) const {
    for (Group* group : rest_) take(*group);
    if (const auto found = by_device_.find(event.device); found != by_device_.end()) {
      for (Group* group : found->second) take(*group);
    }
    if (!event.has_place || cells_.empty()) return;
    for (unsigned level = 0; level < levels; ++level) {
      if (areas_of_level_[level] == 0) continue;
      const auto found = cells_.find(cell_of(level, row_of(level, event.latitude_deg),
                                             column_of(level, event.longitude_deg)));
      if (found == cells_.end()) continue;
      for (Group* group : found->second) take(*group);
    }
  }

 private:
  using List = std::vector<Group*>;
  static constexpr unsigned levels = 14;          // the finest cells are 1.2 km high
  static constexpr std::uint32_t cells_most = 9;  // of an area

  static std::uint32_t row_of(unsigned level, double latitude_deg) {
    return place(level, (latitude_deg + 90) / 180);
  }
  static std::uint32_t column_of(unsigned level, double longitude_deg) {
    return place(level, (longitude_deg + 180) / 360);
  }
  // Of what lies outside, or is no number, the nearest.
  static std::uint32_t place(unsigned level, double share) {
    const double cells = std::ldexp(1.0, static_cast<int>(level));
    const double at = std::floor(share * cells);
    if (!(at > 0)) return 0;
    return static_cast<std::uint32_t>(std::min(at, cells - 1));
  }
  static std::uint64_t cell_of(unsigned level, std::uint32_t row, std::uint32_t column) {
    return std::uint64_t{level} << 48 | std::uint64_t{row} << 24 | column;
  }
  struct Span {
    std::uint32_t first;
    std::uint32_t last;
    std::uint32_t size() const { return last - first + 1; }
  };

  // The cells of an area that crosses 180 degrees lie in two spans.
  static std::vector<std::uint64_t> cells_of(const query::Area& area, unsigned& level) {
    std::vector<Span> columns;
    Span rows{};
    for (level = levels; level-- > 0;) {
      rows = {row_of(level, area.south_deg), row_of(level, area.north_deg)};
      const std::uint32_t west = column_of(level, area.west_deg);
      const std::uint32_t east = column_of(level, area.east_deg);
      const std::uint32_t end = (1U << level) - 1;
      if (area.west_deg <= area.east_deg) {
        columns = {{west, east}};
      } else {
        columns = {{0, east}, {west, end}};
      }
      std::uint32_t count = 0;
      for (const Span& span : columns) count += span.size() * rows.size();
      if (count <= cells_most) break;
      if (level == 0) break;
    }
    std::vector<std::uint64_t> cells;
    for (const Span& span : columns) {
      for (std::uint32_t row = rows.first; row <= rows.last; ++row) {
        for (std::uint32_t column = span.first; column <= span.last; ++column) {
          cells.push_back(cell_of(level, row, column));
        }
      }
    }
    // Both spans may begin and end in one cell of a coarse level.
    std::sort(cells.begin(), cells.end());
    cells.erase(std::unique(cells.begin(), cells.end()), cells.end());
    return cells;
  }

  void change(Group& group, const Subscription& wanted, bool adds) {
    if (!wanted.devices.empty()) {
      for (const DeviceKey& device : wanted.devices) change(by_device_, device, group, adds);
    } else if (wanted.area) {
      unsigned level = 0;
      for (const std::uint64_t cell : cells_of(*wanted.area, level)) {
        change(cells_, cell, group, adds);
      }
      areas_of_level_[level] += adds ? 1U : ~0U;
    } else if (adds) {
      rest_.push_back(&group);
    } else {
      take_out(rest_, group);
    }
  }
  template <class Map, class Key>
  static void change(Map& map, const Key& key, Group& group, bool adds) {
    if (adds) {
      map[key].push_back(&group);
      return;
    }
    const auto found = map.find(key);
    take_out(found->second, group);
    if (found->second.empty()) map.erase(found);
  }
  static void take_out(List& list, Group& group) {
    const auto at = std::find(list.begin(), list.end(), &group);
    RG_CHECK(at != list.end());
    *at = list.back();
    list.pop_back();
  }

  std::unordered_map<DeviceKey, List, DeviceHash> by_device_;
  std::unordered_map<std::uint64_t, List> cells_;
  std::array<std::uint32_t, levels> areas_of_level_{};
  List rest_;
};

}  // namespace ringgate::api
