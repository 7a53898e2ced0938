// The control socket: people's tools (ringgate-ctl) ask and command a running gateway through it.
// One JSON object per line each way; tools/ctl/CONTROL.md describes the operations.
//
// A thread of its own serves all clients; it reaches devices by errands to their shards, so no
// client, however slow, holds up a shard. Every bound is below; a client past one is told so, or
// cut off.
//
// Life: started before the shards, told serve() when they run, stopped after they have stopped.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/observe/counter.hpp"
#include "engine/observe/logger.hpp"
#include "engine/shard/errand.hpp"
#include "storage/state/audit.hpp"

namespace ringgate::api {
class TokenStore;
}

namespace ringgate::server {

namespace control_limits {
// Clients at a time: people and their scripts. Each costs a descriptor and what it has not read.
constexpr std::size_t clients_max = 128;
// A request. The longest carries a package of software in hex (JT/T 808 0x8108).
constexpr std::size_t line_bytes_max = 18U << 20;
// Unfinished requests of all clients together.
constexpr std::size_t lines_bytes_max = 64U << 20;
// Answers that a client has not read: beyond the first nothing more is fetched for it (and frames
// of a trace are dropped and counted), beyond the second it is cut off.
constexpr std::size_t unread_soft_bytes = 256U << 10;
constexpr std::size_t unread_hard_bytes = 32U << 20;
// Devices that one errand looks at: some 100 us on their shard.
constexpr std::uint32_t devices_per_errand = 64;
// Devices that one `send` goes to (40 bytes each), and how many of them at a time.
constexpr std::size_t send_devices_max = 1U << 20;
constexpr std::uint32_t send_parallel_max = 1024;
// Frames of one trace on their way to the control thread.
constexpr std::uint32_t trace_frames_max = 1024;
}  // namespace control_limits

struct ControlParts {
  std::string path;      // of the socket
  unsigned mode = 0600;  // of its file
  shard::ErrandHub& errands;
  std::uint32_t producer = 0;
  const observe::Registry& registry;
  observe::LogSource& logs;  // of the control thread
  api::TokenStore* tokens = nullptr;  // null: there are none to be made here
};

class ControlClient;
class ReloadDesk;
class Sinks;

class Control {
 public:
  // Binds the socket; a file that an earlier gateway left is replaced. Error: what could not be
  // done, and the cure. Call it only while holding the data directory's lock.
  static Result<std::unique_ptr<Control>> open(const ControlParts& parts);
  // After all shards have stopped. Tells clients that wait, and removes the socket.
  ~Control();
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  // The shards run: starts the thread. `sinks` and `reloads` (null: there are none) outlive it.
  void serve(const Sinks* sinks = nullptr, ReloadDesk* reloads = nullptr);
  // Any thread: has `work` done on the control thread.
  void letter(std::function<void()> work);
  // One turn of it: whoever does not call serve() is the control thread, and calls this instead.
  // `longest_ms` as for poll(): -1 waits until something happens.
  void turn(int longest_ms);

  // For operations, on the control thread --------------------------------------------------------

  shard::ErrandPost& post() { return post_; }
  const observe::Registry& registry() const { return parts_.registry; }
  observe::LogSource& logs() { return parts_.logs; }
  const Sinks* sinks() const { return sinks_; }
  ReloadDesk* reloads() const { return reloads_; }
  api::TokenStore* tokens() { return parts_.tokens; }
  // Something could not be done now: look again in some milliseconds.
  void look_again() { look_again_ = true; }
  // Runs in every turn of the thread until it says true; for what outlives its client.
  void finish_later(std::function<bool()> step) { unfinished_.push_back(std::move(step)); }
  // Leaves an audit record of what concerns no device.
  void note(state::Deed deed) { audit_.note(std::move(deed)); }

 private:
  explicit Control(const ControlParts& parts);
  Result<void> listen();
  void run();
  void accept_clients();
  void end_all();

  ControlParts parts_;
  const Sinks* sinks_ = nullptr;
  ReloadDesk* reloads_ = nullptr;
  shard::ErrandPost post_;
  state::AuditTrail audit_;
  int listener_ = -1;
  std::vector<std::unique_ptr<ControlClient>> clients_;
  std::vector<std::function<bool()>> unfinished_;
  bool look_again_ = false;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace ringgate::server
