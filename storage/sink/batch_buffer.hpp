// Where a batch gathers: copies of records, in buffers that are used again. The worker's thread
// alone.
#pragma once

#include <cstring>
#include <vector>

#include "storage/query/scan.hpp"
#include "storage/sink/target.hpp"

namespace ringgate::sink {

class BatchBuffer {
 public:
  bool empty() const { return items_.empty(); }
  std::size_t records() const { return items_.size(); }
  std::uint64_t bytes() const { return bytes_.size(); }

  void clear() {
    items_.clear();
    places_.clear();
    bytes_.clear();
  }

  void add(const query::Found& found, const event::MessageCatalog* catalog) {
    const log::Record& record = found.record;
    places_.push_back(bytes_.size());
    bytes_.insert(bytes_.end(), record.device.begin(), record.device.end());
    bytes_.insert(bytes_.end(), record.payload.begin(), record.payload.end());
    items_.push_back({found.stream, record.header.position, record.view(), catalog});
  }

  // Points the views at the copies; before each use after an add().
  const std::vector<Item>& items() {
    for (std::size_t i = 0; i < items_.size(); ++i) {
      event::RecordView& view = items_[i].view;
      const std::uint8_t* at = bytes_.data() + places_[i];
      view.device = {reinterpret_cast<const char*>(at), view.device.size()};
      view.payload = {at + view.device.size(), view.payload.size()};
    }
    return items_;
  }

  void remove(std::size_t index) {
    items_.erase(items_.begin() + static_cast<std::ptrdiff_t>(index));
    places_.erase(places_.begin() + static_cast<std::ptrdiff_t>(index));
  }

  WallUs oldest_us() const {
    WallUs oldest = items_.front().view.received_us;
    for (const Item& item : items_) oldest = std::min(oldest, item.view.received_us);
    return oldest;
  }

 private:
  std::vector<Item> items_;
  std::vector<std::size_t> places_;  // of each item's bytes
  std::vector<std::uint8_t> bytes_;
};

}  // namespace ringgate::sink
