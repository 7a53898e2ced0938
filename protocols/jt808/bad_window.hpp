// Counts bad frames of one link in a window that slides: eight slices, the present one and the
// seven before it. So it never counts what is older than the window, and forgets at most an
// eighth early.
// Trivially copyable: lives in a link's session bytes, where all zeros is empty.
#pragma once

#include <array>
#include <cstdint>

#include "engine/base/clock.hpp"

namespace ringgate::jt808 {

class BadWindow {
 public:
  // One more; how many there are now. `window_ns` > 0.
  std::uint32_t add(MonoNs now_ns, MonoNs window_ns) {
    const MonoNs slice_ns = window_ns / slices > 0 ? window_ns / slices : 1;
    const MonoNs slice = now_ns / slice_ns;
    // Slices in between were silent. Another window (a reload) makes another count of slices.
    if (slice - slice_ >= slices || slice < slice_) {
      counts_ = {};
    } else {
      for (MonoNs i = slice_ + 1; i <= slice; ++i) {
        counts_[static_cast<std::size_t>(i % slices)] = 0;
      }
    }
    slice_ = slice;
    std::uint32_t& present = counts_[static_cast<std::size_t>(slice % slices)];
    ++present;
    std::uint32_t sum = 0;
    for (const std::uint32_t count : counts_) sum += count;
    return sum;
  }

 private:
  static constexpr MonoNs slices = 8;
  MonoNs slice_;
  std::array<std::uint32_t, slices> counts_;
};

}  // namespace ringgate::jt808
