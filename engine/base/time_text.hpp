// Times and durations as people write them on a command line, and as they are shown to them. Pure;
// any thread. Allocates.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/clock.hpp"
#include "engine/base/result.hpp"

namespace ringgate {

// "2026-11-20T22:00:00.123Z"
std::string time_text(WallUs time_us);
// A date, a time (UTC unless it says otherwise), seconds since 1970 or an age: 2026-11-20,
// 2026-11-20T22:00:00, ...Z, ...+08:00, 1795212000, 1795212000.5, -90s, -15m, -2h, -1d.
Result<WallUs> parse_time(std::string_view text, WallUs now_us);
// "30", "30s", "5m", "2h", "1d": seconds.
Result<std::int64_t> parse_seconds(std::string_view text);
// "12 s", "3 min 05 s", "2 h 10 min"
std::string duration_text(double seconds);

}  // namespace ringgate
