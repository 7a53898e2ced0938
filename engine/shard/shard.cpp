#include "engine/shard/shard.hpp"

#include <sched.h>

#include <algorithm>

#include "engine/base/limits.hpp"

namespace ringgate::shard {

Shard::Shard(const ShardOptions& options, std::unique_ptr<io::Ring> ring, io::Sys& sys)
    : options_(options), ring_(std::move(ring)), sys_(sys), now_ns_(sys.mono_now()),
      wall_us_(sys.wall_now()), link_timers_(now_ns_), object_timers_(now_ns_),
      batch_(std::make_unique<io_uring_cqe[]>(limits::completions_per_turn)) {
  if (options_.cpu >= 0) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<unsigned>(options_.cpu), &set);
    // A refusal (the mask changed meanwhile) costs speed, not correctness.
    static_cast<void>(sched_setaffinity(0, sizeof set, &set));
  }
}

Shard::~Shard() = default;

void Shard::handle(io::Tag tag, CompletionHandler& handler) {
  CompletionHandler*& place = handlers_[static_cast<std::uint8_t>(tag)];
  RG_CHECK(place == nullptr);
  place = &handler;
}

void Shard::handle_batch() {
  const std::uint32_t count = ring_->drain(batch_.get(), limits::completions_per_turn);
  completions_ += count;
  for (std::uint32_t i = 0; i < count; ++i) {
    const io_uring_cqe& cqe = batch_[i];
    const io::Tag tag = io::tag_of(cqe.user_data);
    if (tag == io::Tag::none) continue;
    CompletionHandler* handler = handlers_[static_cast<std::uint8_t>(tag)];
    RG_CHECK(handler != nullptr);
    handler->on_completion(cqe.user_data, cqe.res, cqe.flags);
  }
}

void Shard::fire_timers() {
  object_timers_.advance(now_ns_, limits::timers_per_turn, [](TimerNode& node) {
    static_cast<Timer&>(node).handler->on_timer();
  });
  link_timers_.advance(now_ns_, limits::timers_per_turn, [this](TimerNode& node) {
    RG_CHECK(link_timer_handler_ != nullptr);
    link_timer_handler_->on_link_timer(node);
  });
}

MonoNs Shard::sleep_budget(MonoNs longest_ns) const {
  if (stay_awake_ || ring_->completions_ready() > 0) return 0;
  for (const Hook* hook : hooks_) {
    if (hook->has_work()) return 0;
  }
  longest_ns = object_timers_.next_delay(now_ns_, longest_ns);
  return link_timers_.next_delay(now_ns_, longest_ns);
}

bool Shard::turn(MonoNs longest_ns) {
  if (phase_ == Phase::stopped) return false;
  for (Hook* hook : hooks_) hook->before_wait();
  for (Hook* hook : hooks_) hook->before_enter();
  const MonoNs budget = sleep_budget(longest_ns);
  stay_awake_ = false;
  const int error = ring_->submit_and_wait(budget > 0 ? 1 : 0, budget);
  // Anything but a full completion queue (drained below) means that the ring itself is broken.
  RG_CHECK(error == 0 || error == -EBUSY || error == -EAGAIN);
  ++turns_;
  now_ns_ = sys_.mono_now();
  wall_us_ = sys_.wall_now();
  // What the batch arms counts from now, not from before the sleep.
  object_timers_.move_to(now_ns_);
  link_timers_.move_to(now_ns_);
  handle_batch();
  fire_timers();
  step_phase();
  return phase_ != Phase::stopped;
}

void Shard::step_phase() {
  const auto all = [this](bool (Hook::*says)() const) {
    return std::ranges::all_of(hooks_, [says](const Hook* hook) { return (hook->*says)(); });
  };
  if (phase_ == Phase::running && drain_requested_.load(std::memory_order_acquire)) {
    phase_ = Phase::draining;
    for (Hook* hook : hooks_) hook->start_drain();
  }
  const bool late = now_ns_ >= drain_deadline_ns_.load(std::memory_order_relaxed);
  const bool drained = phase_ == Phase::draining && (late || all(&Hook::drained));
  const bool told = phase_ <= Phase::draining && stop_requested_.load(std::memory_order_acquire);
  if (drained || told) {
    phase_ = Phase::stopping;
    for (Hook* hook : hooks_) hook->start_stop();
  }
  if (phase_ == Phase::stopping && all(&Hook::stopped)) phase_ = Phase::stopped;
}

void Shard::run() {
  while (turn(limits::idle_turn_ms * ns_per_ms)) {
  }
}

}  // namespace ringgate::shard
