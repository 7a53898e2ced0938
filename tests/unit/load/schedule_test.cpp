#include <doctest/doctest.h>

#include <vector>

#include "tools/load/schedule.hpp"

using namespace ringgate;
using load::ConnectPace;
using load::OpenSchedule;

TEST_CASE("reports come due round robin, spread over the period, whatever happens meanwhile") {
  constexpr MonoNs start = 5'000'000;
  OpenSchedule schedule(start, 4, 10);  // 4 devices, 100 ms each: one every 25 ms
  for (std::uint32_t i = 0; i < 12; ++i) {
    CHECK(schedule.next_device() == i % 4);
    CHECK(schedule.next_due() == start + i * 25 * ns_per_ms);
    CHECK(schedule.next_due() == schedule.due(i % 4, i / 4));
    schedule.take();
  }
}

TEST_CASE("the rate holds over a long run: nothing adds up") {
  OpenSchedule schedule(0, 3, 7);
  const std::uint64_t hour = 3'600;
  CHECK(schedule.due(0, 7 * hour) == static_cast<MonoNs>(hour) * ns_per_s);
  MonoNs last = -1;
  for (int i = 0; i < 100'000; ++i) {
    REQUIRE(schedule.next_due() > last);
    last = schedule.next_due();
    schedule.take();
  }
}

TEST_CASE("connections are paced, or not at all") {
  const ConnectPace pace(1'000, 100);
  CHECK(pace.allowed(0) == 0);
  CHECK(pace.allowed(1'000) == 1);
  CHECK(pace.allowed(1'000 + ns_per_s / 2) == 51);
  CHECK(pace.due(50) == 1'000 + ns_per_s / 2);
  for (std::uint64_t i = 0; i < 1'000; ++i) REQUIRE(pace.allowed(pace.due(i) + ns_per_us) > i);
  const ConnectPace unlimited(1'000, 0);
  CHECK(unlimited.allowed(1'000) == UINT64_MAX);
  CHECK(unlimited.due(1'000'000) == 1'000);
}
