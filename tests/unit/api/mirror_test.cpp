// The mirror of all devices against a plain list of them, under random updates.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

#include "protocols/api/mirror.hpp"

namespace {

using namespace ringgate;
using api::Area;
using api::Mirror;

DeviceKey key_of(unsigned number) {
  return {Namespace::phone, fmt::format("{}", 13'800'000'000ULL + number)};
}

// What is known of one device, without any index.
struct Plain {
  std::int32_t latitude = 0, longitude = 0;
  bool online = false, alarm = false, located = false;
};

class Pair {
 public:
  explicit Pair(unsigned seed) : random_(seed) {}

  std::int32_t some(std::int32_t lowest, std::int32_t highest) {
    return std::uniform_int_distribution<std::int32_t>(lowest, highest)(random_);
  }
  bool coin() { return some(0, 1) == 1; }

  // Half of all devices stand close together, so that areas hold many, few and none.
  std::pair<std::int32_t, std::int32_t> place() {
    if (coin()) return {some(31'000'000, 31'500'000), some(121'000'000, 122'000'000)};
    return {some(-90'000'000, 90'000'000), some(-180'000'000, 180'000'000)};
  }

  void step() {
    const DeviceKey key = key_of(static_cast<unsigned>(some(0, 2999)));
    Plain& plain = plain_[std::string(key.id())];
    now_us_ += some(0, 2);
    switch (some(0, 3)) {
      case 0: {
        event::DeviceSnapshot taken;
        taken.key = key;
        taken.taken_us = now_us_;
        taken.online = plain.online = coin();
        taken.alarm_bits = coin() ? 1U << some(0, 31) : 0;
        plain.alarm = taken.alarm_bits != 0;
        taken.located = coin();
        if (taken.located) {
          std::tie(taken.latitude_deg_x1e6, taken.longitude_deg_x1e6) = place();
          take(plain, taken.latitude_deg_x1e6, taken.longitude_deg_x1e6);
        }
        mirror.apply(taken);
        break;
      }
      case 1:
        plain.online = coin();
        mirror.apply_presence(key, now_us_, plain.online);
        break;
      default: {
        Mirror::Moved moved;
        moved.received_us = now_us_;
        moved.alarm_bits = coin() ? 4 : 0;
        plain.alarm = moved.alarm_bits != 0;
        std::tie(moved.latitude_deg_x1e6, moved.longitude_deg_x1e6) = place();
        take(plain, moved.latitude_deg_x1e6, moved.longitude_deg_x1e6);
        mirror.apply(key, moved);
      }
    }
  }
  static void take(Plain& plain, std::int32_t latitude, std::int32_t longitude) {
    plain.latitude = latitude;
    plain.longitude = longitude;
    plain.located = true;
  }

  Area area() {
    if (some(0, 4) == 0) return {};
    Area out;
    auto a = place();
    auto b = place();
    out.south_x1e6 = std::min(a.first, b.first);
    out.north_x1e6 = std::max(a.first, b.first);
    out.west_x1e6 = a.second;
    out.east_x1e6 = b.second;
    return out;
  }

  api::Tally inside(const Area& area) const {
    api::Tally tally;
    for (const auto& [id, plain] : plain_) {
      if (!plain.located || !area.holds(plain.latitude, plain.longitude)) continue;
      ++tally.devices;
      tally.online += plain.online ? 1 : 0;
      tally.alarm += plain.alarm ? 1 : 0;
    }
    return tally;
  }
  const std::map<std::string, Plain>& plain() const { return plain_; }

  Mirror mirror;

 private:
  std::mt19937 random_;
  WallUs now_us_ = 1'800'000'000'000'000;
  std::map<std::string, Plain> plain_;
};

bool same(const api::Tally& a, const api::Tally& b) {
  return a.devices == b.devices && a.online == b.online && a.alarm == b.alarm;
}

TEST_CASE("counts of areas and cells are those of a plain list") {
  for (unsigned seed = 1; seed <= 5; ++seed) {
    CAPTURE(seed);
    Pair pair(seed);
    for (int round = 0; round < 40; ++round) {
      for (int i = 0; i < 500; ++i) pair.step();
      const Area area = pair.area();
      const api::Tally wanted = pair.inside(area);
      std::vector<Mirror::Slot> slots;
      CHECK(same(pair.mirror.inside(area, 100, slots), wanted));
      CHECK(slots.size() == std::min(wanted.devices, 100U));
      for (const Mirror::Slot slot : slots) {
        CHECK(area.holds(pair.mirror.latitude_x1e6(slot), pair.mirror.longitude_x1e6(slot)));
      }
      api::Tally sum;
      std::int64_t latitudes = 0;
      const auto count = static_cast<std::uint32_t>(pair.some(1, 60));
      const auto cells = pair.mirror.cells(area, count);
      CHECK(cells.size() <= (count + 2) * (count + 2));
      for (const api::Cell& cell : cells) {
        sum.devices += cell.tally.devices;
        sum.online += cell.tally.online;
        sum.alarm += cell.tally.alarm;
        latitudes += cell.latitude_sum_x1e6;
        CHECK(cell.tally.devices > 0);
      }
      CHECK(same(sum, wanted));
      std::int64_t wanted_latitudes = 0;
      for (const auto& [id, plain] : pair.plain()) {
        const bool in = plain.located && area.holds(plain.latitude, plain.longitude);
        wanted_latitudes += in ? plain.latitude : 0;
      }
      CHECK(latitudes == wanted_latitudes);
    }
    CHECK(pair.mirror.size() == pair.plain().size());
    for (const auto& [id, plain] : pair.plain()) {
      const Mirror::Slot slot = pair.mirror.find({Namespace::phone, id});
      REQUIRE(slot != Mirror::none);
      CHECK(((pair.mirror.flags(slot) & Mirror::online_flag) != 0) == plain.online);
    }
  }
}

TEST_CASE("cells stand still when the area moves, and hold what is in them") {
  Mirror mirror;
  Pair random(7);
  for (unsigned i = 0; i < 2000; ++i) {
    Mirror::Moved moved;
    moved.received_us = 1;
    std::tie(moved.latitude_deg_x1e6, moved.longitude_deg_x1e6) = random.place();
    mirror.apply(key_of(i), moved);
  }
  const Area here{31'000'000, 121'000'000, 31'500'000, 122'000'000};
  const double side = Mirror::cell_deg(here, 16) * 1e6;
  CHECK(side * 16 >= 1e6);
  CHECK(side * 8 <= 1e6);
  // Moved by one cell, the cells that both areas hold whole are the same.
  Area moved = here;
  moved.west_x1e6 += static_cast<std::int32_t>(side);
  moved.east_x1e6 += static_cast<std::int32_t>(side);
  CHECK(Mirror::cell_deg(moved, 16) * 1e6 == side);
  const auto key = [&](const Area& area, const api::Cell& cell) {
    const double longitude = static_cast<double>(cell.longitude_sum_x1e6) / cell.tally.devices +
                             area.west_x1e6 + 180e6;
    const double latitude = static_cast<double>(cell.latitude_sum_x1e6) / cell.tally.devices + 90e6;
    return std::pair{std::floor(latitude / side), std::floor(longitude / side)};
  };
  std::map<std::pair<double, double>, std::uint32_t> seen;
  for (const api::Cell& cell : mirror.cells(here, 16)) {
    CHECK(seen.emplace(key(here, cell), cell.tally.devices).second);
  }
  const double first = std::floor((moved.west_x1e6 + 180e6) / side);
  const double last = std::floor((here.east_x1e6 + 180e6) / side);
  int both = 0;
  for (const api::Cell& cell : mirror.cells(moved, 16)) {
    const auto place = key(moved, cell);
    if (place.second <= first || place.second >= last) continue;
    CHECK(seen[place] == cell.tally.devices);
    ++both;
  }
  CHECK(both > 10);
}

TEST_CASE("what is older than what is known changes nothing") {
  Mirror mirror;
  const DeviceKey key = key_of(1);
  mirror.apply_presence(key, 100, true);
  mirror.apply_presence(key, 99, false);
  CHECK(mirror.all().online == 1);
  event::DeviceSnapshot taken;
  taken.key = key;
  taken.taken_us = 98;
  mirror.apply(taken);
  CHECK(mirror.all().online == 1);
  taken.taken_us = 101;
  mirror.apply(taken);
  CHECK(mirror.all().online == 0);
  // A position that was sent late does not move it back; one without a fix leaves it where it was.
  Mirror::Moved moved{.received_us = 200, .position_time_s = 1000, .latitude_deg_x1e6 = 5};
  mirror.apply(key, moved);
  moved = {.received_us = 201, .position_time_s = 999, .latitude_deg_x1e6 = 6};
  mirror.apply(key, moved);
  CHECK(mirror.latitude_x1e6(0) == 5);
  CHECK(mirror.at(0).last_heard_us == 201);
  moved = {.received_us = 202, .position_time_s = 1001};
  mirror.apply(key, moved);
  CHECK(mirror.latitude_x1e6(0) == 5);
  CHECK(mirror.located() == 1);
}

TEST_CASE("areas in degrees") {
  const auto area_of = [](std::string_view text) { return Area::of(*query::parse_area(text)); };
  Area area = area_of("31.1,121.2,31.4,121.6");
  CHECK(area.south_x1e6 == 31'100'000);
  CHECK(area.east_x1e6 == 121'600'000);
  area = area_of("-90,170,90,-170");
  CHECK(area.width_x1e6() == 20'000'000);
  CHECK(area.holds(0, 175'000'000));
  CHECK(area.holds(0, -180'000'000));
  CHECK_FALSE(area.holds(0, 0));
}

TEST_CASE("a device costs at most 128 bytes") {
  Mirror mirror;
  for (unsigned i = 0; i < 100'000; ++i) mirror.apply_presence(key_of(i), 1, true);
  CHECK(mirror.memory_bytes() <= 128 * 100'000);
  // Also where the index has just grown.
  while (mirror.size() < 197'000) mirror.apply_presence(key_of(mirror.size()), 1, true);
  CHECK(mirror.memory_bytes() <= 128ULL * mirror.size());
  CHECK(mirror.find(key_of(99'999)) == 99'999);
  CHECK(mirror.find(key_of(900'000)) == Mirror::none);
}

}  // namespace
