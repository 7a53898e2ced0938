#include "engine/device/device_table.hpp"

namespace ringgate::device {

DeviceTable::DeviceTable(flow::Budget& budget) : budget_(&budget), index_(1024) {
  budget_->charge(index_.size() * sizeof(Entry));
}

DeviceTable::~DeviceTable() {
  budget_->release(memory_bytes());
}

void DeviceTable::charge_to(flow::Budget& budget) {
  budget_->release(memory_bytes());
  budget_ = &budget;
  budget_->charge(memory_bytes());
}

// Where a tag's probe begins. Made of the tag alone, so that growing needs no key. The tag is the
// hash's upper half; the home shard came from the lower bits.
std::uint32_t DeviceTable::first_place(std::uint32_t tag) const {
  return static_cast<std::uint32_t>((tag * 0x9e3779b97f4a7c15ULL) >> 32) &
         static_cast<std::uint32_t>(index_.size() - 1);
}

// The index place that holds `key`, or the empty one where it would go.
std::uint32_t DeviceTable::probe(const DeviceKey& key, std::uint64_t hash_value) const {
  const auto mask = static_cast<std::uint32_t>(index_.size() - 1);
  const auto tag = static_cast<std::uint32_t>(hash_value >> 32);
  for (std::uint32_t at = first_place(tag);; at = (at + 1) & mask) {
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
    budget_->charge(devices_per_chunk * sizeof(Device));
  }
  const DeviceSlot slot = size_++;
  at(slot).key = key;
  index_[place] = {static_cast<std::uint32_t>(hash_value >> 32), slot + 1};
  return slot;
}

// Touches the index only, in order: doubling it for a million devices takes some 10 ms.
void DeviceTable::grow() {
  std::vector<Entry> old(index_.size() * 2);
  budget_->charge(index_.size() * sizeof(Entry));
  old.swap(index_);
  const auto mask = static_cast<std::uint32_t>(index_.size() - 1);
  for (const Entry& entry : old) {
    if (entry.slot_plus_1 == 0) continue;
    std::uint32_t at = first_place(entry.tag);
    while (index_[at].slot_plus_1 != 0) at = (at + 1) & mask;
    index_[at] = entry;
  }
}

}  // namespace ringgate::device
