// All devices in memory, for maps and sorted lists: who they are, where they were last, whether
// they are online. Filled from walks over the shards' tables (event::DeviceSnapshot) and kept by
// what happens; both may come in any order: what is older than what is known changes nothing.
//
// One thread. A device costs some 120 bytes (memory_bytes() is exact) and is never removed: shards
// do not forget devices while they run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "engine/base/clock.hpp"
#include "engine/base/ids.hpp"
#include "storage/event/device_gate.hpp"
#include "storage/query/selection.hpp"

namespace ringgate::api {

// A rectangle on Earth. `west_x1e6 > east_x1e6`: it crosses 180 degrees.
struct Area {
  std::int32_t south_x1e6 = -90'000'000;
  std::int32_t west_x1e6 = -180'000'000;
  std::int32_t north_x1e6 = 90'000'000;
  std::int32_t east_x1e6 = 180'000'000;

  // From degrees (query::parse_area).
  static Area of(const query::Area& area);
  std::int64_t width_x1e6() const {
    const std::int64_t width = std::int64_t{east_x1e6} - west_x1e6;
    return width < 0 ? width + 360'000'000 : width;
  }
  bool holds(std::int32_t latitude_x1e6, std::int32_t longitude_x1e6) const;
};

struct Tally {
  std::uint32_t devices = 0;
  std::uint32_t online = 0;
  std::uint32_t alarm = 0;
  void add(std::uint8_t flags);
};

// Devices that a map shows as one.
struct Cell {
  Tally tally;
  std::int64_t latitude_sum_x1e6 = 0;
  std::int64_t longitude_sum_x1e6 = 0;  // measured eastwards from the area's west end
};

class Mirror {
 public:
  using Slot = std::uint32_t;
  static constexpr Slot none = ~Slot{0};
  enum Flag : std::uint8_t { online_flag = 1, alarm_flag = 2, located_flag = 4 };

  struct Device {
    DeviceKey key;
    WallUs known_us = 0;  // what a shard's walk that was taken before says is old
    WallUs last_heard_us = 0;
    std::int64_t position_time_s = 0;
    std::uint32_t alarm_bits = 0;
    std::uint16_t speed_kmh_x10 = 0;
    std::uint16_t heading_deg = 0;
    std::uint8_t plate_size = 0;
    char plate_text[event::DeviceSnapshot::plate_size_max] = {};
    std::string_view plate() const { return {plate_text, plate_size}; }
  };
  static_assert(sizeof(Device) <= 104);

  struct Moved {
    WallUs received_us = 0;
    std::int64_t position_time_s = 0;
    std::int32_t latitude_deg_x1e6 = 0;
    std::int32_t longitude_deg_x1e6 = 0;
    std::uint32_t alarm_bits = 0;
    std::uint16_t speed_kmh_x10 = 0;
    std::uint16_t heading_deg = 0;
  };

  void apply(const event::DeviceSnapshot& taken);
  void apply(const DeviceKey& device, const Moved& moved);
  void apply_presence(const DeviceKey& device, WallUs at_us, bool online);
  void apply_heard(const DeviceKey& device, WallUs at_us);
  void apply_plate(const DeviceKey& device, std::string_view plate);

  std::uint32_t size() const { return size_; }
  const Tally& all() const { return all_; }
  std::uint32_t located() const { return located_; }
  Slot find(const DeviceKey& key) const;
  const Device& at(Slot slot) const { return chunk(slot).devices[slot % chunk_size]; }
  std::uint8_t flags(Slot slot) const { return chunk(slot).flags[slot % chunk_size]; }
  std::int32_t latitude_x1e6(Slot slot) const { return chunk(slot).latitude[slot % chunk_size]; }
  std::int32_t longitude_x1e6(Slot slot) const { return chunk(slot).longitude[slot % chunk_size]; }
  std::uint64_t memory_bytes() const;

  // What is in `area`; `slots` gets the first `slots_max` of them, in the order of their slots.
  Tally inside(const Area& area, std::uint32_t slots_max, std::vector<Slot>& slots) const;
  // Degrees of a cell's side: 360 through a power of two, so that cells stay where they are when an
  // area moves; some `cells` of them along the longer side of the area.
  static double cell_deg(const Area& area, std::uint32_t cells);
  // The cells of `area` with any devices, west to east and then to the north.
  std::vector<Cell> cells(const Area& area, std::uint32_t cells) const;

 private:
  static constexpr std::uint32_t chunk_size = 1024;
  // Positions and flags stand apart: a map looks at them alone, nine bytes a device.
  struct Chunk {
    std::int32_t latitude[chunk_size] = {};
    std::int32_t longitude[chunk_size] = {};
    std::uint8_t flags[chunk_size] = {};
    Device devices[chunk_size];
  };
  const Chunk& chunk(Slot slot) const { return *chunks_[slot / chunk_size]; }
  Chunk& chunk(Slot slot) { return *chunks_[slot / chunk_size]; }
  Device& device(Slot slot) { return chunk(slot).devices[slot % chunk_size]; }
  Slot find_or_add(const DeviceKey& key);
  std::size_t place_of(const DeviceKey& key) const;
  void grow();
  void set_flags(Slot slot, std::uint8_t flags);
  template <class Visit>
  void visit(const Area& area, Visit&& each) const;

  std::vector<Slot> index_;  // open addressing: slot + 1
  std::vector<std::unique_ptr<Chunk>> chunks_;
  std::uint32_t size_ = 0;
  std::uint32_t located_ = 0;
  Tally all_;
};

}  // namespace ringgate::api
