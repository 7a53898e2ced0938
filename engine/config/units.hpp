// Sizes and durations as people write them, both ways. Pure, any thread, cold paths.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/result.hpp"

namespace ringgate::config {

// "64MiB", "1500B", "4kB" to bytes. A whole number and a unit: B, KiB, MiB, GiB, TiB (powers of
// 1024), kB, MB, GB, TB (powers of 1000). Blanks between the two are fine. The error says what is
// wrong with the text, without repeating it.
Result<std::int64_t> parse_size(std::string_view text);

// "30s", "500ms", "1h30m" to nanoseconds. Whole numbers with units ns, us, ms, s, m, h, d, the
// larger unit first.
Result<std::int64_t> parse_duration(std::string_view text);

// The shortest exact text that parses back to the same figure: 67108864 -> "64MiB", 0 -> "0B".
std::string format_size(std::int64_t bytes);
// 90'000'000'000 -> "1m30s", 0 -> "0s".
std::string format_duration(std::int64_t duration_ns);

}  // namespace ringgate::config
