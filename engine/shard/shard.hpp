// A shard: one thread, one ring, one loop. Rooms plug in by handlers (one per completion tag) and
// hooks (once per turn); the loop knows none of them.
//
// A turn: enter the ring -> copy its completions to a local batch -> handle them -> mail -> timers
// -> hooks' before_wait. No recursion; the work of one turn is bounded by the batch and the limits
// in engine/shard/limits.hpp. Everything here runs on the shard's thread unless it says "any
// thread"; in a simulation several shards take turns in one thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/base/clock.hpp"
#include "engine/base/ids.hpp"
#include "engine/flow/watermark.hpp"
#include "engine/io/ring.hpp"
#include "engine/io/sys.hpp"
#include "engine/shard/timer_wheel.hpp"

namespace ringgate::shard {

class CompletionHandler {
 public:
  virtual ~CompletionHandler() = default;
  // `result` and `flags` as in io_uring_cqe. May fill SQEs; must not enter the ring.
  virtual void on_completion(std::uint64_t user_data, std::int32_t result, std::uint32_t flags) = 0;
};

class TimerHandler {
 public:
  virtual ~TimerHandler() = default;
  virtual void on_timer() = 0;
};

// A timer that calls an object. Links embed TimerNode directly and are told apart by the wheel's
// owner.
struct Timer : TimerNode {
  explicit Timer(TimerHandler& who) : handler(&who) {}
  TimerHandler* handler;
};

class Hook {
 public:
  virtual ~Hook() = default;
  // After all completions, mail and timers of a turn, before the ring is entered: submit what the
  // turn gathered. In the order of registration.
  virtual void before_wait() {}
  // After every hook's before_wait: the last moment to fill SQEs.
  virtual void before_enter() {}
  // Asked after before_enter. Something to do that no completion will announce: the loop does not
  // sleep while any hook says so.
  virtual bool has_work() const { return false; }
  // Drain begins: take no new work, finish what there is. drained() is polled every turn.
  virtual void start_drain() {}
  virtual bool drained() const { return true; }
  // The loop ends: cancel what is outstanding. stopped() is polled every turn until all say yes.
  virtual void start_stop() {}
  virtual bool stopped() const { return true; }
};

struct ShardOptions {
  ShardIndex index = 0;
  ShardIndex count = 1;
  int cpu = -1;  // pin to this CPU; -1: leave to the scheduler
};

class Shard {
 public:
  // Must be called on the thread that will run it; `ring` was opened there.
  Shard(const ShardOptions& options, std::unique_ptr<io::Ring> ring, io::Sys& sys);
  ~Shard();
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  ShardIndex index() const { return options_.index; }
  ShardIndex count() const { return options_.count; }
  io::Ring& ring() { return *ring_; }
  io::Sys& sys() { return sys_; }
  flow::Watermark& watermark() { return watermark_; }

  // Clocks as read when this turn began.
  MonoNs now() const { return now_ns_; }
  WallUs wall_now() const { return wall_us_; }

  // Wiring, before the first turn.
  void handle(io::Tag tag, CompletionHandler& handler);
  void add_hook(Hook& hook) { hooks_.push_back(&hook); }
  // Fired nodes go to set_link_timer_handler's object.
  TimerWheel& timers() { return link_timers_; }
  void arm(Timer& timer, MonoNs delay_ns) { object_timers_.arm(timer, delay_ns); }
  void cancel(Timer& timer) { object_timers_.cancel(timer); }

  class LinkTimerHandler {
   public:
    virtual ~LinkTimerHandler() = default;
    virtual void on_link_timer(TimerNode& node) = 0;
  };
  void set_link_timer_handler(LinkTimerHandler& handler) { link_timer_handler_ = &handler; }

  // One turn; sleeps at most `longest_ns`. Simulations call it directly.
  // Returns false once stop is complete.
  bool turn(MonoNs longest_ns);
  // Turns until stopped.
  void run();

  // Any thread (these only set flags; wake() the shard afterwards through its mailbox).
  void request_drain(MonoNs deadline_ns) {
    drain_deadline_ns_.store(deadline_ns, std::memory_order_relaxed);
    drain_requested_.store(true, std::memory_order_release);
  }
  void request_stop() { stop_requested_.store(true, std::memory_order_release); }
  bool draining() const { return phase_ != Phase::running; }
  // Asks the loop for another turn without sleeping.
  void stay_awake() { stay_awake_ = true; }

  // For counters (own thread).
  std::uint64_t turns() const { return turns_; }
  std::uint64_t completions() const { return completions_; }

 private:
  enum class Phase : std::uint8_t { running, draining, stopping, stopped };
  void step_phase();
  void handle_batch();
  void fire_timers();
  MonoNs sleep_budget(MonoNs longest_ns) const;

  ShardOptions options_;
  std::unique_ptr<io::Ring> ring_;
  io::Sys& sys_;
  flow::Watermark watermark_;
  MonoNs now_ns_ = 0;
  WallUs wall_us_ = 0;
  TimerWheel link_timers_;
  TimerWheel object_timers_;
  LinkTimerHandler* link_timer_handler_ = nullptr;
  std::array<CompletionHandler*, 256> handlers_{};
  std::vector<Hook*> hooks_;
  std::unique_ptr<io_uring_cqe[]> batch_;
  std::uint64_t turns_ = 0;
  std::uint64_t completions_ = 0;
  Phase phase_ = Phase::running;
  bool stay_awake_ = false;
  std::atomic<bool> drain_requested_{false};
  std::atomic<bool> stop_requested_{false};
  std::atomic<MonoNs> drain_deadline_ns_{0};
};

}  // namespace ringgate::shard
