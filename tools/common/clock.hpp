// The clocks, for what has no shard and needs no simulated one.
#pragma once

#include <time.h>

#include "engine/base/clock.hpp"

namespace ringgate::tool {

inline MonoNs mono_now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return MonoNs{now.tv_sec} * ns_per_s + now.tv_nsec;
}

}  // namespace ringgate::tool
