// When users do something in the open model, while their number and rate change: user i of n does
// it once in each period, at a place of its own in it, whatever the server does. A period lasts as
// long as the rate of that time makes it; a change of the rate moves only what is yet to come.
// Pure; times in monotonic nanoseconds. Memory: 4 bytes per user.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "engine/base/clock.hpp"

namespace ringgate::load {

class ElasticSchedule {
 public:
  ElasticSchedule() = default;
  // Nobody is there yet. `period_ns` at rate 1, above 0.
  ElasticSchedule(MonoNs start, std::uint32_t users_max, double period_ns)
      : order_(users_max), period_ns_(period_ns), anchor_ns_(start) {
    std::iota(order_.begin(), order_.end(), 0U);
    std::sort(order_.begin(), order_.end(),
              [](std::uint32_t a, std::uint32_t b) { return place_of(a) < place_of(b); });
  }

  // From `now` on. What was due by then has been taken, or is given up.
  void change(MonoNs now, std::uint32_t users, double rate) {
    const double place = place_at(now);
    anchor_ = place;
    anchor_ns_ = now;
    users_ = std::min(users, static_cast<std::uint32_t>(order_.size()));
    rate_ = rate;
    const auto cycle = static_cast<std::uint64_t>(place);
    if (cycle_ <= cycle) {  // else the cursor is ahead already
      const auto first = std::lower_bound(
          order_.begin(), order_.end(), place - static_cast<double>(cycle),
          [](std::uint32_t user, double at) { return place_of(user) < at; });
      const auto rank = static_cast<std::size_t>(first - order_.begin());
      rank_ = cycle_ == cycle ? std::max(rank_, rank) : rank;
      cycle_ = cycle;
    }
    skip_absent();
  }

  // INT64_MAX: nothing, as long as nothing changes.
  MonoNs next_due() const {
    if (users_ == 0 || rate_ <= 0) return INT64_MAX;
    const double ahead =
        static_cast<double>(cycle_) + place_of(order_[rank_]) - anchor_;
    return anchor_ns_ + static_cast<MonoNs>(std::max(0.0, ahead) * period_ns_ / rate_);
  }
  std::uint32_t next_user() const { return order_[rank_]; }
  void take() {
    ++rank_;
    skip_absent();
  }

 private:
  // Multiples of the golden ratio: however many users there are, they are spread evenly.
  static double place_of(std::uint32_t user) {
    const double turns = static_cast<double>(user) * 0.6180339887498949;
    return turns - std::floor(turns);
  }
  double place_at(MonoNs now) const {
    return anchor_ + static_cast<double>(now - anchor_ns_) * rate_ / period_ns_;
  }
  void skip_absent() {
    if (users_ == 0) return;
    while (true) {
      for (; rank_ < order_.size(); ++rank_) {
        if (order_[rank_] < users_) return;
      }
      rank_ = 0;
      ++cycle_;
    }
  }

  std::vector<std::uint32_t> order_;  // users by their place in the period
  double period_ns_ = 1;
  double rate_ = 0;
  std::uint32_t users_ = 0;
  MonoNs anchor_ns_ = 0;   // when the last change was
  double anchor_ = 0;      // in periods since the start: where that was
  std::uint64_t cycle_ = 0;  // the next one's
  std::size_t rank_ = 0;
};

}  // namespace ringgate::load
