// Time. The shard reads the clock once a turn and hands the values on; nothing below reads it
// itself.
#pragma once

#include <cstdint>

namespace ringgate {

// Monotonic time in nanoseconds; only differences mean anything.
using MonoNs = std::int64_t;
// Wall-clock time in microseconds since 1970-01-01T00:00:00Z.
using WallUs = std::int64_t;

constexpr std::int64_t ns_per_us = 1'000;
constexpr std::int64_t ns_per_ms = 1'000'000;
constexpr std::int64_t ns_per_s = 1'000'000'000;
constexpr std::int64_t us_per_s = 1'000'000;

}  // namespace ringgate
