// Time-outs in O(1): a hierarchical wheel, four levels of 256 slots, one tick is 16 ms, so it
// reaches 2^32 ticks (2 years). Timers are intrusive: a node lives in the object that it times.
//
// Lives on one shard. A node must be cancelled before its object goes.
#pragma once

#include <array>
#include <cstdint>

#include "engine/base/clock.hpp"

namespace ringgate::shard {

struct TimerNode {
  TimerNode* next = nullptr;  // null: not armed
  TimerNode* previous = nullptr;
  std::uint32_t deadline_tick = 0;
  bool armed() const { return next != nullptr; }
};

class TimerWheel {
 public:
  static constexpr MonoNs tick_ns = 16 * ns_per_ms;

  explicit TimerWheel(MonoNs now);

  // Fires not before `delay_ns` from the wheel's present (see move_to) and at most two ticks later.
  // Re-arms an armed node.
  void arm(TimerNode& node, MonoNs delay_ns);
  void cancel(TimerNode& node);

  // The wheel's present, before anything is armed relative to it; what is due waits for advance().
  void move_to(MonoNs now) { collect(now); }

  // Moves to `now` and calls fire(TimerNode&) for at most `limit` due nodes, each disarmed first;
  // fire may arm or cancel any node. Returns the number fired; what is left fires on the next call.
  template <class Fire>
  std::uint32_t advance(MonoNs now, std::uint32_t limit, Fire&& fire) {
    collect(now);
    std::uint32_t fired = 0;
    while (fired < limit && due_.next != &due_) {
      TimerNode& node = *due_.next;
      cancel(node);
      ++fired;
      fire(node);
    }
    return fired;
  }

  // How long the shard may sleep without being late for a timer: 0 if one is due, at most
  // `longest`.
  MonoNs next_delay(MonoNs now, MonoNs longest) const;
  std::uint32_t armed_count() const { return armed_; }
  // Nodes put into a slot so far: when armed, and at most three times on their way to the due list.
  std::uint64_t placed_count() const { return placed_; }

 private:
  static constexpr std::uint32_t levels = 4;
  static constexpr std::uint32_t slots = 256;

  void collect(MonoNs now);
  void cascade(std::uint32_t level);
  void place(TimerNode& node);
  static void link_before(TimerNode& head, TimerNode& node);
  static void unlink(TimerNode& node);
  std::uint32_t tick_at(MonoNs now) const;

  std::array<std::array<TimerNode, slots>, levels> wheel_;
  // Hint: level-0 slots that are not empty.
  std::array<std::array<std::uint64_t, slots / 64>, levels> used_{};
  TimerNode due_;
  MonoNs origin_ns_;
  std::uint32_t now_tick_ = 0;
  std::uint32_t armed_ = 0;
  std::uint64_t placed_ = 0;
};

}  // namespace ringgate::shard
