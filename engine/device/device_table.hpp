// The devices whose home is this shard: who they are, which link speaks for them, the opaque last
// state that their protocol keeps, and the frames last heard of them. A device stays known after
// its link has gone, and over a restart (storage/state).
//
// Built by the start (any thread) or with the shard, then lives on one shard and is used only
// there.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <type_traits>
#include <vector>

#include "engine/base/ids.hpp"
#include "engine/base/limits.hpp"
#include "engine/flow/budget.hpp"

namespace ringgate::device {

using DeviceSlot = std::uint32_t;
constexpr DeviceSlot no_device = ~DeviceSlot{0};

struct Device {
  static constexpr std::size_t last_state_bytes = 64;

  DeviceKey key;
  LinkId link;                       // invalid: offline
  std::uint64_t frames = 0;          // logged
  std::uint64_t last_heard_us = 0;   // wall clock
  std::uint64_t online_since_us = 0; // wall clock; of the present link or the last
  std::uint8_t recent_at = 0;        // oldest of `recent`
  bool has_commands = false;         // the protocol waits for answers of this device

  // Written and read by the protocol; trivially copyable.
  template <class State>
  State& last_state() {
    static_assert(std::is_trivially_copyable_v<State> && sizeof(State) <= last_state_bytes);
    return *reinterpret_cast<State*>(last_state_storage);
  }
  alignas(8) std::uint8_t last_state_storage[last_state_bytes] = {};

  // Notes a frame by its fingerprint; true if it was among the last limits::recent_frames. A frame
  // that is heard again does not push others out.
  bool heard_before(std::uint32_t fingerprint) {
    fingerprint += static_cast<std::uint32_t>(fingerprint == 0);  // 0 is an unused place
    std::uint32_t hits = 0;
    for (const std::uint32_t other : recent)
      hits |= static_cast<std::uint32_t>(other == fingerprint);
    if (hits != 0) return true;
    recent[recent_at] = fingerprint;
    recent_at = static_cast<std::uint8_t>((recent_at + 1) % limits::recent_frames);
    return false;
  }
  // The fingerprints that are kept, the oldest first: heard_before of each in this order makes the
  // same list.
  template <class Visit>
  void for_each_recent(Visit&& visit) const {
    for (std::size_t i = 0; i < recent.size(); ++i) {
      const std::uint32_t fingerprint = recent[(recent_at + i) % recent.size()];
      if (fingerprint != 0) visit(fingerprint);
    }
  }
  std::array<std::uint32_t, limits::recent_frames> recent{};
};
static_assert(sizeof(Device) <= 256);

class DeviceTable {
 public:
  // `budget` is charged for what the table allocates.
  explicit DeviceTable(flow::Budget& budget);
  ~DeviceTable();
  DeviceTable(const DeviceTable&) = delete;
  DeviceTable& operator=(const DeviceTable&) = delete;
  // From now on this one is charged.
  void charge_to(flow::Budget& budget);

  // no_device if it is not known.
  DeviceSlot find(const DeviceKey& key) const;
  // Finds or adds; no_device when limits::devices_per_shard_max are known.
  DeviceSlot find_or_add(const DeviceKey& key);
  Device& at(DeviceSlot slot) {
    return chunks_[slot / devices_per_chunk][slot % devices_per_chunk];
  }
  std::uint32_t size() const { return size_; }
  // Whoever changes a device says so: what has not changed need not be written to disk again.
  void note_change() { ++changes_; }
  std::uint64_t changes() const { return changes_; }
  std::uint64_t memory_bytes() const {
    return index_.size() * sizeof(Entry) + chunks_.size() * devices_per_chunk * sizeof(Device);
  }

  template <class Visit>
  void for_each(Visit&& visit) {
    for (DeviceSlot slot = 0; slot < size_; ++slot) visit(at(slot));
  }

 private:
  static constexpr std::uint32_t devices_per_chunk = 256;
  std::uint32_t first_place(std::uint32_t tag) const;
  std::uint32_t probe(const DeviceKey& key, std::uint64_t hash_value) const;
  void grow();

  // Open addressing, linear probing, at most half full. An entry is the upper half of the hash and
  // the slot + 1, so that a probe rarely touches a Device.
  struct Entry {
    std::uint32_t tag = 0;
    std::uint32_t slot_plus_1 = 0;
  };
  flow::Budget* budget_;
  std::vector<Entry> index_;
  std::vector<std::unique_ptr<Device[]>> chunks_;
  std::uint32_t size_ = 0;
  std::uint64_t changes_ = 0;
};

}  // namespace ringgate::device
