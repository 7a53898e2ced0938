// Times and durations as the tool reads and prints them, and what the options choose.
#include <doctest/doctest.h>

#include "tools/log/common.hpp"
#include "tools/log/selecting.hpp"

using namespace ringgate;
using namespace ringgate::log_tool;

TEST_CASE("times are read as they are printed, with zones, as seconds and as ages") {
  constexpr WallUs now = 1'795'212'000 * us_per_s;
  CHECK(time_text(now) == "2026-11-20T22:00:00.000Z");
  for (const char* text : {"2026-11-20T22:00:00Z", "2026-11-20 22:00", "2026-11-21T06:00:00+08:00",
                           "1795212000", "-0s"}) {
    CAPTURE(text);
    const auto time = parse_time(text, now);
    REQUIRE(time.ok());
    CHECK(*time == now);
  }
  CHECK(*parse_time("-15m", now) == now - 900 * us_per_s);
  CHECK(*parse_time("2026-11-20T22:00:00.123456Z", now) == now + 123'456);
  for (const char* text : {"", "noon", "2026-11", "-15x", "2026-11-20T25", "-"}) {
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

TEST_CASE("options become a selection") {
  SelectOptions options;
  options.devices = {"013800138000", "truck-1"};
  options.message_ids = {"0x0200", "260"};
  options.from = "100";
  options.area = "31.4,121.2,31.1,121.6";
  options.no_duplicates = true;
  const auto selection = to_selection(options, 0);
  REQUIRE(selection.ok());
  REQUIRE(selection->devices.size() == 3);
  CHECK(selection->devices[0] == DeviceKey(Namespace::json, "013800138000"));
  CHECK(selection->devices[1] == DeviceKey(Namespace::phone, "13800138000"));
  CHECK(selection->devices[2] == DeviceKey(Namespace::json, "truck-1"));
  CHECK(selection->messages == std::vector<std::uint16_t>{0x200, 0x104});
  // A session has a message of 0 by chance only.
  CHECK((selection->kinds >> static_cast<unsigned>(log::Kind::session) & 1) == 0);
  CHECK(selection->received_from_us == 100 * us_per_s);
  CHECK(selection->received_to_us == log::no_time_after);
  CHECK(selection->area->south_deg == doctest::Approx(31.1));
  CHECK_FALSE(selection->duplicates);
  CHECK(selection->parts);

  SelectOptions zeros;
  zeros.devices = {"000"};
  CHECK(to_selection(zeros, 0)->devices[1] == DeviceKey(Namespace::phone, "0"));
}
