#include "engine/device/device_table.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <set>
#include <string>

namespace {

using namespace ringgate;
using device::Device;
using device::DeviceSlot;
using device::DeviceTable;
using device::no_device;

using Name = std::pair<Namespace, std::string>;

Name random_name(std::mt19937_64& random) {
  const Namespace space = random() % 2 == 0 ? Namespace::phone : Namespace::json;
  std::string id = std::to_string(13'800'000'000 + random() % 20'000);
  // Prefixes and the longest ids too.
  if (random() % 8 == 0) id.resize(1 + random() % id.size());
  if (random() % 8 == 0) id.resize(DeviceKey::text_size_max, static_cast<char>(random() % 256));
  return {space, id};
}

TEST_CASE("the table agrees with a map") {
  std::mt19937_64 random(11);
  flow::Budget budget(0);
  {
    DeviceTable table(budget);
    std::map<Name, DeviceSlot> model;
    for (std::uint32_t i = 0; i < 200'000; ++i) {
      const Name name = random_name(random);
      const DeviceKey key(name.first, name.second);
      const auto known = model.find(name);
      REQUIRE(table.find(key) == (known == model.end() ? no_device : known->second));
      if (random() % 2 == 0) continue;
      const DeviceSlot slot = table.find_or_add(key);
      if (known != model.end()) {
        REQUIRE(slot == known->second);
      } else {
        REQUIRE(slot == model.size());
        model.emplace(name, slot);
      }
      REQUIRE(table.at(slot).key == key);
    }
    CHECK(table.size() == model.size());
    for (const auto& [name, slot] : model) {
      REQUIRE(table.find(DeviceKey(name.first, name.second)) == slot);
    }
    std::set<std::string> seen;
    table.for_each([&](Device& device) {
      seen.insert(std::to_string(static_cast<int>(device.key.ns)) + std::string(device.key.id()));
    });
    CHECK(seen.size() == model.size());
    CHECK(budget.used_bytes() >= model.size() * sizeof(Device));
  }
  CHECK(budget.used_bytes() == 0);
}

TEST_CASE("a device stays where it is while the table grows") {
  flow::Budget budget(0);
  DeviceTable table(budget);
  Device& first = table.at(table.find_or_add(DeviceKey(Namespace::phone, "1")));
  first.frames = 42;
  for (int i = 2; i < 10'000; ++i) {
    table.find_or_add(DeviceKey(Namespace::phone, std::to_string(i)));
  }
  CHECK(&table.at(table.find(DeviceKey(Namespace::phone, "1"))) == &first);
  CHECK(first.frames == 42);
}

TEST_CASE("devices of one home shard spread over the table") {
  // The home took the hash modulo the shards: what is left must still tell devices apart.
  for (const unsigned shards : {1U, 2U, 64U}) {
    std::map<std::uint32_t, std::uint32_t> per_tag_low;
    std::uint32_t count = 0;
    for (std::uint64_t i = 0; count < 4'096; ++i) {
      const DeviceKey key(Namespace::phone, std::to_string(13'900'000'000 + i));
      if (home_shard(key, shards) != 0) continue;
      ++count;
      const auto tag = static_cast<std::uint32_t>(hash(key) >> 32);
      ++per_tag_low[static_cast<std::uint32_t>((tag * 0x9e3779b97f4a7c15ULL) >> 32) & 8'191];
    }
    std::uint32_t most = 0;
    for (const auto& [place, times] : per_tag_low) most = std::max(most, times);
    CHECK(per_tag_low.size() > 3'000);  // 4,096 balls into 8,192 places: 3,224 on average
    CHECK(most < 10);
  }
}

TEST_CASE("a retransmission is one among the last 16 frames, also with fingerprint 0") {
  std::mt19937_64 random(5);
  for (std::uint32_t range : {2U, 15U, 16U, 17U, 24U, 1'000U}) {
    Device device;
    std::deque<std::uint32_t> window;
    for (int i = 0; i < 20'000; ++i) {
      // 0 stands for an unused place inside, so it may only be told from others, not from 1.
      auto fingerprint = static_cast<std::uint32_t>(random() % range);
      if (fingerprint == 1) fingerprint = 0xffff'ffff;
      const bool known = std::find(window.begin(), window.end(), fingerprint) != window.end();
      REQUIRE(device.heard_before(fingerprint) == known);
      if (known) continue;
      window.push_back(fingerprint);
      if (window.size() > limits::recent_frames) window.pop_front();
    }
  }
}

TEST_CASE("the first frame of a device is none that it has sent before") {
  Device device;
  CHECK(!device.heard_before(0));
  CHECK(device.heard_before(0));
}

TEST_CASE("a device's last state starts as zeros and keeps what is written") {
  struct State {
    std::uint64_t a;
    std::uint32_t b;
  };
  Device device;
  CHECK(device.last_state<State>().a == 0);
  device.last_state<State>() = {7, 8};
  CHECK(device.last_state<State>().b == 8);
}

}  // namespace
