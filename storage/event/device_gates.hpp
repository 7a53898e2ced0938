// The gates of one shard, by namespace: what errands of control planes find on their shard.
#pragma once

#include <vector>

#include "engine/shard/errand.hpp"
#include "storage/event/device_gate.hpp"

namespace ringgate::event {

class DeviceGates : public shard::ErrandHost {
 public:
  // Every ErrandRoom of the process is given one of these, or of what derives from it.
  static DeviceGates& of(shard::ErrandHost& host) { return static_cast<DeviceGates&>(host); }

  void add(DeviceGate& gate) { gates_.push_back(&gate); }
  // Null: no protocol of this namespace has a gate.
  DeviceGate* find(Namespace ns) const {
    for (DeviceGate* gate : gates_) {
      if (gate->ns() == ns) return gate;
    }
    return nullptr;
  }
  const std::vector<DeviceGate*>& all() const { return gates_; }

 private:
  std::vector<DeviceGate*> gates_;
};

}  // namespace ringgate::event
