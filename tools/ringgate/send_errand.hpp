// A command on its way to its device's shard and back with the outcome: what the control socket and
// the fabric send.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "engine/base/json_writer.hpp"
#include "engine/shard/errand.hpp"
#include "storage/event/device_gate.hpp"

namespace ringgate::server {

using Command = std::shared_ptr<const event::PreparedCommand>;

// Goes to the device's shard, stays there until the gate tells the outcome, and brings it home.
// Leaves an audit record of who did what.
class SendErrand final : public shard::Errand {
 public:
  // Null: the shard has stopped.
  using Home = std::function<void(const DeviceKey&, const event::CommandOutcome*)>;
  SendErrand(const DeviceKey& device, Command command, MonoNs wait_ns, std::string action,
             std::string who, Home home)
      : device_(device), command_(std::move(command)), wait_ns_(wait_ns),
        action_(std::move(action)), who_(std::move(who)), home_(std::move(home)) {}

  void run(shard::ErrandHost& host, shard::ErrandTicket ticket) override;
  void home(bool ran) override { home_(device_, ran ? &outcome_ : nullptr); }

 private:
  class Waiter;

  DeviceKey device_;
  Command command_;
  MonoNs wait_ns_;
  std::string action_;
  std::string who_;
  Home home_;
  event::CommandOutcome outcome_;
};

// Adds the keys of an outcome to the open object: "status", "detail", ..., "answer". Null: the
// gateway is stopping.
void json_outcome(const event::CommandOutcome* outcome, JsonWriter& json);

}  // namespace ringgate::server
