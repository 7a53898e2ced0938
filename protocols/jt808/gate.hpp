// What a control plane may do with the terminals at home on one shard (storage/event/
// device_gate.hpp): list, describe, command, kick, ban, trace. Lives on the shard; built after the
// session and ended before it.
//
// A banned terminal, and with jt808.admission = "registry" one that is not registered and enabled,
// is refused when it registers (0x8100 result 4, "no such terminal": what a
// terminal shows to its user, and what makes it stop) and when it authenticates (0x8001 result 1).
// Its key generation was raised, so that the codes it holds are worth nothing after the ban either:
// it must register anew.
#pragma once

#include "engine/device/device_table.hpp"
#include "engine/net/links.hpp"
#include "engine/observe/logger.hpp"
#include "protocols/jt808/session.hpp"
#include "storage/event/device_gate.hpp"
#include "storage/log/writer.hpp"

namespace ringgate::jt808 {

// Audit records: their message number says what was done, their payload is a JSON object
// {"action", "by", "why", ...}.
enum class Audit : std::uint16_t { kick = 1, ban = 2, unban = 3, other = 4 };

class Gate final : public event::DeviceGate {
 public:
  Gate(Session& session, net::Links& links, log::Writer& log, device::DeviceTable& devices,
       observe::LogSource& logs);

  Namespace ns() const override { return Namespace::phone; }
  void send(const DeviceKey& device, std::shared_ptr<const event::PreparedCommand> command,
            MonoNs wait_ns, std::unique_ptr<event::CommandWaiter> waiter) override;
  bool online(const DeviceKey& device) override { return session_.commands().online(device); }
  std::uint32_t list(std::uint32_t cursor, std::uint32_t limit,
                     std::vector<std::string>& out) override;
  std::uint32_t snapshot(std::uint32_t cursor, std::uint32_t limit,
                         std::vector<event::DeviceSnapshot>& out) override;
  void list_of(std::span<const DeviceKey> devices, std::vector<std::string>& out) override;
  MonoNs talk(std::vector<event::DeviceTalk>& out) override;
  void devices_at(std::span<const std::uint32_t> places, std::vector<DeviceKey>& out) override;
  bool describe(const DeviceKey& device, JsonWriter& out) override;
  void audit(const DeviceKey& device, std::string_view action, const event::Act& act) override;
  bool wants_registration() const override { return session_.wants_registration(); }
  bool kick(const DeviceKey& device, const event::Act& act) override;
  bool ban(const DeviceKey& device, WallUs until, const event::Act& act) override;
  bool unban(const DeviceKey& device, const event::Act& act) override;
  void bans(std::vector<std::string>& out) override;
  bool trace(const DeviceKey& device, event::TraceWatcher* watcher) override;
  void watch_presence(event::PresenceWatcher& watcher) override;
  void bad_frames(std::uint32_t limit, std::vector<std::string>& out) override;

 private:
  net::Link* link_of(const device::Device& device);
  void row(device::Device& device, JsonWriter& out);
  bool kick_link(const DeviceKey& device);
  void record(const DeviceKey& device, Audit what, std::string_view action, const event::Act& act,
              WallUs until = 0);
  WallUs now() const { return links_.shard().wall_now(); }

  Session& session_;
  Oversight& oversight_;
  net::Links& links_;
  log::Writer& log_;
  device::DeviceTable& devices_;
  observe::LogSource& logs_;
};

}  // namespace ringgate::jt808
