// What one shard must remember of the devices at home there beyond a restart, and the log does not
// tell cheaply: registrations, bans, key generations, pending commands. Each change is a state
// record first (Kind::state, the device's namespace) and takes effect when it was appended; whoever
// answers for it waits until it is committed. Reading the records back (records.hpp) makes the same
// state again.
//
// Lives on one shard, used only there; built before the protocols. Sized by registered devices, not
// by links: charged to the shard's budget.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/base/ids.hpp"
#include "engine/flow/budget.hpp"
#include "storage/log/writer.hpp"
#include "storage/state/table.hpp"
#include "storage/state/values.hpp"

namespace ringgate::state {

class Store {
 public:
  Store(log::Writer& log, flow::Budget& budget);
  // Goes on with what a start has found.
  Store(log::Writer& log, flow::Budget& budget, std::unique_ptr<Table> table);
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Each returns the position to wait for, or 0 where the log takes nothing now or the store is
  // full (is_full tells); then nothing has changed. Texts are cut to their bounds (limits.hpp).
  Position put_registration(const DeviceKey& device, const RegistrationView& registration);
  Position remove_registration(const DeviceKey& device);
  Position ban(const DeviceKey& device, Ban ban, WallUs now_us);
  Position unban(const DeviceKey& device);
  Position set_generation(const DeviceKey& device, std::uint32_t generation);
  // 0 also where `command.json` is no object of at most pending_json_max bytes.
  Position put_pending(const DeviceKey& device, PendingCommand command);
  // Says that it may reach the device from now on, or that it did not.
  Position try_pending(const DeviceKey& device, std::uint64_t id, std::uint32_t tries);
  Position end_pending(const DeviceKey& device, std::uint64_t id, PendingEnd end);
  // Whether the last change that returned 0 found the store full, and not the log.
  bool is_full() const { return full_; }
  // Changes that were appended since the store was made.
  std::uint64_t changes() const { return changes_; }
  // Whether the log would take so many changes now.
  bool has_room(std::uint32_t changes) { return log_.has_room(changes * change_size_max); }

  // Nothing, null, 0: there is none. Valid until the next change.
  std::optional<RegistrationView> registration(const DeviceKey& device) const {
    return table_->registration(device);
  }
  const Ban* ban_of(const DeviceKey& device, WallUs now_us) const {
    const Ban* const ban = table_->ban(device);
    return ban == nullptr || ban->over(now_us) ? nullptr : ban;
  }
  std::uint32_t generation(const DeviceKey& device) const { return table_->generation(device); }
  const std::vector<PendingCommand>* pending(const DeviceKey& device) const {
    return table_->pending(device);
  }
  std::uint64_t registrations() const { return table_->registrations(); }
  // Lists and memory: table.hpp.
  const Table& table() const { return *table_; }

 private:
  // Device, reasons or texts of a registration, names of members, with every byte escaped: more is
  // only a pending command, which is measured.
  static constexpr std::size_t change_size_max = 4096;
  Position append(const DeviceKey& device, Change change, std::string_view payload);
  Position refuse_full();

  log::Writer& log_;
  std::unique_ptr<Table> table_;
  bool full_ = false;
  std::uint64_t changes_ = 0;
};

}  // namespace ringgate::state
