// Names of things that live on shards. All are small values, free to copy to any thread.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include "engine/base/check.hpp"

namespace ringgate {

using ShardIndex = std::uint16_t;

// A place in one stream of the log, in logical bytes; 0 is before everything. Positions of one
// stream only grow and are never used twice.
using Position = std::uint64_t;

// A link (TCP connection, UDP address, WebSocket, ...). The generation tells it from an earlier
// user of the same slot. Packs into 8 bytes.
struct LinkId {
  std::uint32_t slot = 0;
  std::uint16_t generation = 0;
  ShardIndex shard = 0;

  friend bool operator==(const LinkId&, const LinkId&) = default;
  std::uint64_t packed() const {
    return std::uint64_t{shard} << 48 | std::uint64_t{generation} << 32 | slot;
  }
  static LinkId unpack(std::uint64_t packed) {
    return {static_cast<std::uint32_t>(packed), static_cast<std::uint16_t>(packed >> 32),
            static_cast<ShardIndex>(packed >> 48)};
  }
  bool valid() const { return generation != 0; }  // generations start at 1
};
static_assert(sizeof(LinkId) == 8);

// Where device ids of one kind live: two protocols that name the same devices share one.
enum class Namespace : std::uint8_t {
  none = 0,
  phone = 1,  // JT/T 808 terminal phone number: digits without leading zeros
  json = 2,   // protocols/jsonl: the `id` as sent
};

// Canonical id of a device. Longest known: UUIDs (36).
struct DeviceKey {
  static constexpr std::size_t text_size_max = 38;

  Namespace ns = Namespace::none;
  std::uint8_t size = 0;
  char text[text_size_max] = {};

  DeviceKey() = default;
  // `id` must fit; check with fits() where it comes from the wire.
  DeviceKey(Namespace space, std::string_view id) : ns(space) {
    RG_CHECK(fits(id));
    size = static_cast<std::uint8_t>(id.size());
    std::memcpy(text, id.data(), id.size());
  }
  static bool fits(std::string_view id) { return !id.empty() && id.size() <= text_size_max; }

  std::string_view id() const { return {text, size}; }
  friend bool operator==(const DeviceKey& a, const DeviceKey& b) {
    return a.ns == b.ns && a.size == b.size && std::memcmp(a.text, b.text, a.size) == 0;
  }
};
static_assert(sizeof(DeviceKey) == 40);

// Stable across runs and shard counts of one version; decides a device's home shard.
std::uint64_t hash(const DeviceKey& key);

inline ShardIndex home_shard(const DeviceKey& key, unsigned shards) {
  return static_cast<ShardIndex>(hash(key) % shards);
}

}  // namespace ringgate
