// Which users of a crowd are to connect, and when: those that an aim has added, spread over the
// time until the next aim, and those that come back. Users 0 to risen() - 1 are wanted. Pure; one
// thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <queue>
#include <utility>
#include <vector>

#include "engine/base/clock.hpp"

namespace ringgate::load {

class Comers {
 public:
  explicit Comers(std::uint32_t users_max) : users_max_(users_max) {}

  std::uint32_t wanted() const { return wanted_; }
  std::uint32_t risen() const { return risen_; }  // were told to come, and are still wanted

  // Those from `users` up are not wanted any more, at once; the others come.
  void want(MonoNs now, std::uint32_t users) {
    users = std::min(users, users_max_);
    if (users == wanted_) return;
    wanted_ = users;
    risen_ = std::min(risen_, wanted_);
    next_ns_ = now;
    gap_ns_ = wanted_ > risen_ ? aim_period_ns / (wanted_ - risen_) : 0;
  }
  void come_back(std::uint32_t user, MonoNs at) { back_.emplace(at, user); }

  // Who is to come now; nothing: nobody yet.
  std::optional<std::uint32_t> next(MonoNs now) {
    while (!back_.empty() && back_.top().first <= now) {
      const std::uint32_t user = back_.top().second;
      back_.pop();
      if (user < risen_) return user;
    }
    if (risen_ == wanted_ || next_ns_ > now) return {};
    next_ns_ += gap_ns_;
    return risen_++;
  }
  MonoNs next_due() const {
    MonoNs due = risen_ < wanted_ ? next_ns_ : INT64_MAX;
    if (!back_.empty()) due = std::min(due, back_.top().first);
    return due;
  }

  static constexpr MonoNs aim_period_ns = 100 * ns_per_ms;

 private:
  std::uint32_t users_max_;
  std::uint32_t wanted_ = 0;
  std::uint32_t risen_ = 0;
  MonoNs next_ns_ = 0;
  MonoNs gap_ns_ = 0;
  using Back = std::pair<MonoNs, std::uint32_t>;
  std::priority_queue<Back, std::vector<Back>, std::greater<>> back_;
};

}  // namespace ringgate::load
