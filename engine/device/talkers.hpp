// Who sends most: a sample of a shard's frames, as many as fit the list in one to two minutes. At
// low rates every frame is in it; at high ones each stands for `weight` of them. A frame costs a
// decrement and a branch. Lives on the shard.
//
// A list of counters by device (space-saving) would cost a hash and cache misses a frame, and with
// more devices than counters that all send alike it tells nothing of one that sends fifty times as
// much as each; the sample does.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/base/clock.hpp"
#include "engine/device/device_table.hpp"

namespace ringgate::device {

struct Talk {
  MonoNs at_ns = 0;
  DeviceSlot device = no_device;
  std::uint32_t bytes = 0;
  std::uint32_t weight = 0;  // frames that it stands for; 0: unused
};

class Talkers {
 public:
  // The last minute has half of them to all, so a device with a hundredth of all frames is known
  // within 16 % (one part in sqrt(4096 / 100); the standard deviation). 192 KiB a shard.
  static constexpr std::uint32_t samples = 8192;
  static constexpr MonoNs window_ns = 60 * ns_per_s;

  void note(DeviceSlot device, std::size_t bytes, MonoNs now) {
    if (--left_ == 0) [[unlikely]] take(device, static_cast<std::uint32_t>(bytes), now);
  }

  // Those of the last minute, in no order.
  template <class Visit>
  void for_each(MonoNs now, Visit&& visit) const {
    for (std::uint32_t i = 0; i < samples; ++i) {
      const Talk& one = ring_[i];
      if (one.weight != 0 && now - one.at_ns <= window_ns) visit(one);
    }
  }
  // How long back the sample goes, at most the window. A list that was never full has all.
  MonoNs covered_ns(MonoNs now) const {
    const Talk& oldest = ring_[at_];
    const MonoNs age = now - oldest.at_ns;
    return oldest.weight == 0 || age > window_ns ? window_ns : age;
  }

 private:
  void take(DeviceSlot device, std::uint32_t bytes, MonoNs now) {
    ring_[at_] = {now, device, bytes, stride_};
    at_ = (at_ + 1) % samples;
    if (at_ == 0) adapt(now);
    // Fleets that report in step must not meet the same step of ours each time: any distance from 1
    // to 2 * stride - 1, so `stride` on average.
    random_ = random_ * 6'364'136'223'846'793'005ULL + 1'442'695'040'888'963'407ULL;
    const std::uint64_t most = 2 * std::uint64_t{stride_} - 1;
    left_ = 1 + static_cast<std::uint32_t>(((random_ >> 32) * most) >> 32);
  }
  // The list has gone round: it should take one window to two.
  void adapt(MonoNs now) {
    const MonoNs took = now - round_ns_;
    round_ns_ = now;
    constexpr std::uint32_t stride_max = 1U << 20;
    for (MonoNs span = took > 0 ? took : 1; span < window_ns && stride_ < stride_max; span *= 2) {
      stride_ *= 2;
    }
    for (MonoNs span = took; span > 2 * window_ns && stride_ > 1; span /= 2) stride_ /= 2;
  }

  std::unique_ptr<Talk[]> ring_ = std::make_unique<Talk[]>(samples);
  std::uint32_t left_ = 1;
  std::uint32_t stride_ = 1;
  std::uint32_t at_ = 0;
  std::uint64_t random_ = 1;
  MonoNs round_ns_ = 0;
};

}  // namespace ringgate::device
