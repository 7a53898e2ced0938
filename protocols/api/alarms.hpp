// Alarms from their first message to their last: devices repeat an alarm in every message while it
// lasts, or say where it starts and ends. One thread; pure.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "engine/base/clock.hpp"
#include "storage/event/rows.hpp"

namespace ringgate::api {

// Alarms that go on at a time, of all devices that are asked about: 0.8 MiB. Of more the oldest is
// told as if nothing more were known of it.
constexpr std::size_t alarms_open_max = 4096;

struct Alarm {
  std::string device;
  std::string type;
  std::string source;
  std::uint32_t alarm_id = 0;
  std::uint8_t level = 0;
  WallUs start_us = 0;  // 0: it began before
  WallUs last_us = 0;   // of the last message that has it
  WallUs end_us = 0;    // 0: it goes on, as far as is known
  std::uint64_t messages = 0;
  double latitude_deg = event::no_value;  // where it began
  double longitude_deg = event::no_value;
  double speed_kmh = event::no_value;
  std::string record_id;  // of its first message
};

class AlarmJoiner {
 public:
  using Tell = std::function<void(const Alarm&)>;
  // `tell` hears of each alarm that has ended, and from end() of those that go on.
  explicit AlarmJoiner(Tell tell) : tell_(std::move(tell)) {}

  // The rows of one record, in the order of the log.
  struct Position {
    WallUs time_us = 0;
    bool late = false;
  };
  struct Message {
    std::string_view device;
    std::string_view record_id;
    WallUs received_us = 0;
    std::vector<Position> positions;
    std::vector<Alarm> alarms;             // of its rows; times in start_us
    std::vector<std::string> phases;  // of each alarm; "": not said
  };
  void add(const Message& message);
  void end();

 private:
  // What was sent late from a blind area is a row of events of its own.
  using Key = std::tuple<std::string, bool, std::string, std::string, std::uint32_t>;
  struct Open {
    Alarm alarm;
    bool lasting = false;  // its end is a position without it
  };
  void seen(const Message& message, std::size_t index, bool late);
  void close_others(const Message& message, const Position& position);
  void make_room();

  Tell tell_;
  std::map<Key, Open> open_;
};

}  // namespace ringgate::api
