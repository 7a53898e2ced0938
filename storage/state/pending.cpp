#include "storage/state/pending.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <limits>

#include "engine/base/check.hpp"

namespace ringgate::state {

namespace {

using event::CommandStatus;

constexpr std::string_view how_names[] = {"answered",  "refused", "sent",  "expired",
                                          "cancelled", "moved",   "failed"};
static_assert(std::size(how_names) == static_cast<std::size_t>(PendingHow::count));

constexpr observe::MetricSpec stored{
    .name = "ringgate_pending_commands_stored_total",
    .help = "Commands that were kept because their device was not online."};
constexpr observe::MetricSpec deliveries{
    .name = "ringgate_pending_deliveries_total",
    .help = "Waiting commands handed to their device's protocol, repeated ones included."};
constexpr observe::MetricSpec repeated{
    .name = "ringgate_pending_deliveries_repeated_total",
    .help = "Of those, commands that may have reached their device before."};
constexpr observe::MetricSpec ended{.name = "ringgate_pending_commands_ended_total",
                                    .help = "Waiting commands that ended, by what became of them.",
                                    .label = "how",
                                    .values = how_names};

// Ids are run, then number: unique in a node, exact as doubles for 90,000 runs, and no run gives
// out so many (1000 a second for three years).
constexpr std::uint64_t ids_per_run = 100'000'000'000;

PendingHow how_of(CommandStatus status) {
  switch (status) {
    case CommandStatus::answered:
      return PendingHow::answered;
    case CommandStatus::refused:
      return PendingHow::refused;
    case CommandStatus::sent:
      return PendingHow::sent;
    case CommandStatus::unsupported:
      return PendingHow::failed;
    default:
      return PendingHow::count;  // not its end
  }
}

// After which a device that is online is tried again; 0: when it comes online.
MonoNs retry_after(CommandStatus status) {
  switch (status) {
    case CommandStatus::timed_out:
      return pending_retry_silent;
    case CommandStatus::busy:
    case CommandStatus::expired:
    case CommandStatus::not_stored:
      return pending_retry_busy;
    default:
      return 0;
  }
}

}  // namespace

std::string_view name_of(PendingHow how) {
  RG_CHECK(how < PendingHow::count);
  return how_names[static_cast<std::size_t>(how)];
}

PendingCounters::PendingCounters(observe::CounterGroup& group)
    : waiting(group.gauge(pending_waiting)), stored(group.counter(state::stored)),
      deliveries(group.counter(state::deliveries)), repeated(group.counter(state::repeated)),
      ended(group.family<PendingHow>(state::ended)) {}

class Pending::Delivery final : public event::CommandWaiter {
 public:
  Delivery(Pending& owner, std::uint64_t id) : owner_(owner), id_(id) {}
  void on_outcome(const DeviceKey& device, event::CommandOutcome outcome) override {
    owner_.delivered(device, id_, std::move(outcome));
  }

 private:
  Pending& owner_;
  std::uint64_t id_;
};

Pending::Pending(shard::Shard& shard, Store& store, log::CommitWaits& waits, std::uint32_t run,
                 observe::CounterGroup& counters)
    : shard_(shard), store_(store), waits_(waits), counters_(counters),
      next_id_(run * ids_per_run + shard.index() + 1) {
  shard_.add_hook(*this);
  shard_.watermark().listen(*this);
  store_.table().for_each_pending([this](const DeviceKey& device, const PendingCommand& command) {
    places_.emplace(Place{command.expires_us, command.id}, device);
    bytes_ += command.json.size();
  });
  counters_.waiting.set(static_cast<std::int64_t>(places_.size()));
  if (!places_.empty()) shard_.arm(timer_, 0);  // what expired meanwhile ends in the first turn
}

Pending::~Pending() { shard_.cancel(timer_); }

void Pending::add(event::DeviceGate& gate, const event::DeviceProtocol& protocol) {
  gates_.push_back({&gate, &protocol});
  gate.watch_presence(*this);
}

const Pending::Gate* Pending::find(Namespace ns) const {
  for (const Gate& gate : gates_) {
    if (gate.gate->ns() == ns) return &gate;
  }
  return nullptr;
}

const PendingCommand* Pending::find(const DeviceKey& device, std::uint64_t id) const {
  const std::vector<PendingCommand>* const all = store_.pending(device);
  if (all == nullptr) return nullptr;
  const auto found = std::ranges::find(*all, id, &PendingCommand::id);
  return found == all->end() ? nullptr : &*found;
}

// ---- Submission

void Pending::submit(const DeviceKey& device, Order order,
                     std::unique_ptr<event::CommandWaiter> waiter) {
  const Gate* const gate = find(device.ns);
  RG_CHECK(gate != nullptr && waiter != nullptr);
  const std::uint64_t id = next_id_;
  next_id_ += shard_.count();
  event::CommandOutcome refusal;
  const Position position = store(device, id, order, refusal);
  if (position == 0) return waiter->on_outcome(device, std::move(refusal));
  Caller caller{device, std::move(waiter), position, order.expires_us};
  if (stopping_ || order.wait_ns <= 0 || !gate->gate->online(device)) {
    tell_pending(id, std::move(caller));
  } else {
    callers_.emplace(id, std::move(caller));
    due_.emplace(shard_.now() + order.wait_ns, Due{device, id});
  }
  arm();
  make_ready(device);
}

// 0: not stored, and why.
Position Pending::store(const DeviceKey& device, std::uint64_t id, Order& order,
                        event::CommandOutcome& refusal) {
  const auto refuse = [&refusal](CommandStatus status, std::string detail) {
    refusal.status = status;
    refusal.detail = std::move(detail);
    return Position{0};
  };
  const WallUs now = shard_.wall_now();
  const std::size_t size = order.json.size();
  const std::vector<PendingCommand>* const others = store_.pending(device);
  if (order.expires_us <= now) return refuse(CommandStatus::expired, "its time was over");
  if (size > pending_json_max) {
    return refuse(CommandStatus::unsupported,
                  fmt::format("a command that waits has at most {} bytes", pending_json_max));
  }
  if (others != nullptr && others->size() >= pending_device_max) {
    return refuse(CommandStatus::busy,
                  fmt::format("{} commands wait for this device already", others->size()));
  }
  const bool fits = bytes_ + size <= pending_bytes_max;
  PendingCommand command{.id = id,
                         .submitted_us = now,
                         .expires_us = order.expires_us,
                         .by = std::string(cut_utf8(order.by, reason_size_max)),
                         .json = std::move(order.json)};
  const Position position = fits ? store_.put_pending(device, std::move(command)) : 0;
  if (!fits || (position == 0 && store_.is_full())) {
    return refuse(CommandStatus::busy, "too many commands wait for devices of this shard");
  }
  if (position == 0) return refuse(CommandStatus::not_stored, "the log takes nothing now");
  bytes_ += size;
  places_.emplace(Place{order.expires_us, id}, device);
  counters_.stored.add();
  counters_.waiting.set(static_cast<std::int64_t>(places_.size()));
  return position;
}

// Once it is durable that the command waits.
void Pending::tell_pending(std::uint64_t id, Caller caller) {
  event::CommandOutcome outcome;
  outcome.status = CommandStatus::pending;
  outcome.pending = id;
  outcome.expires_us = caller.expires_us;
  if (const PendingCommand* const command = find(caller.device, id); command != nullptr) {
    outcome.transmissions = command->tries;
  }
  // Shared only because a function must be able to be copied.
  waits_.wait(caller.position,
              [device = caller.device, outcome = std::move(outcome),
               told = std::shared_ptr<event::CommandWaiter>(std::move(caller.waiter))] {
                told->on_outcome(device, outcome);
              });
}

// Whoever waits for its outcome is told that it is pending.
void Pending::stop_waiting(std::uint64_t id) {
  const auto found = callers_.find(id);
  if (found == callers_.end()) return;
  Caller caller = std::move(found->second);
  callers_.erase(found);
  tell_pending(id, std::move(caller));
}

void Pending::tell(std::uint64_t id, event::CommandOutcome outcome) {
  const auto found = callers_.find(id);
  if (found == callers_.end()) return;
  const Caller caller = std::move(found->second);
  callers_.erase(found);
  caller.waiter->on_outcome(caller.device, std::move(outcome));
}

void Pending::tell(std::uint64_t id, CommandStatus status, std::string_view detail) {
  event::CommandOutcome outcome;
  outcome.status = status;
  outcome.detail = detail;
  tell(id, std::move(outcome));
}

void Pending::start_drain() {
  stopping_ = true;
  while (!callers_.empty()) stop_waiting(callers_.begin()->first);
}

Pending::Cancelled Pending::cancel(const DeviceKey& device, std::uint64_t id,
                                   std::string_view why, PendingHow how) {
  const PendingCommand* const command = find(device, id);
  const bool has_ended = std::ranges::any_of(
      unwritten_, [&](const End& end) { return end.id == id && end.device == device; });
  if (command == nullptr || has_ended) return Cancelled::none;
  const bool was_sent = command->tries > 0;
  const bool done = write({device, id, how, std::string(why), 0});
  if (!done) return Cancelled::not_stored;
  tell(id, CommandStatus::expired, "it was cancelled");
  return was_sent ? Cancelled::sent : Cancelled::waiting;
}

// ---- Delivery

void Pending::on_presence(const DeviceKey& device, bool online) {
  if (!online || store_.pending(device) == nullptr) return;
  walks_[device].not_before = 0;
  make_ready(device);
}

void Pending::make_ready(const DeviceKey& device) {
  Walk& walk = walks_[device];
  if (walk.ready) return;
  walk.ready = true;
  ready_.push_back(device);
}

void Pending::before_wait() {
  std::uint32_t budget = pending_per_turn;
  for (std::size_t i = ready_.size(); i > 0 && budget > 0 && may_deliver(); --i) {
    const DeviceKey device = ready_.front();
    ready_.pop_front();
    deliver(device, budget);
  }
}

// Hands to the protocol what may go now.
void Pending::deliver(const DeviceKey& device, std::uint32_t& budget) {
  Walk& walk = walks_[device];
  walk.ready = false;
  const Gate* const gate = find(device.ns);
  if (gate == nullptr || !gate->gate->online(device)) return drop_if_idle(device);
  if (walk.not_before > shard_.now() || (walk.halted && walk.in_flight > 0)) return;
  walk.halted = false;
  while (walk.in_flight < pending_window) {
    const PendingCommand* const next = next_of(device);
    if (next == nullptr) return drop_if_idle(device);
    if (budget == 0 || !may_deliver()) return make_ready(device);
    --budget;
    if (next->expires_us <= shard_.wall_now()) {
      finish({device, next->id, PendingHow::expired, "the device came online too late", 0},
             CommandStatus::expired);
    } else if (!start(device, *gate, *next)) {
      return make_ready(device);
    }
  }
}

// The oldest that is not away.
const PendingCommand* Pending::next_of(const DeviceKey& device) const {
  const std::vector<PendingCommand>* const all = store_.pending(device);
  const PendingCommand* next = nullptr;
  if (all == nullptr) return next;
  for (const PendingCommand& one : *all) {
    if ((next == nullptr || one.id < next->id) && !away_.contains(one.id)) next = &one;
  }
  return next;
}

// False: the log takes nothing now.
bool Pending::start(const DeviceKey& device, const Gate& gate, const PendingCommand& command) {
  const std::uint64_t id = command.id;
  const std::uint32_t tries = command.tries + 1;
  const MonoNs left = (command.expires_us - shard_.wall_now()) * ns_per_us;
  const auto prepared = gate.protocol->prepare(command.json);
  if (!prepared) {
    finish({device, id, PendingHow::failed, prepared.error().message, 0},
           CommandStatus::unsupported);
    return true;
  }
  // In the log before the command: durable when the device can have seen that.
  if (store_.try_pending(device, id, tries) == 0) {
    stalled_ = true;
    return false;
  }
  away_.insert(id);
  ++walks_[device].in_flight;
  ++in_flight_;
  counters_.deliveries.add();
  if (tries > 1) counters_.repeated.add();
  gate.gate->send(device, *prepared, std::min(pending_answer_wait, left),
                  std::make_unique<Delivery>(*this, id));
  return true;
}

// Its outcome, durable where it was sent.
void Pending::delivered(const DeviceKey& device, std::uint64_t id,
                        event::CommandOutcome outcome) {
  --in_flight_;
  --walks_[device].in_flight;
  away_.erase(id);
  const PendingCommand* const command = find(device, id);
  if (command == nullptr) return make_ready(device);  // cancelled
  const PendingHow how = how_of(outcome.status);
  if (how != PendingHow::count) {
    end({device, id, how, outcome.detail, outcome.intent});
    tell(id, std::move(outcome));
  } else if (came_back(device, *command, outcome)) {
    tell(id, std::move(outcome));
  } else {
    stop_waiting(id);
  }
  make_ready(device);
}

// It was not answered: waits on, unless that is enough. True: it was.
bool Pending::came_back(const DeviceKey& device, const PendingCommand& command,
                        const event::CommandOutcome& outcome) {
  const bool was_sent = outcome.transmissions > 0;
  const std::uint32_t tries = was_sent ? command.tries : command.tries - 1;
  const bool expired = command.expires_us <= shard_.wall_now();
  if (expired || tries >= pending_tries_max) {
    const std::string last =
        fmt::format("{}: {}", event::name_of(outcome.status), outcome.detail);
    end({device, command.id, expired ? PendingHow::expired : PendingHow::failed,
         tries == 0 ? fmt::format("it was never sent; {}", last)
                    : fmt::format("sent {} times, not answered; {}", tries, last),
         outcome.intent});
    return true;
  }
  // Where the log takes nothing it counts as sent, which it may be taken for.
  if (!was_sent) static_cast<void>(store_.try_pending(device, command.id, tries));
  walks_[device].halted = true;
  if (const MonoNs after = retry_after(outcome.status); after != 0) retry(device, after);
  return false;
}

void Pending::retry(const DeviceKey& device, MonoNs after) {
  const MonoNs at = shard_.now() + after;
  walks_[device].not_before = at;
  due_.emplace(at, Due{device});
  arm();
}

void Pending::drop_if_idle(const DeviceKey& device) {
  const auto at = walks_.find(device);
  if (at != walks_.end() && at->second.in_flight == 0 && !at->second.ready) walks_.erase(at);
}

// ---- Ends

void Pending::end(End what) {
  away_.insert(what.id);
  if (unwritten_.empty() && write(what)) return;
  unwritten_.push_back(std::move(what));
}

// The same without an outcome of its protocol.
void Pending::finish(End what, CommandStatus status) {
  tell(what.id, status, what.detail);
  end(std::move(what));
}

// False: the log takes nothing now.
bool Pending::write(const End& what) {
  const PendingCommand* const command = find(what.device, what.id);
  if (command != nullptr) {
    const Place place{command->expires_us, what.id};
    const std::size_t size = command->json.size();
    const PendingEnd record{name_of(what.how), what.detail, what.intent};
    if (store_.end_pending(what.device, what.id, record) == 0) return false;
    places_.erase(place);
    bytes_ -= size;
    counters_.ended.add(what.how);
    counters_.waiting.set(static_cast<std::int64_t>(places_.size()));
  }
  away_.erase(what.id);
  return true;
}

void Pending::write_ends() {
  while (!unwritten_.empty() && write(unwritten_.front())) unwritten_.pop_front();
}

void Pending::on_commit(Position) {
  stalled_ = false;
  write_ends();
}

void Pending::on_log_state(flow::LogState state) {
  if (state != flow::LogState::accepting) return;
  stalled_ = false;
  write_ends();
}

// ---- Time

void Pending::on_timer() {
  look_at_due();
  expire();
  arm();
}

void Pending::look_at_due() {
  const MonoNs now = shard_.now();
  while (!due_.empty() && due_.begin()->first <= now) {
    const Due due = due_.begin()->second;
    due_.erase(due_.begin());
    if (due.caller != 0) {
      stop_waiting(due.caller);
      continue;
    }
    const auto walk = walks_.find(due.device);
    if (walk != walks_.end() && walk->second.not_before <= now) make_ready(due.device);
  }
}

// What its protocol has ends with its outcome, which comes at the same time.
void Pending::expire() {
  const WallUs now = shard_.wall_now();
  std::uint32_t budget = pending_per_turn;
  more_expired_ = false;
  for (auto at = places_.begin(); at != places_.end() && at->first.expires_us <= now;) {
    const auto [place, device] = *at++;
    if (away_.contains(place.id)) continue;
    if (budget-- == 0) {
      more_expired_ = true;
      return;
    }
    const PendingCommand* const command = find(device, place.id);
    const std::uint32_t tries = command == nullptr ? 0 : command->tries;
    finish({device, place.id, PendingHow::expired,
            tries == 0 ? "the device did not come online"
                       : fmt::format("sent {} times, not answered", tries),
            0},
           CommandStatus::expired);
  }
}

// For what is next: a command's end, a device's turn, a caller's.
void Pending::arm() {
  if (places_.empty() && due_.empty()) return shard_.cancel(timer_);
  MonoNs delay = more_expired_ ? 0 : pending_look_every;
  const WallUs now = shard_.wall_now();
  const auto next = places_.upper_bound({now, std::numeric_limits<std::uint64_t>::max()});
  if (next != places_.end()) {
    delay = std::min(delay, (next->first.expires_us - now) * ns_per_us);
  }
  if (!due_.empty()) {
    delay = std::min(delay, std::max<MonoNs>(due_.begin()->first - shard_.now(), 0));
  }
  shard_.arm(timer_, delay);
}

}  // namespace ringgate::state
