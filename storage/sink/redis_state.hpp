// What a batch of records changes of the devices' last states, and which events it holds: the rows
// of many records of one device become one update. Knows nothing of connections. One owner.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "storage/sink/target.hpp"

namespace ringgate::sink {

// Kinds of events that go to the stream.
struct RedisEvents {
  bool alarms = true;
  bool sessions = true;
  bool media = true;
  bool positions = false;
};

// One device's update: as fields of its hash.
struct DeviceUpdate {
  using Fields = std::vector<std::pair<std::string_view, std::string>>;

  std::string protocol;
  std::string device;
  WallUs received_us = 0;  // of the newest record; 0: only the session changed
  Fields state;
  WallUs session_us = 0;  // of the newest session record; 0: none
  bool offline = false;   // the session ended: only true where this node had it
  Fields session;
  bool placed = false;  // there is a place for the geo index
  double latitude_deg = 0;
  double longitude_deg = 0;
};

struct RedisEvent {
  std::vector<std::pair<std::string_view, std::string>> fields;
};

class RedisState {
 public:
  explicit RedisState(const RedisEvents& events) : events_(events) {}

  // Forgets the last batch and takes this one in.
  void collect(const Batch& batch);
  const std::vector<DeviceUpdate>& updates() const { return updates_; }
  const std::vector<RedisEvent>& events() const { return found_; }

 private:
  class Rows;
  DeviceUpdate& update_of(const Item& item);
  void take(const Batch& batch, const Item& item);

  // Alarms of a device's last position: what is repeated is no new event. Devices without alarms
  // are not in it. More than this many are forgotten at once, and told again.
  static constexpr std::size_t alarmed_devices_max = 1U << 20;

  RedisEvents events_;
  std::vector<DeviceUpdate> updates_;
  std::unordered_map<std::string, std::size_t> index_;  // protocol and device: in updates_
  std::vector<RedisEvent> found_;
  std::unordered_map<std::string, std::unordered_set<std::string>> alarmed_;
};

}  // namespace ringgate::sink
