// What a batch of records changes of the devices' last states, and which events it holds: the rows
// of many records of one device become one update. Knows nothing of connections. One owner.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
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

// One device's update. What no record of the batch has said is not there and changes nothing.
struct DeviceUpdate {
  std::string protocol;
  std::string device;
  WallUs received_us = 0;  // of the newest record; 0: only the session changed

  bool has_position = false;  // `newest` and `alarms` are of the newest one that is not late
  event::PositionRow newest;
  std::string alarms;  // names, separated by commas
  bool has_place = false;  // `place` is the newest one with a fix
  event::PositionRow place;
  bool has_description = false;  // its texts may be empty: not said
  std::string plate, terminal_id, maker, model, version;
  std::uint8_t plate_colour = 0;

  WallUs session_us = 0;  // of the newest session record; 0: none
  bool offline = false;   // the session ended: only true where this node had it
  std::string session;    // for people
};

// Visits the fields of a hash as (name, number, decimals) or (name, text): those that are known.
template <class Numbers, class Texts>
void for_each_field(const DeviceUpdate& update, Numbers&& number, Texts&& text) {
  if (update.has_position) {
    const event::PositionRow& row = update.newest;
    number("time_us", static_cast<double>(row.device_time_us), 0);
    number("fixed", row.fixed ? 1 : 0, 0);
    number("alarm_bits", row.alarm_bits, 0);
    number("status_bits", row.status_bits, 0);
    text("alarms", update.alarms);
    if (!std::isnan(row.speed_kmh)) number("speed_kmh", row.speed_kmh, 1);
    if (!std::isnan(row.odometer_km)) number("odometer_km", row.odometer_km, 1);
  }
  if (update.has_place) {
    const event::PositionRow& row = update.place;
    number("latitude", row.latitude_deg, 6);
    number("longitude", row.longitude_deg, 6);
    if (!std::isnan(row.altitude_m)) number("altitude_m", row.altitude_m, 0);
    if (!std::isnan(row.heading_deg)) number("heading_deg", row.heading_deg, 0);
  }
  if (!update.has_description) return;
  const std::pair<std::string_view, const std::string*> texts[] = {
      {"plate", &update.plate}, {"terminal_id", &update.terminal_id}, {"maker", &update.maker},
      {"model", &update.model}, {"version", &update.version}};
  for (const auto& [name, value] : texts) {
    if (!value->empty()) text(name, *value);
  }
  if (update.plate_colour != 0) number("plate_colour", update.plate_colour, 0);
}

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
  const std::string& key_of(std::string_view protocol, std::string_view device);
  void take(const Batch& batch, const Item& item);

  // Alarms of a device's last position: what is repeated is no new event. Devices without alarms
  // are not in it. More than this many are forgotten at once, and told again.
  static constexpr std::size_t alarmed_devices_max = 1U << 20;

  RedisEvents events_;
  std::string key_;
  std::vector<DeviceUpdate> updates_;
  std::unordered_map<std::string, std::size_t> index_;  // protocol and device: in updates_
  std::vector<RedisEvent> found_;
  std::unordered_map<std::string, std::unordered_set<std::string>> alarmed_;
};

}  // namespace ringgate::sink
