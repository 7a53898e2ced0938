// What the fleet's devices sent over UDP and nobody has answered yet: registrations, reports. Each
// is sent again after T(n+1) = T(n) * (n+1) (JT/T 808-2019 4.3.2). Pure; one thread.
#pragma once

#include <cstdint>
#include <queue>
#include <unordered_map>
#include <vector>

#include "engine/base/bytes.hpp"
#include "engine/base/clock.hpp"

namespace ringgate::load {

class Retransmission {
 public:
  struct Waiting {
    std::uint32_t device = 0;
    std::uint16_t serial = 0;
    std::uint32_t tries = 1;
    MonoNs wait_ns = 0;
    MonoNs due_ns = 0;
    std::vector<std::uint8_t> wire;
  };

  void sent(std::uint32_t device, std::uint16_t serial, Bytes wire, MonoNs now) {
    const std::uint64_t key = key_of(device, serial);
    waiting_[key] = {device, serial, 1, first_wait_ns, now + first_wait_ns,
                     {wire.begin(), wire.end()}};
    due_.emplace(now + first_wait_ns, key);
  }
  void answered(std::uint32_t device, std::uint16_t serial) {
    waiting_.erase(key_of(device, serial));
  }
  MonoNs next_due() const { return due_.empty() ? INT64_MAX : due_.top().first; }

  // What is to be sent again now, or null. When `tries` is above tries_max the device has no link
  // any more: forget it. Valid until the next call.
  const Waiting* overdue(MonoNs now) {
    while (!due_.empty() && due_.top().first <= now) {
      const auto [due_ns, key] = due_.top();
      due_.pop();
      const auto at = waiting_.find(key);
      if (at == waiting_.end() || at->second.due_ns != due_ns) continue;  // answered, or anew
      Waiting& one = at->second;
      ++one.tries;
      one.wait_ns *= one.tries;
      one.due_ns = now + one.wait_ns;
      due_.emplace(one.due_ns, key);
      return &one;
    }
    return nullptr;
  }
  // A device's link is over.
  void forget(std::uint32_t device) {
    std::erase_if(waiting_, [device](const auto& one) { return one.second.device == device; });
  }

  // The terminal's parameters 0x0004 and 0x0005 as they come from the factory.
  static constexpr MonoNs first_wait_ns = 2 * ns_per_s;
  static constexpr std::uint32_t tries_max = 5;

 private:
  static std::uint64_t key_of(std::uint32_t device, std::uint16_t serial) {
    return std::uint64_t{device} << 16 | serial;
  }

  std::unordered_map<std::uint64_t, Waiting> waiting_;
  using Due = std::pair<MonoNs, std::uint64_t>;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;
};

}  // namespace ringgate::load
