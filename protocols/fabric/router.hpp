// The fabric: nodes that share a NATS server or cluster, so that any of them reaches any device.
// README.md (beside this file) has subjects, payloads and why they are as they are.
//
// A thread of its own talks to NATS and reaches devices by errands to their shards. Who is where is
// told by watchers on the shards; the message path only notes that a device came or went.
//
// Life: made before the shards, told serve() when they run, ended after they have stopped.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "engine/base/clock.hpp"
#include "engine/base/ids.hpp"
#include "storage/event/device_gate.hpp"

namespace ringgate::fabric {

namespace limits {
// Commands of this node's devices under way for others; each keeps an errand and its answer.
constexpr std::size_t executing_max = 1024;
// Requests that wait a moment whether somebody else has the device, and ours to other nodes.
constexpr std::size_t waiting_max = 4096;
// A request for a device that nobody seems to have is looked at again after this: news of a device
// that has just moved are under way for a few milliseconds, and a second is what may pass.
constexpr MonoNs look_again_ns = 300 * ns_per_ms;
// Wait for a device's answer: as asked, else this, and never more.
constexpr MonoNs wait_default_ns = 10 * ns_per_s;
constexpr MonoNs wait_max_ns = 300 * ns_per_s;
// An answer of another node may take so much longer than the wait it was asked for.
constexpr MonoNs answer_margin_ns = 5 * ns_per_s;
// Devices named by one message of presence: some 30 bytes each.
constexpr std::size_t devices_per_message = 1000;
// Heartbeats; a node is gone after three of them.
constexpr MonoNs beat_ns = ns_per_s;
// Whole lists are told no more often, whoever asks.
constexpr MonoNs list_every_ns = 500 * ns_per_ms;
// Commands that wait here are looked through for devices that came to other nodes: so many of each
// shard at a time, so often (some 60 us of its thread). One that another node did not take is
// offered again after a while.
constexpr std::uint32_t sweep_commands = 128;
constexpr MonoNs sweep_every_ns = 250 * ns_per_ms;
constexpr MonoNs move_again_ns = 20 * ns_per_s;
// Offers to other nodes at a time: a few of a round trip each, among clients' requests.
constexpr std::size_t moves_max = 256;
// Messages of one subscription taken in one turn.
constexpr std::size_t messages_per_turn = 1024;
// What may wait for a server that does not read; then the connection is given up.
constexpr std::size_t unsent_bytes_max = 64U << 20;
}  // namespace limits

// A command for a device, wherever it is.
struct Ask {
  DeviceKey device;
  std::string json;  // {"message": ..., fields, "wait": "5s"}
  std::string by;    // who, for the audit record
};
// The outcome as `ringgate-ctl send --json` tells it, with "node"; or
// {"error": {"code", "message"}} of what could not be tried.
using Done = std::function<void(std::string outcome)>;

class Router {
 public:
  virtual ~Router() = default;

  // Of a shard, for its gates: wiring, before its first turn.
  virtual event::PresenceWatcher& watcher(ShardIndex shard) = 0;
  // The shards run: starts the thread.
  virtual void serve() = 0;
  // Any thread. `done` is called exactly once, on the fabric's thread; it must not block.
  virtual void send(Ask ask, Done done) = 0;
};

}  // namespace ringgate::fabric
