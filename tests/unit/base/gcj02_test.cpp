// GCJ-02 against points that other implementations of the transformation give.
#include "engine/base/gcj02.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <initializer_list>
#include <limits>

using namespace ringgate;

TEST_CASE("known points in China come out where everybody has them") {
  struct Known {
    GeoPoint wgs84;
    GeoPoint gcj02;
  };
  // Shanghai, Shenzhen and Beijing: the test vectors of the library eviltransform. 1e-6 degrees are
  // a tenth of a metre.
  constexpr Known known[] = {
      {{31.1774276, 121.5272106}, {31.17530398364597, 121.531541859215}},
      {{22.543847, 113.912316}, {22.540796131694766, 113.9171764808363}},
      {{39.911954, 116.377817}, {39.91334545536069, 116.38404722455657}},
  };
  for (const auto& [wgs84, gcj02] : known) {
    const GeoPoint got = gcj02_of(wgs84);
    CHECK(std::abs(got.latitude_deg - gcj02.latitude_deg) < 1e-6);
    CHECK(std::abs(got.longitude_deg - gcj02.longitude_deg) < 1e-6);
  }
}

TEST_CASE("elsewhere nothing moves; in China everything does, a little, and neighbours alike") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const GeoPoint& point : {GeoPoint{48.8566, 2.3522}, GeoPoint{-33.87, 151.21},
                                GeoPoint{35.68, 139.69}, GeoPoint{0, 0}, GeoPoint{56, 105},
                                GeoPoint{39.9, -116.4}}) {
    CHECK_FALSE(in_gcj02_area(point));
    CHECK(gcj02_of(point).latitude_deg == point.latitude_deg);
    CHECK(gcj02_of(point).longitude_deg == point.longitude_deg);
  }
  CHECK_FALSE(in_gcj02_area({nan, nan}));
  CHECK(std::isnan(gcj02_of({nan, nan}).latitude_deg));
  for (double latitude = 18; latitude < 54; latitude += 0.7) {
    for (double longitude = 73; longitude < 135; longitude += 0.9) {
      const GeoPoint one = gcj02_of({latitude, longitude});
      const double north_m = (one.latitude_deg - latitude) * 111'000;
      const double east_m =
          (one.longitude_deg - longitude) * 111'000 * std::cos(latitude / 57.29578);
      const double moved_m = std::hypot(north_m, east_m);
      CHECK(moved_m > 20);
      CHECK(moved_m < 1200);
      const GeoPoint near = gcj02_of({latitude + 1e-5, longitude + 1e-5});
      CHECK(std::abs(near.latitude_deg - one.latitude_deg - 1e-5) < 1e-6);
      CHECK(std::abs(near.longitude_deg - one.longitude_deg - 1e-5) < 1e-6);
    }
  }
}
