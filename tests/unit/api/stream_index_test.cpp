#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "protocols/api/group_index.hpp"
#include "protocols/api/stream_place.hpp"
#include "tests/unit/api/stream_rig.hpp"

using namespace ringgate;
using namespace ringgate::api;
using namespace ringgate::unit;

namespace {

struct Group {
  Subscription wanted;
};

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : random_(seed) {}
  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }
  double between(double low, double high) {
    return low + (high - low) * static_cast<double>(below(1'000'001)) / 1e6;
  }

 private:
  std::mt19937_64 random_;
};

double coordinate(Dice& dice, double most) {
  constexpr double scales[] = {1.0, 0.1, 0.001};
  // Edges are where a grid is wrong.
  if (dice.below(8) == 0) return dice.below(2) == 0 ? most : -most;
  if (dice.below(8) == 0) return 0;
  return most * scales[dice.below(3)] * dice.between(-1, 1);
}

Subscription random_subscription(Dice& dice) {
  Subscription out;
  out.types = static_cast<std::uint32_t>(1 + dice.below(all_event_types));
  if (dice.below(3) == 0) {
    for (std::uint64_t i = 0; i < 1 + dice.below(4); ++i) {
      out.devices.push_back(device(dice.below(20)));
    }
    std::ranges::sort(out.devices, {}, [](const DeviceKey& key) { return std::string(key.id()); });
    out.devices.erase(std::unique(out.devices.begin(), out.devices.end()), out.devices.end());
  }
  if (dice.below(2) == 0) {
    query::Area area;
    const double one = coordinate(dice, 90);
    const double other = coordinate(dice, 90);
    area = {std::min(one, other), coordinate(dice, 180), std::max(one, other),
            coordinate(dice, 180)};
    if (dice.below(3) == 0) {  // a small one, as a map that was zoomed in
      area.north_deg = std::min(90.0, area.south_deg + 0.01);
      area.east_deg = std::min(180.0, area.west_deg + 0.01);
    }
    out.area = area;
  }
  if (dice.below(4) == 0) out.messages = {static_cast<std::uint16_t>(dice.below(3))};
  if (dice.below(4) == 0) out.alarms = {dice.below(2) == 0 ? "fatigue" : "overspeed"};
  return out;
}

EventFacts random_event(Dice& dice) {
  EventFacts out;
  out.type = static_cast<EventType>(dice.below(static_cast<std::uint64_t>(EventType::count)));
  out.device = device(dice.below(20));
  out.has_message = dice.below(2) == 0;
  out.message = static_cast<std::uint16_t>(dice.below(3));
  out.has_place = dice.below(3) != 0;
  out.latitude_deg = coordinate(dice, 90);
  out.longitude_deg = coordinate(dice, 180);
  out.alarm = dice.below(2) == 0 ? "fatigue" : "overspeed";
  return out;
}

}  // namespace

TEST_CASE("the index finds whom asking everybody finds, each once, while they come and go") {
  std::uint64_t hits = 0;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    Dice dice(seed);
    GroupIndex<Group> index;
    std::vector<std::unique_ptr<Group>> groups;
    for (int step = 0; step < 400; ++step) {
      if (dice.below(3) != 0 || groups.empty()) {
        groups.push_back(std::make_unique<Group>(Group{random_subscription(dice)}));
        index.add(*groups.back(), groups.back()->wanted);
      } else {
        const auto at = groups.begin() + static_cast<std::ptrdiff_t>(dice.below(groups.size()));
        index.remove(**at, (*at)->wanted);
        groups.erase(at);
      }
      EventFacts event = random_event(dice);
      if (dice.below(4) == 0 && !groups.empty()) {  // on an edge of somebody's area
        const auto& area = groups[dice.below(groups.size())]->wanted.area;
        if (area) event.latitude_deg = area->north_deg, event.longitude_deg = area->east_deg;
      }
      std::vector<const Group*> found;
      index.find(event, [&](Group& group) {
        CHECK(std::ranges::find(found, &group) == found.end());
        if (group.wanted.wants(event)) found.push_back(&group);
      });
      std::vector<const Group*> wanted;
      for (const auto& group : groups) {
        if (group->wanted.wants(event)) wanted.push_back(group.get());
      }
      std::ranges::sort(found);
      std::ranges::sort(wanted);
      REQUIRE(found == wanted);
      hits += wanted.size();
      if (!wanted.empty()) CHECK(index.wants_device(event.device));
    }
    for (const auto& group : groups) index.remove(*group, group->wanted);
    CHECK(index.empty());
  }
  CHECK(hits > 10'000);
}

TEST_CASE("the text of a place is read back as it was, and only on its own node") {
  log::NodeId node{0x4f, 0x1c, 0x09, 0xab, 1, 2, 3};
  log::NodeId other{0x4f, 0x1c, 0x09, 0xac};
  Dice dice(7);
  for (int i = 0; i < 2000; ++i) {
    StreamPlace place;
    place.run = static_cast<std::uint32_t>(dice.below(~std::uint32_t{0}));
    for (std::uint64_t shards = dice.below(6); shards > 0; --shards) {
      place.positions.push_back(dice.below(std::uint64_t{1} << (1 + dice.below(60))) * 8);
    }
    const std::string text = to_text(node, place);
    const auto again = place_from_text(text, node);
    REQUIRE(again.ok());
    CHECK(*again == place);
    CHECK(!place_from_text(text, other).ok());
    CHECK(place_of(cursor_of(place)).run == place.run);
    std::string broken = text;
    broken[dice.below(broken.size())] = "g /\0~"[dice.below(5)];
    CHECK(!place_from_text(broken, node).ok());
  }
  for (const char* bad :
       {"", "4f1c09ab", "4f1c09ab-", "4f1c09ab--1", "4f1c09ab-1-", "4f1c09ab-1--1",
        "4f1c09ab-1-+1", "4f1c09ab-99999999999", "4f1c09ab-1-ffffffffffffffff"}) {
    CAPTURE(bad);
    CHECK(!place_from_text(bad, node).ok());
  }
}
