// When reports are due in the open model: device i of n sends its j-th report at
// start + (j + i / n) * period, whatever the server does. So due reports come round robin and the
// schedule is one counter. Pure; times in monotonic nanoseconds.
#pragma once

#include <cstdint>

#include "engine/base/clock.hpp"

namespace ringgate::load {

class OpenSchedule {
 public:
  OpenSchedule() = default;
  // `rate_per_device` reports per second, above 0; `devices` above 0.
  OpenSchedule(MonoNs start, std::uint32_t devices, double rate_per_device)
      : start_(start), devices_(devices),
        period_ns_(static_cast<double>(ns_per_s) / rate_per_device) {}

  // The next report that has not been taken.
  MonoNs next_due() const { return due(device_, tick_); }
  std::uint32_t next_device() const { return device_; }
  void take() {
    if (++device_ == devices_) {
      device_ = 0;
      ++tick_;
    }
  }
  // When device `device` means to send its report number `tick` (from 0).
  MonoNs due(std::uint32_t device, std::uint64_t tick) const {
    const double periods = static_cast<double>(tick) + static_cast<double>(device) / devices_;
    return start_ + static_cast<MonoNs>(periods * period_ns_);
  }

 private:
  MonoNs start_ = 0;
  std::uint32_t devices_ = 1;
  double period_ns_ = 1;
  std::uint32_t device_ = 0;
  std::uint64_t tick_ = 0;
};

// New connections at a steady rate; rate 0: as fast as they are taken.
class ConnectPace {
 public:
  ConnectPace(MonoNs start, double per_second) : start_(start), per_second_(per_second) {}
  // How many may have been started by `now`, all in all.
  std::uint64_t allowed(MonoNs now) const {
    if (per_second_ <= 0) return UINT64_MAX;
    const double seconds = static_cast<double>(now - start_) / static_cast<double>(ns_per_s);
    return seconds < 0 ? 0 : static_cast<std::uint64_t>(seconds * per_second_) + 1;
  }
  // When the connection number `count` (from 0) may start.
  MonoNs due(std::uint64_t count) const {
    if (per_second_ <= 0) return start_;
    return start_ + static_cast<MonoNs>(static_cast<double>(count) / per_second_ *
                                        static_cast<double>(ns_per_s));
  }

 private:
  MonoNs start_;
  double per_second_;
};

}  // namespace ringgate::load
