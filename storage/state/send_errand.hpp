// A command on its way to its device's shard and back with the outcome: what the control socket,
// the API and the fabric send.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "engine/base/json_writer.hpp"
#include "engine/shard/errand.hpp"
#include "storage/event/catalog.hpp"
#include "storage/event/device_gate.hpp"
#include "storage/state/shard_host.hpp"

namespace ringgate::state {

// A command, and how it is to reach its device.
struct Command {
  std::shared_ptr<const event::PreparedCommand> prepared;
  std::string action;  // for audit records: "send text-message"
  std::string by;      // who
  MonoNs wait_ns = 0;
  // Where it is kept until its device comes online: what `prepared` was made from, and until when.
  // Null: it is sent now or not at all.
  std::shared_ptr<const std::string> json;
  WallUs expires_us = 0;
};

// The members "deliver" ("now", "when_online") and "expires" ("24h", or seconds) of a request.
struct DeliveryTerms {
  bool when_online = false;
  MonoNs expires_ns = 0;  // from now
};
// Error: what is wrong with them.
Result<DeliveryTerms> read_delivery(const nlohmann::json& request);
// Keeps `command`, made from `json`, until its device comes online. Error: it is too long to wait.
Result<void> keep(Command& command, std::string json, const DeliveryTerms& terms);

// Goes to the device's shard, stays there until the gate tells the outcome, and brings it home.
// Leaves an audit record of who did what.
class SendErrand final : public shard::Errand {
 public:
  // Null: the shard has stopped.
  using Home = std::function<void(const DeviceKey&, const event::CommandOutcome*)>;
  SendErrand(const DeviceKey& device, Command command, Home home)
      : device_(device), command_(std::move(command)), home_(std::move(home)) {}

  void run(shard::ErrandHost& host, shard::ErrandTicket ticket) override;
  void home(bool ran) override { home_(device_, ran ? &outcome_ : nullptr); }

 private:
  class Waiter;

  DeviceKey device_;
  Command command_;
  Home home_;
  event::CommandOutcome outcome_;
};

// Adds the keys of an outcome to the open object: "status", "detail", ..., "answer", decoded by the
// catalog of the device's protocol. Null: the gateway is stopping.
void json_outcome(const event::CommandOutcome* outcome, const event::MessageCatalog& catalog,
                  JsonWriter& json);
// A waiting command as people see it; `id_key`: DeviceProtocol::id_key().
std::string pending_row(std::string_view id_key, const Pending::Listed& one);
// Ends one, with an audit record; on its shard. Done when what was appended is durable.
Pending::Cancelled cancel_pending(ShardHost& host, const DeviceKey& device, std::uint64_t id,
                                  const event::Act& act);
// Adds a time in UTC: "2026-11-21T05:00:00.000Z".
void json_time(std::string_view key, WallUs time, JsonWriter& json);

}  // namespace ringgate::state
