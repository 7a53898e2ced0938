// Times and durations as people write them and as they are shown.
#include "engine/base/time_text.hpp"

#include <doctest/doctest.h>

using namespace ringgate;

TEST_CASE("times are read as they are printed, with zones, as seconds and as ages") {
  constexpr WallUs now = 1'795'212'000 * us_per_s;
  CHECK(time_text(now) == "2026-11-20T22:00:00.000Z");
  for (const char* text : {"2026-11-20T22:00:00Z", "2026-11-20 22:00", "2026-11-21T06:00:00+08:00",
                           "2026-11-20T16:30:00-0530", "1795212000", "1795212000.0", "-0s"}) {
    CAPTURE(text);
    const auto time = parse_time(text, now);
    REQUIRE(time.ok());
    CHECK(*time == now);
  }
  CHECK(*parse_time("-15m", now) == now - 900 * us_per_s);
  CHECK(*parse_time("2026-11-20T22:00:00.123456Z", now) == now + 123'456);
  CHECK(*parse_time("1795212000.25", now) == now + 250'000);
  CHECK(*parse_time("-1d", now) == now - 86'400 * us_per_s);
  CHECK(*parse_time("1969-12-31", now) == -86'400 * us_per_s);
  CHECK(time_text(-1) == "1969-12-31T23:59:59.999Z");
  CHECK(*parse_time("2024-02-29", now) == 1'709'164'800 * us_per_s);
  for (const char* text : {"", "noon", "2026-11", "-15x", "2026-11-20T25", "-", "2026-02-29",
                           "2026-13-01", "2026-11-20T24:00:00Z", "-99999999999999d", "-h", "1e9",
                           "1795212000.", "1795212000.5x", "-1h -1h", "2026-11-20T22:00:00+0"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_time(text, now).ok());
  }
}

TEST_CASE("durations") {
  CHECK(*parse_seconds("30") == 30);
  CHECK(*parse_seconds("30s") == 30);
  CHECK(*parse_seconds("5m") == 300);
  CHECK(*parse_seconds("2h") == 7200);
  for (const char* text : {"", "-1s", "5y", "m", "99999999999999999999"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_seconds(text).ok());
  }
  CHECK(duration_text(12.3) == "12 s");
  CHECK(duration_text(185) == "3 min 05 s");
  CHECK(duration_text(7800) == "2 h 10 min");
}
