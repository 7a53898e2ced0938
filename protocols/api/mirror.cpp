#include "protocols/api/mirror.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "engine/base/utf8.hpp"

namespace ringgate::api {

namespace {

constexpr std::int64_t circle_x1e6 = 360'000'000;

}  // namespace

Area Area::of(const query::Area& area) {
  const auto whole = [](double degrees) {
    return static_cast<std::int32_t>(std::lround(degrees * 1e6));
  };
  return {whole(area.south_deg), whole(area.west_deg), whole(area.north_deg),
          whole(area.east_deg)};
}

bool Area::holds(std::int32_t latitude_x1e6, std::int32_t longitude_x1e6) const {
  if (latitude_x1e6 < south_x1e6 || latitude_x1e6 > north_x1e6) return false;
  const bool after = longitude_x1e6 >= west_x1e6;
  const bool before = longitude_x1e6 <= east_x1e6;
  return west_x1e6 <= east_x1e6 ? after && before : after || before;
}

void Tally::add(std::uint8_t flags) {
  ++devices;
  online += (flags & Mirror::online_flag) != 0 ? 1 : 0;
  alarm += (flags & Mirror::alarm_flag) != 0 ? 1 : 0;
}

// Devices ---------------------------------------------------------------------------------------

std::size_t Mirror::place_of(const DeviceKey& key) const {
  std::size_t place = hash(key) & (index_.size() - 1);
  while (index_[place] != 0 && !(at(index_[place] - 1).key == key)) {
    place = (place + 1) & (index_.size() - 1);
  }
  return place;
}

Mirror::Slot Mirror::find(const DeviceKey& key) const {
  if (index_.empty()) return none;
  const Slot found = index_[place_of(key)];
  return found == 0 ? none : found - 1;
}

// At most 3/4 full.
void Mirror::grow() {
  constexpr std::size_t first = 1024;
  if (!index_.empty() && std::uint64_t{size_ + 1} * 4 <= std::uint64_t{index_.size()} * 3) return;
  const std::size_t places = index_.empty() ? first : index_.size() * 2;
  index_.assign(places, 0);
  for (Slot slot = 0; slot < size_; ++slot) index_[place_of(at(slot).key)] = slot + 1;
}

Mirror::Slot Mirror::find_or_add(const DeviceKey& key) {
  if (const Slot known = find(key); known != none) return known;
  grow();
  if (size_ == chunks_.size() * chunk_size) chunks_.push_back(std::make_unique<Chunk>());
  const Slot slot = size_++;
  device(slot).key = key;
  index_[place_of(key)] = slot + 1;
  ++all_.devices;
  return slot;
}

void Mirror::set_flags(Slot slot, std::uint8_t flags) {
  std::uint8_t& is = chunk(slot).flags[slot % chunk_size];
  const auto change = [&](std::uint8_t flag, std::uint32_t& count) {
    count += (flags & flag) != 0 ? 1 : 0;
    count -= (is & flag) != 0 ? 1 : 0;
  };
  change(online_flag, all_.online);
  change(alarm_flag, all_.alarm);
  change(located_flag, located_);
  is = flags;
}

void Mirror::apply(const event::DeviceSnapshot& taken) {
  const Slot slot = find_or_add(taken.key);
  Device& to = device(slot);
  to.plate_size = taken.plate_size;  // none: it was taken off
  std::copy_n(taken.plate, taken.plate_size, to.plate_text);
  to.last_heard_us = std::max(to.last_heard_us, taken.last_heard_us);
  if (taken.taken_us < to.known_us) return;
  to.known_us = taken.taken_us;
  std::uint8_t flags = taken.online ? online_flag : 0;
  flags |= taken.alarm_bits != 0 ? alarm_flag : 0;
  to.position_time_s = taken.position_time_s;
  to.alarm_bits = taken.alarm_bits;
  to.speed_kmh_x10 = taken.speed_kmh_x10;
  to.heading_deg = taken.heading_deg;
  if (taken.located) {
    chunk(slot).latitude[slot % chunk_size] = taken.latitude_deg_x1e6;
    chunk(slot).longitude[slot % chunk_size] = taken.longitude_deg_x1e6;
  }
  // One that had a position keeps it on the map while it has no fix.
  const bool was_located = (this->flags(slot) & located_flag) != 0;
  flags |= taken.located || was_located ? located_flag : 0;
  set_flags(slot, flags);
}

void Mirror::apply(const DeviceKey& key, const Moved& moved) {
  const Slot slot = find_or_add(key);
  Device& to = device(slot);
  to.last_heard_us = std::max(to.last_heard_us, moved.received_us);
  if (moved.received_us < to.known_us) return;
  // As the shards do it: a position of before, sent late, does not move the device back, but a time
  // that lies ahead of us orders nothing.
  constexpr std::int64_t ahead_max_s = 86400;
  const bool ordered = to.position_time_s <= moved.received_us / us_per_s + ahead_max_s;
  if (ordered && moved.position_time_s < to.position_time_s) return;
  to.known_us = moved.received_us;
  to.position_time_s = moved.position_time_s;
  to.alarm_bits = moved.alarm_bits;
  to.speed_kmh_x10 = moved.speed_kmh_x10;
  to.heading_deg = moved.heading_deg;
  std::uint8_t flags = this->flags(slot) & static_cast<std::uint8_t>(~alarm_flag);
  if (moved.alarm_bits != 0) flags |= alarm_flag;
  if (moved.latitude_deg_x1e6 != 0 || moved.longitude_deg_x1e6 != 0) {
    chunk(slot).latitude[slot % chunk_size] = moved.latitude_deg_x1e6;
    chunk(slot).longitude[slot % chunk_size] = moved.longitude_deg_x1e6;
    flags |= located_flag;
  }
  set_flags(slot, flags);
}

void Mirror::apply_presence(const DeviceKey& key, WallUs at_us, bool online) {
  const Slot slot = find_or_add(key);
  Device& to = device(slot);
  if (at_us < to.known_us) return;
  to.known_us = at_us;
  if (online) to.last_heard_us = std::max(to.last_heard_us, at_us);
  const auto others = static_cast<std::uint8_t>(flags(slot) & ~online_flag);
  set_flags(slot, online ? others | online_flag : others);
}

void Mirror::apply_heard(const DeviceKey& key, WallUs at_us) {
  Device& to = device(find_or_add(key));
  to.last_heard_us = std::max(to.last_heard_us, at_us);
}

void Mirror::apply_plate(const DeviceKey& key, std::string_view plate) {
  Device& to = device(find_or_add(key));
  plate = cut_utf8(plate, event::DeviceSnapshot::plate_size_max);
  to.plate_size = static_cast<std::uint8_t>(plate.size());
  std::ranges::copy(plate, to.plate_text);
}

std::uint64_t Mirror::memory_bytes() const {
  return chunks_.size() * sizeof(Chunk) + chunks_.capacity() * sizeof(chunks_[0]) +
         index_.capacity() * sizeof(index_[0]);
}

// Maps ------------------------------------------------------------------------------------------

// Compares without branches, so that what is not in the area costs next to nothing: a nanosecond a
// device, where an index in tiles would have to be kept with every position.
template <class Visit>
void Mirror::visit(const Area& area, Visit&& each) const {
  const auto height = static_cast<std::uint32_t>(area.north_x1e6 - area.south_x1e6);
  const auto width = static_cast<std::uint32_t>(area.width_x1e6());
  for (std::uint32_t first = 0; first < size_; first += chunk_size) {
    const Chunk& here = chunk(first);
    const std::uint32_t count = std::min(chunk_size, size_ - first);
    for (std::uint32_t i = 0; i < count; ++i) {
      const auto north = static_cast<std::uint32_t>(here.latitude[i]) -
                         static_cast<std::uint32_t>(area.south_x1e6);
      auto east = static_cast<std::int64_t>(here.longitude[i]) - area.west_x1e6;
      east += east < 0 ? circle_x1e6 : 0;
      const bool in = north <= height && static_cast<std::uint64_t>(east) <= width &&
                      (here.flags[i] & located_flag) != 0;
      if (in) each(first + i, here, i, east);
    }
  }
}

Tally Mirror::inside(const Area& area, std::uint32_t slots_max, std::vector<Slot>& slots) const {
  Tally tally;
  visit(area, [&](Slot slot, const Chunk& here, std::uint32_t i, std::int64_t) {
    tally.add(here.flags[i]);
    if (slots.size() < slots_max) slots.push_back(slot);
  });
  return tally;
}

double Mirror::cell_deg(const Area& area, std::uint32_t cells) {
  const double longer =
      std::max<double>(static_cast<double>(area.width_x1e6()),
                       static_cast<double>(area.north_x1e6) - area.south_x1e6) / 1e6;
  // At least one of a millionth of a degree.
  const double wanted = std::max(longer, 1e-6) / cells;
  return 360.0 / std::exp2(std::floor(std::log2(360.0 / wanted)));
}

std::vector<Cell> Mirror::cells(const Area& area, std::uint32_t cells) const {
  const double side = cell_deg(area, cells) * 1e6;
  const double sides = 1 / side;  // a product is a quarter of a quotient's time
  const auto row_of = [&](double latitude) {
    return static_cast<std::int64_t>((latitude + 90e6) * sides);
  };
  const auto column_of = [&](double east_of_zero) {
    return static_cast<std::int64_t>(east_of_zero * sides);
  };
  const double west = static_cast<double>(area.west_x1e6) + 180e6;
  const std::int64_t first_row = row_of(area.south_x1e6);
  const std::int64_t first_column = column_of(west);
  const std::int64_t columns =
      column_of(west + static_cast<double>(area.width_x1e6())) - first_column + 1;
  const std::int64_t rows = row_of(area.north_x1e6) - first_row + 1;
  std::vector<Cell> all(static_cast<std::size_t>(rows * columns));
  visit(area, [&](Slot, const Chunk& here, std::uint32_t i, std::int64_t east) {
    const std::int64_t row = row_of(here.latitude[i]) - first_row;
    const std::int64_t column = column_of(west + static_cast<double>(east)) - first_column;
    Cell& cell = all[static_cast<std::size_t>(row * columns + column)];
    cell.tally.add(here.flags[i]);
    cell.latitude_sum_x1e6 += here.latitude[i];
    cell.longitude_sum_x1e6 += east;
  });
  std::erase_if(all, [](const Cell& cell) { return cell.tally.devices == 0; });
  return all;
}

}  // namespace ringgate::api
