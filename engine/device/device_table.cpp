#include "engine/device/device_table.hpp"

namespace ringgate::device {

DeviceTable::DeviceTable(flow::Budget& budget) : budget_(budget), index_(1024) {
  budget_.charge(index_.size() * sizeof(Entry));
}

DeviceTable::~DeviceTable() {
  budget_.release(index_.size() * sizeof(Entry) +
                  chunks_.size() * devices_per_chunk * sizeof(Device));
}

// The index place that holds `key`, or the empty one where it would go.
std::uint32_t DeviceTable::probe(const DeviceKey& key, std::uint64_t hash_value) const {
  const auto mask = static_cast<std::uint32_t>(index_.size() - 1);
  const auto tag = static_cast<std::uint32_t>(hash_value >> 32);
  // The home shard took the hash modulo the shards: mix before using low bits again.
  auto at = static_cast<std::uint32_t>((hash_value * 0x9e3779b97f4a7c15ULL) >> 32) & mask;
  for (;; at = (at + 1) & mask) {
    const Entry& entry = index_[at];
    if (entry.slot_plus_1 == 0) return at;
    if (entry.tag != tag) continue;
    const DeviceSlot slot = entry.slot_plus_1 - 1;
    if (chunks_[slot / devices_per_chunk][slot % devices_per_chunk].key == key) return at;
  }
}

DeviceSlot DeviceTable::find(const DeviceKey& key) const {
  return index_[probe(key, hash(key))].slot_plus_1 - 1;  // 0 - 1 is no_device
}

DeviceSlot DeviceTable::find_or_add(const DeviceKey& key) {
  const std::uint64_t hash_value = hash(key);
  std::uint32_t place = probe(key, hash_value);
  if (index_[place].slot_plus_1 != 0) return index_[place].slot_plus_1 - 1;
  if (size_ >= limits::devices_per_shard_max) return no_device;
  if ((size_ + 1) * 2 > index_.size()) {
    grow();
    place = probe(key, hash_value);
  }
  if (size_ == chunks_.size() * devices_per_chunk) {
    chunks_.push_back(std::make_unique<Device[]>(devices_per_chunk));
    budget_.charge(devices_per_chunk * sizeof(Device));
  }
  const DeviceSlot slot = size_++;
  at(slot).key = key;
  index_[place] = {static_cast<std::uint32_t>(hash_value >> 32), slot + 1};
  return slot;
}

void DeviceTable::grow() {
  std::vector<Entry> old(index_.size() * 2);
  budget_.charge(index_.size() * sizeof(Entry));
  old.swap(index_);
  for (const Entry& entry : old) {
    if (entry.slot_plus_1 == 0) continue;
    const DeviceKey& key = at(entry.slot_plus_1 - 1).key;
    index_[probe(key, hash(key))] = entry;
  }
}

}  // namespace ringgate::device
