#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include "tools/load/vehicle.hpp"

using namespace ringgate;
using load::Position;
using load::Vehicle;

TEST_CASE("a vehicle goes as far as its speed says, and its odometer agrees") {
  for (std::uint64_t number = 1; number <= 20; ++number) {
    Vehicle vehicle(number);
    Position before = vehicle.drive_to(0);
    double way_m = 0;
    const std::uint32_t start_hm = before.odometer_hm;
    for (int second = 1; second <= 1'800; ++second) {
      const Position now = vehicle.drive_to(second * ns_per_s);
      const double latitude = static_cast<double>(now.latitude_udeg) * 1e-6;
      const double north_m =
          (static_cast<double>(now.latitude_udeg) - before.latitude_udeg) * 0.11132;
      const double east_m = (static_cast<double>(now.longitude_udeg) - before.longitude_udeg) *
                            0.11132 * std::cos(latitude * std::numbers::pi / 180);
      const double step_m = std::hypot(north_m, east_m);
      REQUIRE(step_m < 25);  // 90 km/h
      way_m += step_m;
      REQUIRE(now.speed_dkmh <= 900);
      REQUIRE(now.heading_deg < 360);
      REQUIRE((now.status & 2) != 0);
      if ((now.status & 1) == 0) REQUIRE(now.speed_dkmh == 0);  // ignition off
      before = now;
    }
    CHECK(way_m > 500);
    CHECK((before.odometer_hm - start_hm) * 100.0 == doctest::Approx(way_m).epsilon(0.1));
  }
}

TEST_CASE("the same number drives the same way, another one elsewhere") {
  Vehicle a(7), b(7), c(8);
  Position pa{}, pb{}, pc{};
  for (int second = 0; second < 100; ++second) {
    pa = a.drive_to(second * ns_per_s);
    pb = b.drive_to(second * ns_per_s);
    pc = c.drive_to(second * ns_per_s);
  }
  CHECK(pa.latitude_udeg == pb.latitude_udeg);
  CHECK(pa.odometer_hm == pb.odometer_hm);
  CHECK((pa.latitude_udeg != pc.latitude_udeg || pa.longitude_udeg != pc.longitude_udeg));
}

TEST_CASE("vehicles stay in their cities") {
  for (std::uint64_t number = 1; number <= 5; ++number) {
    Vehicle vehicle(number);
    const Position start = vehicle.drive_to(0);
    Position now{};
    for (int minute = 1; minute <= 24 * 60; ++minute) {
      now = vehicle.drive_to(minute * 60 * ns_per_s);
    }
    CHECK(std::abs(static_cast<double>(now.latitude_udeg) - start.latitude_udeg) < 250'000);
    CHECK(std::abs(static_cast<double>(now.longitude_udeg) - start.longitude_udeg) < 300'000);
  }
}
