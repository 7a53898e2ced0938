#include "engine/shard/timer_wheel.hpp"

#include "engine/base/check.hpp"

namespace ringgate::shard {

TimerWheel::TimerWheel(MonoNs now) : origin_ns_(now) {
  for (auto& level : wheel_) {
    for (TimerNode& head : level) head.next = head.previous = &head;
  }
  due_.next = due_.previous = &due_;
}

std::uint32_t TimerWheel::tick_at(MonoNs now) const {
  return static_cast<std::uint32_t>((now - origin_ns_) / tick_ns);
}

void TimerWheel::link_before(TimerNode& head, TimerNode& node) {
  node.next = &head;
  node.previous = head.previous;
  head.previous->next = &node;
  head.previous = &node;
}

void TimerWheel::unlink(TimerNode& node) {
  node.previous->next = node.next;
  node.next->previous = node.previous;
  node.next = node.previous = nullptr;
}

// The level is where the deadline first differs from now; its slot there is the deadline's digit.
void TimerWheel::place(TimerNode& node) {
  const std::uint32_t differs = node.deadline_tick ^ now_tick_;
  std::uint32_t level = 0;
  while (level + 1 < levels && (differs >> (8 * (level + 1))) != 0) ++level;
  const std::uint32_t slot = (node.deadline_tick >> (8 * level)) & (slots - 1);
  ++placed_;
  link_before(wheel_[level][slot], node);
  used_[level][slot / 64] |= std::uint64_t{1} << (slot % 64);
}

void TimerWheel::arm(TimerNode& node, MonoNs delay_ns) {
  if (node.armed()) cancel(node);
  // One tick more than the delay's ticks: the present tick is partly over.
  const MonoNs ticks = delay_ns <= 0 ? 1 : (delay_ns + tick_ns - 1) / tick_ns + 1;
  RG_CHECK(ticks < (MonoNs{1} << 31));
  node.deadline_tick = now_tick_ + static_cast<std::uint32_t>(ticks);
  place(node);
  ++armed_;
}

void TimerWheel::cancel(TimerNode& node) {
  if (!node.armed()) return;
  unlink(node);
  --armed_;
}

void TimerWheel::cascade(std::uint32_t level) {
  const std::uint32_t slot = (now_tick_ >> (8 * level)) & (slots - 1);
  TimerNode& head = wheel_[level][slot];
  used_[level][slot / 64] &= ~(std::uint64_t{1} << (slot % 64));
  while (head.next != &head) {
    TimerNode& node = *head.next;
    unlink(node);
    place(node);
  }
}

void TimerWheel::collect(MonoNs now) {
  const std::uint32_t target = tick_at(now);
  while (static_cast<std::int32_t>(target - now_tick_) > 0) {
    if (armed_ == 0) {
      now_tick_ = target;
      return;
    }
    ++now_tick_;
    for (std::uint32_t level = 1; level < levels; ++level) {
      if ((now_tick_ & ((1U << (8 * level)) - 1)) != 0) break;
      cascade(level);
    }
    const std::uint32_t slot = now_tick_ & (slots - 1);
    TimerNode& head = wheel_[0][slot];
    used_[0][slot / 64] &= ~(std::uint64_t{1} << (slot % 64));
    while (head.next != &head) {
      TimerNode& node = *head.next;
      unlink(node);
      link_before(due_, node);
    }
  }
}

MonoNs TimerWheel::next_delay(MonoNs now, MonoNs longest) const {
  if (due_.next != &due_) return 0;
  if (armed_ == 0) return longest;
  // The nearest possibly used slot of level 0; beyond the present 256 ticks the wheel turns anyway.
  const std::uint32_t here = now_tick_ & (slots - 1);
  std::uint32_t ticks = slots - here;
  for (std::uint32_t slot = here + 1; slot < slots; ++slot) {
    const std::uint64_t rest = used_[0][slot / 64] >> (slot % 64);
    if (rest == 0) {
      slot |= 63;
      continue;
    }
    ticks = slot + static_cast<std::uint32_t>(__builtin_ctzll(rest)) - here;
    break;
  }
  // The wheel may be behind `now`; ticks wrap after two years, so only their difference counts.
  const MonoNs behind = static_cast<MonoNs>(tick_at(now) - now_tick_) * tick_ns +
                        (now - origin_ns_) % tick_ns;
  const MonoNs delay = static_cast<MonoNs>(ticks) * tick_ns - behind;
  if (delay <= 0) return 0;
  return delay < longest ? delay : longest;
}

}  // namespace ringgate::shard
