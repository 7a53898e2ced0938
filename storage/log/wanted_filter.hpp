// Whether single records are wanted. A plain value; any thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "storage/log/device_hash.hpp"
#include "storage/log/segment_records.hpp"

namespace ringgate::log {

class WantedFilter {
 public:
  explicit WantedFilter(const Wanted& wanted) : wanted_(wanted) {
    devices_.reserve(wanted.devices.size());
    for (const DeviceKey& device : wanted.devices) {
      devices_.emplace_back(device_hash(static_cast<std::uint8_t>(device.ns), device.id()), device);
    }
    std::sort(devices_.begin(), devices_.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    wanted_.devices = {};  // the caller's may go
  }

  bool takes(const Record& record) const {
    const RecordHeader& header = record.header;
    if (header.received_us < wanted_.received_from_us ||
        header.received_us >= wanted_.received_to_us || header.position < wanted_.from ||
        header.position >= wanted_.to || record.is_own()) {
      return false;
    }
    return devices_.empty() || takes_device(header.ns, record.device);
  }
  bool takes_device(std::uint8_t ns, std::string_view id) const {
    const std::uint64_t hash = device_hash(ns, id);
    auto at = std::lower_bound(devices_.begin(), devices_.end(), hash,
                               [](const auto& entry, std::uint64_t h) { return entry.first < h; });
    for (; at != devices_.end() && at->first == hash; ++at) {
      if (static_cast<std::uint8_t>(at->second.ns) == ns && at->second.id() == id) return true;
    }
    return false;
  }
  // Sorted by hash. Empty: all devices.
  const std::vector<std::pair<std::uint64_t, DeviceKey>>& devices() const { return devices_; }
  const Wanted& wanted() const { return wanted_; }
  WallUs received_to_us() const { return wanted_.received_to_us; }
  bool any_device_time() const {
    return wanted_.device_from_us == no_time_before && wanted_.device_to_us == no_time_after;
  }
  // Whether something whose device times lie in [first, last] may be wanted; first > last: it has
  // none.
  bool takes_device_times(WallUs first_us, WallUs last_us) const {
    if (any_device_time()) return true;
    return first_us <= last_us && last_us >= wanted_.device_from_us &&
           first_us < wanted_.device_to_us;
  }

 private:
  Wanted wanted_;
  std::vector<std::pair<std::uint64_t, DeviceKey>> devices_;
};

}  // namespace ringgate::log
