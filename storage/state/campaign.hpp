// One command to many devices: finds those that a filter names, sends to a bounded number of them
// at a time, and tells each outcome. What the control socket and the API send with.
//
// Lives on one control thread, used only there. Errands hold it weakly: outcomes that come home
// after its end are told to nobody, and are in the log.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "engine/shard/errand.hpp"
#include "storage/event/device_filter.hpp"
#include "storage/event/device_gate.hpp"
#include "storage/state/send_errand.hpp"

namespace ringgate::state {

class Campaign : public std::enable_shared_from_this<Campaign> {
 public:
  struct Parts {
    shard::ErrandPost& post;
    const event::DeviceProtocol& devices;
    Command command;
    std::uint32_t parallel = 50;     // devices at a time
    std::size_t devices_max = 0;     // more is too many
  };
  // Null: the gateway is stopping.
  using Told = std::function<void(const DeviceKey& device, const event::CommandOutcome* outcome)>;
  // Something came home: pump() has something to do.
  using Wake = std::function<void()>;
  Campaign(Parts parts, Told told, Wake wake)
      : parts_(std::move(parts)), told_(std::move(told)), wake_(std::move(wake)) {}

  // Once, one of them.
  void to(std::vector<DeviceKey> devices) { targets_ = std::move(devices); }
  void to_all(event::DeviceFilter filter);

  enum class State : std::uint8_t {
    going,     // something is under way: Wake follows
    busy,      // the gateway is busy: again in some milliseconds
    done,      // all outcomes are told
    too_many,  // the filter names more than devices_max
    stopped,   // the gateway is stopping
  };
  // Does what can be done now. `room`: whether another outcome may be asked for.
  State pump(const std::function<bool()>& room = [] { return true; });
  // Nothing more is sent; what was sent comes home.
  void cancel();

  bool gathering() const { return gathering_; }
  bool cancelled() const { return cancelled_; }
  const std::vector<DeviceKey>& targets() const { return targets_; }
  std::size_t done() const { return done_; }
  std::uint32_t outstanding() const { return outstanding_; }
  const Command& command() const { return parts_.command; }
  // Adds how many there were of each status: {"answered": 3, "stopping": 1}.
  void by_status_json(JsonWriter& json) const;

 private:
  std::optional<State> gather();
  void take(const std::vector<std::string>& rows, std::uint32_t cursor);
  std::optional<State> send_next();
  void came_home(const DeviceKey& device, const event::CommandOutcome* outcome);

  Parts parts_;
  Told told_;
  Wake wake_;
  std::optional<event::DeviceFilter> filter_;
  bool gathering_ = false;
  bool asked_ = false;
  bool stopped_ = false;
  bool too_many_ = false;
  bool cancelled_ = false;
  ShardIndex shard_ = 0;
  std::uint32_t cursor_ = 0;
  std::vector<DeviceKey> targets_;
  std::size_t next_ = 0;
  std::uint32_t outstanding_ = 0;
  std::size_t done_ = 0;
  std::size_t stopping_ = 0;
  std::array<std::size_t, static_cast<std::size_t>(event::CommandStatus::count)> by_status_{};
};

}  // namespace ringgate::state
