// What a control plane (ringgate-ctl, the API, a message fabric) may ask of a protocol's devices:
// to send commands, to list, describe, kick, ban and trace. A protocol implements one gate per
// shard; control planes reach it by errands (engine/shard/errand.hpp) and know no protocol.
//
// Everything of DeviceGate runs on its shard; a control plane asks the device's home shard.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/bytes.hpp"
#include "engine/base/clock.hpp"
#include "engine/base/ids.hpp"
#include "engine/base/json_writer.hpp"
#include "engine/base/result.hpp"

namespace ringgate::event {

// A command, encoded for every version that its devices may speak, before it goes to a shard: one
// encoding serves any number of devices. Immutable, shared by threads. Made by a DeviceProtocol.
class PreparedCommand {
 public:
  virtual ~PreparedCommand() = default;
};

enum class CommandStatus : std::uint8_t {
  answered,     // the terminal did it, or sent what was asked for
  refused,      // the terminal said no: failed, bad message, unsupported
  sent,         // no answer was waited for, or none is defined; the link took it
  timed_out,    // no answer after all retransmissions
  offline,      // no link of this device
  unknown,      // this device was never seen here
  link_lost,    // the link ended while the answer was outstanding
  busy,         // too many commands wait for this device
  not_stored,   // the log takes nothing now: the intent could not be committed
  unsupported,  // the device's version does not have this message
  expired,      // the caller's time ended before the command could be sent
  pending,      // it waits for the device to come online (storage/state/pending.hpp)
  count,
};
std::string_view name_of(CommandStatus status);  // "timed-out"

struct CommandOutcome {
  CommandStatus status = CommandStatus::answered;
  std::string detail;                // for people: "terminal answered 0x0001: failed"
  std::uint16_t answer_message = 0;  // 0: none
  std::vector<std::uint8_t> answer;  // frame as logged; whole message where it came in parts
  Position intent = 0;               // record of the intent; 0: none
  std::uint32_t transmissions = 0;
  MonoNs elapsed_ns = 0;
  std::uint64_t pending = 0;  // status pending: its id,
  WallUs expires_us = 0;      // and until when it waits
};

// Told the outcome exactly once, on the device's home shard. Owned by the gate until then.
class CommandWaiter {
 public:
  virtual ~CommandWaiter() = default;
  virtual void on_outcome(const DeviceKey& device, CommandOutcome outcome) = 0;
};

// What maps and lists show of a device: plain, for control planes that keep all of them.
struct DeviceSnapshot {
  static constexpr std::size_t plate_size_max = 27;  // bytes; a longer one is cut at a character

  DeviceKey key;
  WallUs taken_us = 0;       // of its shard's clock: what happened before is in here
  WallUs last_heard_us = 0;  // 0: never
  std::int64_t position_time_s = 0;  // the device's clock; UTC, since 1970
  std::int32_t latitude_deg_x1e6 = 0;
  std::int32_t longitude_deg_x1e6 = 0;
  std::uint32_t alarm_bits = 0;
  std::uint16_t speed_kmh_x10 = 0;
  std::uint16_t heading_deg = 0;
  bool online = false;
  bool located = false;  // the position is one
  std::uint8_t plate_size = 0;
  char plate[plate_size_max] = {};
};

// A frame of a sample that stands for `frames` of them (engine/device/talkers.hpp).
struct DeviceTalk {
  std::uint32_t device = 0;  // a place that devices_at() names
  std::uint32_t frames = 0;
  std::uint64_t bytes = 0;   // of all of them
};

// Sees every frame of one device, both ways, on the home shard, as stored (unescaped). Must be
// cheap and must not block: a slow watcher drops and counts.
class TraceWatcher {
 public:
  virtual ~TraceWatcher() = default;
  virtual void on_frame(bool from_device, WallUs at, Bytes frame) = 0;
};

// Told when a device gets a link, or is left without one. On the home shard; must be cheap and must
// not block. A device that changes its link is told offline, then online.
class PresenceWatcher {
 public:
  virtual ~PresenceWatcher() = default;
  virtual void on_presence(const DeviceKey& device, bool online) = 0;
};

// Who acts, and why.
struct Act {
  std::string_view by;   // "alice (uid 1000) by ringgate-ctl"
  std::string_view why;  // may be empty
};

class DeviceGate {
 public:
  virtual ~DeviceGate() = default;
  virtual Namespace ns() const = 0;

  // Commits the intent, sends, retransmits, waits for the answer at most `wait_ns` (0: only until
  // it is sent).
  virtual void send(const DeviceKey& device, std::shared_ptr<const PreparedCommand> command,
                    MonoNs wait_ns, std::unique_ptr<CommandWaiter> waiter) = 0;

  // Whether a command that is sent now has a link to leave by.
  virtual bool online(const DeviceKey& device) = 0;

  // Devices of this shard from `cursor` on (0: the first), at most `limit`; each as one JSON object
  // of what `describe` would write, short. Returns the next cursor, 0 at the end. Looks at no more
  // than `limit` devices, so that a shard is not held up.
  virtual std::uint32_t list(std::uint32_t cursor, std::uint32_t limit,
                             std::vector<std::string>& out) = 0;
  // The same walk in plain values: some 0.3 us a device, so a few hundred hold no shard up.
  virtual std::uint32_t snapshot(std::uint32_t cursor, std::uint32_t limit,
                                 std::vector<DeviceSnapshot>& out) {
    static_cast<void>(cursor), static_cast<void>(limit), static_cast<void>(out);
    return 0;
  }
  // What `list` would write of these; an empty text for one that is not known.
  virtual void list_of(std::span<const DeviceKey> devices, std::vector<std::string>& out) {
    out.resize(out.size() + devices.size());
  }
  // A sample of the frames of the last minute. Returns how long it covers: less than a minute only
  // where their rate has just risen.
  virtual MonoNs talk(std::vector<DeviceTalk>& out) {
    static_cast<void>(out);
    return 0;
  }
  // The keys of what talk() named.
  virtual void devices_at(std::span<const std::uint32_t> places, std::vector<DeviceKey>& out) {
    static_cast<void>(places), static_cast<void>(out);
  }
  // Adds keys to the open object; false: not known.
  virtual bool describe(const DeviceKey& device, JsonWriter& out) = 0;

  // Each of these leaves an audit record. Best effort where the log takes nothing now.

  // Only the record: who did what ("send text-message") to a device. Our own log gets no line of
  // it: the caller writes one for all devices.
  virtual void audit(const DeviceKey& device, std::string_view action, const Act& act) = 0;
  // Whether only devices that are registered, and enabled, are let in.
  virtual bool wants_registration() const { return false; }
  // Ends the device's link. False: it has none.
  virtual bool kick(const DeviceKey& device, const Act& act) = 0;
  // Refuses the device's registrations and authentications until `until` (0: for good), revokes its
  // codes and ends its link. Again: changes `until` and the reason. False: too many are banned.
  virtual bool ban(const DeviceKey& device, WallUs until, const Act& act) = 0;
  virtual bool unban(const DeviceKey& device, const Act& act) = 0;  // false: it was not banned
  // Who is banned on this shard, each as one JSON object.
  virtual void bans(std::vector<std::string>& out) = 0;

  // At most one watcher per device; null ends it. False: somebody else watches.
  virtual bool trace(const DeviceKey& device, TraceWatcher* watcher) = 0;

  // Adds a watcher of all devices; wiring, before the first turn. Outlives the gate.
  virtual void watch_presence(PresenceWatcher& watcher) = 0;

  // The last bad frames of this shard, newest first, each one JSON object (time, peer, reason,
  // offset, bytes).
  virtual void bad_frames(std::uint32_t limit, std::vector<std::string>& out) = 0;
};

// What is known of a protocol without a shard: makes commands. Stateless: any thread.
class DeviceProtocol {
 public:
  virtual ~DeviceProtocol() = default;
  virtual Namespace ns() const = 0;
  // Under which key DeviceGate::list writes the device's id.
  virtual std::string_view id_key() const { return "phone"; }
  // All keys that DeviceGate::list ever writes: what a filter may name.
  virtual std::span<const std::string_view> list_keys() const = 0;
  // The device's key from what people write ("013812345678").
  virtual Result<DeviceKey> parse_device(std::string_view text) const = 0;
  // `json`: {"message": "text-message" or "0x8300", fields...}. Error: what is wrong with it.
  virtual Result<std::shared_ptr<const PreparedCommand>> prepare(std::string_view json) const = 0;
};

}  // namespace ringgate::event
