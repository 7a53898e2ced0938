// Commands that wait for their device to come online: kept in the state, sent when it does, ended
// when they are answered, given up, cancelled, or their time is over. For every protocol that has a
// DeviceGate; a protocol does no more than tell who is online.
//
// Every command is stored first, also for a device that is online: then it leaves in the same turn,
// with the same commit. Commands leave in the order in which they were submitted, a few at a time.
// Each delivery is noted in the log before it, so that the note is durable when the device can have
// seen the command; its end is noted after its outcome is. What was sent and not ended when the
// gateway died, or not answered, is sent again: at least once, marked by `tries`. Nothing is sent
// after its time, by the wall clock.
//
// Lives on one shard, used only there; built after the state and before the gates' protocols, which
// it outlives.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "engine/observe/counter.hpp"
#include "engine/shard/shard.hpp"
#include "storage/event/device_gate.hpp"
#include "storage/log/commit_waits.hpp"
#include "storage/state/store.hpp"

namespace ringgate::state {

enum class PendingHow : std::uint8_t {
  answered,
  refused,
  sent,
  expired,
  cancelled,
  moved,  // another node keeps it, or has done it
  failed,
  count
};
std::string_view name_of(PendingHow how);

inline constexpr observe::MetricSpec pending_waiting{
    .name = "ringgate_pending_commands",
    .help = "Commands that wait for their device to come online.",
    .kind = observe::MetricKind::gauge};

struct PendingCounters {
  explicit PendingCounters(observe::CounterGroup& group);

  observe::Gauge waiting;
  observe::Counter stored;
  observe::Counter deliveries;
  observe::Counter repeated;  // of the deliveries
  observe::Family<PendingHow> ended;
};

class Pending final : public event::PresenceWatcher,
                      public shard::Hook,
                      public shard::TimerHandler,
                      public flow::CommitListener {
 public:
  // Takes over what `store` has from before.
  Pending(shard::Shard& shard, Store& store, log::CommitWaits& waits, std::uint32_t run,
          observe::CounterGroup& counters);
  ~Pending() override;
  Pending(const Pending&) = delete;
  Pending& operator=(const Pending&) = delete;

  // Wiring, before the first turn. Watches who comes online. Both outlive the shard's turns.
  void add(event::DeviceGate& gate, const event::DeviceProtocol& protocol);

  struct Order {
    std::string json;  // that DeviceProtocol::prepare takes; at most pending_json_max bytes
    std::string by;
    WallUs expires_us = 0;
    MonoNs wait_ns = 0;  // for an outcome, where the device is online
  };
  // The waiter is told the outcome, or `pending` (durably) where none is known within the wait, at
  // once where the device is not online; `busy` where too many wait. Maybe from inside.
  void submit(const DeviceKey& device, Order order, std::unique_ptr<event::CommandWaiter> waiter);

  enum class Cancelled : std::uint8_t {
    none,       // there is no such command
    waiting,    // it was never sent
    sent,       // it was, and may be done; it is not repeated
    not_stored  // the log takes nothing now
  };
  // Durable when what was appended is. `why`: for the record; may be empty. `how`: also moved.
  Cancelled cancel(const DeviceKey& device, std::uint64_t id, std::string_view why,
                   PendingHow how = PendingHow::cancelled);

  // Where a list goes on: behind the command of this time and id.
  struct Place {
    WallUs expires_us = 0;
    std::uint64_t id = 0;
    friend auto operator<=>(const Place&, const Place&) = default;
  };
  struct Listed {
    const DeviceKey& device;
    const PendingCommand& command;
    bool under_way;  // its protocol has it now
  };
  // At most `limit` commands behind `from`, the next to expire first. False: that was all.
  template <class Visit>
  bool list(Place& from, std::uint32_t limit, Visit&& visit) const;
  // Those of one device.
  template <class Visit>
  void list(const DeviceKey& device, Visit&& visit) const;

  // Called by gates and the loop ----------------------------------------------------------------

  void on_presence(const DeviceKey& device, bool online) override;
  void before_wait() override;
  bool has_work() const override { return !ready_.empty() && may_deliver(); }
  void start_drain() override;
  void start_stop() override { start_drain(); }
  void on_timer() override;
  void on_commit(Position committed) override;
  void on_log_state(flow::LogState state) override;

 private:
  class Delivery;
  struct KeyHash {
    std::size_t operator()(const DeviceKey& key) const { return hash(key); }
  };
  // A device whose waiting commands are being sent.
  struct Walk {
    std::uint32_t in_flight = 0;
    MonoNs not_before = 0;
    bool ready = false;   // in ready_
    bool halted = false;  // one came back: what is in flight comes home before any other leaves
  };
  struct Gate {
    event::DeviceGate* gate;
    const event::DeviceProtocol* protocol;
  };
  // Somebody who waits for the outcome of one.
  struct Caller {
    DeviceKey device;
    std::unique_ptr<event::CommandWaiter> waiter;
    Position position = 0;  // of the stored command
    WallUs expires_us = 0;
  };
  struct End {
    DeviceKey device;
    std::uint64_t id = 0;
    PendingHow how = PendingHow::failed;
    std::string detail;
    Position intent = 0;
  };
  // When something has to be looked at.
  struct Due {
    DeviceKey device;
    std::uint64_t caller = 0;  // of this command; 0: the device is tried again
  };

  bool may_deliver() const {
    return !stalled_ && !stopping_ && in_flight_ < pending_in_flight_max;
  }
  const Gate* find(Namespace ns) const;
  const PendingCommand* find(const DeviceKey& device, std::uint64_t id) const;
  Position store(const DeviceKey& device, std::uint64_t id, Order& order,
                 event::CommandOutcome& refusal);
  void tell_pending(std::uint64_t id, Caller caller);
  void stop_waiting(std::uint64_t id);
  void tell(std::uint64_t id, event::CommandOutcome outcome);
  void tell(std::uint64_t id, event::CommandStatus status, std::string_view detail);
  void delivered(const DeviceKey& device, std::uint64_t id, event::CommandOutcome outcome);
  bool came_back(const DeviceKey& device, const PendingCommand& command,
                 const event::CommandOutcome& outcome);
  void retry(const DeviceKey& device, MonoNs after);
  void make_ready(const DeviceKey& device);
  void deliver(const DeviceKey& device, std::uint32_t& budget);
  const PendingCommand* next_of(const DeviceKey& device) const;
  bool start(const DeviceKey& device, const Gate& gate, const PendingCommand& command);
  void drop_if_idle(const DeviceKey& device);
  void end(End what);
  void finish(End what, event::CommandStatus status);
  bool write(const End& what);
  void write_ends();
  void expire();
  void look_at_due();
  void arm();

  shard::Shard& shard_;
  Store& store_;
  log::CommitWaits& waits_;
  PendingCounters counters_;
  std::vector<Gate> gates_;
  std::uint64_t next_id_;

  std::map<Place, DeviceKey> places_;  // of all that wait, by the time at which they expire
  std::uint64_t bytes_ = 0;            // of their JSON
  std::unordered_set<std::uint64_t> away_;  // with the gate, or ended and not written
  std::unordered_map<DeviceKey, Walk, KeyHash> walks_;
  std::deque<DeviceKey> ready_;
  std::unordered_map<std::uint64_t, Caller> callers_;  // by command
  std::multimap<MonoNs, Due> due_;
  std::deque<End> unwritten_;  // the log was full for a moment
  std::uint32_t in_flight_ = 0;
  bool more_expired_ = false;
  bool stalled_ = false;  // until the log takes something again
  bool stopping_ = false;
  shard::Timer timer_{*this};
};

template <class Visit>
bool Pending::list(Place& from, std::uint32_t limit, Visit&& visit) const {
  for (auto at = places_.upper_bound(from); at != places_.end(); ++at) {
    if (limit-- == 0) return true;
    from = at->first;
    const PendingCommand* const command = find(at->second, from.id);
    if (command == nullptr) continue;
    visit(Listed{at->second, *command, away_.contains(from.id)});
  }
  return false;
}

template <class Visit>
void Pending::list(const DeviceKey& device, Visit&& visit) const {
  const std::vector<PendingCommand>* const waiting = store_.pending(device);
  if (waiting == nullptr) return;
  for (const PendingCommand& one : *waiting) visit(Listed{device, one, away_.contains(one.id)});
}

}  // namespace ringgate::state
