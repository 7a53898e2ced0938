// Commands that were sent through the API, and what became of them: under ids that nobody guesses,
// for a while, in memory only. A restart forgets them; the log has intent and outcome of each.
//
// Plane thread only.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/base/clock.hpp"
#include "engine/base/ids.hpp"
#include "storage/event/device_gate.hpp"

namespace ringgate::state {
class Campaign;
}

namespace ringgate::api {

namespace command_limits {
// What is kept: an hour is longer than any script waits between its requests.
constexpr MonoNs kept_ns = 3600 * ns_per_s;
constexpr std::size_t entries_max = 16'384;
constexpr std::size_t bytes_max = 128U << 20;
// Of one device each, under way: half of the errands that a control thread may have out
// (limits::errands_max), so that the rest is left for questions.
constexpr std::size_t single_max = 2048;
// To many devices, at a time; each has at most `parallel_max` under way.
constexpr std::size_t many_max = 4;
constexpr std::uint64_t parallel_max = 256;
constexpr std::size_t devices_max = 100'000;
// Outcomes of many devices with all they say; beyond, only their status is kept.
constexpr std::size_t whole_outcomes_bytes = 32U << 20;
// How long an answer is waited for: JT/T 808's three transmissions take 90 s.
constexpr MonoNs patience = 120 * ns_per_s;
// Idempotency-Key: a UUID has 36.
constexpr std::size_t key_bytes_max = 200;
}  // namespace command_limits

// One command to one device or to many.
struct CommandEntry {
  std::string id;       // 128 random bits in hex
  std::string message;  // as it was asked for
  std::string by;
  WallUs submitted_us = 0;
  WallUs ended_us = 0;  // 0: it is under way
  std::vector<std::function<void()>> waiting;  // told once, when it ends

  // To one device.
  DeviceKey device;
  event::CommandStatus status = event::CommandStatus::answered;
  bool stopping = false;     // the gateway ended before there was an outcome
  std::string outcome;       // members of a JSON object; empty: none yet
  std::uint64_t pending = 0;  // status pending: its number

  // To many.
  std::shared_ptr<state::Campaign> many;
  std::vector<std::string> outcomes;  // JSON objects, as they came home
  std::size_t outcomes_bytes = 0;
  std::string error;                  // it could not go on

  bool ended() const { return ended_us != 0; }
};

class CommandStore {
 public:
  CommandStore() = default;
  CommandStore(const CommandStore&) = delete;
  CommandStore& operator=(const CommandStore&) = delete;

  // Null: too many are under way. Valid until it has ended and is forgotten.
  CommandEntry* add(bool many, MonoNs now);
  // As if it had never been.
  void drop(std::string_view id);
  CommandEntry* find(std::string_view id);
  // It has ended: whoever waits is told, and it is forgotten after a while.
  void end(CommandEntry& entry, WallUs wall_now, MonoNs now);

  // What the key of a repeated request stands for. `scope`: who asks, and for what.
  struct Repeat {
    std::string id;
    std::uint64_t body_hash = 0;
  };
  const Repeat* find_repeat(const std::string& scope) const;
  // Forgotten with its command.
  void note_repeat(std::string scope, const CommandEntry& entry, std::uint64_t body_hash);

  void forget_old(MonoNs now);
  std::size_t size() const { return entries_.size(); }
  std::size_t under_way() const { return single_ + many_; }
  // Drops what waits, so that nothing is told any more.
  void clear();

 private:
  struct Kept {
    std::unique_ptr<CommandEntry> entry;
    std::string scope;  // of its key; empty: none
    bool many = false;
    std::size_t bytes = 0;
  };
  struct Old {
    MonoNs until = 0;
    std::string id;
  };
  void forget(const std::string& id);

  std::unordered_map<std::string, Kept> entries_;
  std::unordered_map<std::string, Repeat> repeats_;  // by scope
  std::deque<Old> old_;  // that have ended, the first to go first
  std::size_t single_ = 0;  // under way
  std::size_t many_ = 0;
  std::size_t bytes_ = 0;  // of those that have ended
};

}  // namespace ringgate::api
