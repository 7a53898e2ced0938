// What one shard must remember of the devices at home there beyond a restart, and the log does not
// tell cheaply: registrations, bans, key generations, pending commands. Each change is a state
// record first (Kind::state, the device's namespace) and takes effect when it was appended; whoever
// answers for it waits until it is committed. A start loads the newest snapshot and applies the
// records behind it (snapshot.hpp).
//
// Lives on one shard, used only there; built before the protocols. Sized by registered devices, not
// by links: charged to the shard's budget.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/clock.hpp"
#include "engine/base/ids.hpp"
#include "engine/base/result.hpp"
#include "engine/flow/budget.hpp"
#include "storage/event/record_view.hpp"
#include "storage/log/writer.hpp"

namespace ringgate::state {

// Messages of state records that carry a device. Their payload is a JSON object, so that a dump
// shows it; FORMAT.md of this room names the members.
enum class Change : std::uint16_t {
  registration_put = 1,
  registration_removed = 2,
  banned = 3,
  unbanned = 4,
  generation = 5,
  command_pending = 6,
  command_ended = 7,
};

// A device that the operator knows (registry). Texts are UTF-8 and bounded (limits.hpp).
struct Registration {
  std::string plate;
  std::uint8_t plate_colour = 0;  // JT/T 697.7; 0: none given
  std::string terminal_id;        // empty: any
  std::string maker;
  std::string model;
  std::string note;  // the operator's own
  bool enabled = true;
};

struct Ban {
  WallUs since_us = 0;
  WallUs until_us = 0;  // 0: for good
  std::string by;
  std::string why;

  bool over(WallUs now_us) const { return until_us != 0 && until_us <= now_us; }
};

// A command that waits for its device to come online.
struct PendingCommand {
  std::uint64_t id = 0;  // of the node, never used twice
  WallUs submitted_us = 0;
  WallUs expires_us = 0;
  std::string by;
  std::string json;  // as DeviceProtocol::prepare takes it
};

class Store {
 public:
  Store(log::Writer& log, flow::Budget& budget);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Each returns the position to wait for, or 0 where the log takes nothing now or the store is
  // full; then nothing has changed.
  Position put_registration(const DeviceKey& device, Registration registration);
  Position remove_registration(const DeviceKey& device);
  Position ban(const DeviceKey& device, Ban ban);
  Position unban(const DeviceKey& device);
  Position set_generation(const DeviceKey& device, std::uint32_t generation);
  Position put_pending(const DeviceKey& device, PendingCommand command);
  // `how`: "answered", "expired", ...
  Position end_pending(const DeviceKey& device, std::uint64_t id, std::string_view how);

  // Null, 0, empty: there is none. Valid until the next change.
  const Registration* registration(const DeviceKey& device) const;
  const Ban* ban_of(const DeviceKey& device, WallUs now_us) const;
  std::uint32_t generation(const DeviceKey& device) const;
  const std::vector<PendingCommand>* pending(const DeviceKey& device) const;

  std::uint64_t registrations() const;
  // From `cursor` on (0: the first), at most `limit` devices that have anything; next cursor, 0 at
  // the end. For lists and snapshots: bounded work per call.
  struct Entry {
    DeviceKey device;
    const Registration* registration = nullptr;
    const Ban* ban = nullptr;
    std::uint32_t generation = 0;
    const std::vector<PendingCommand>* pending = nullptr;
  };
  std::uint64_t list(std::uint64_t cursor, std::uint32_t limit,
                     const std::function<void(const Entry&)>& visit) const;

  // Applies a state record that was read back (start only). False: not understood.
  bool apply(const event::RecordView& record);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ringgate::state
