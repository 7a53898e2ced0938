#include "engine/base/gcj02.hpp"

#include <cmath>
#include <numbers>

namespace ringgate {

namespace {

constexpr double pi = std::numbers::pi;
// Of the ellipsoid of Krasovsky (1940).
constexpr double semi_major_m = 6378245.0;
constexpr double eccentricity_squared = 0.00669342162296594323;
// The polynomials count from here.
constexpr GeoPoint middle{35.0, 105.0};

// Waves that both offsets have.
double short_waves(double x) {
  return (20.0 * std::sin(6.0 * x * pi) + 20.0 * std::sin(2.0 * x * pi)) * 2.0 / 3.0;
}
double middle_waves(double v) {
  return (20.0 * std::sin(v * pi) + 40.0 * std::sin(v / 3.0 * pi)) * 2.0 / 3.0;
}

// Metres, more or less.
double north_offset(double x, double y) {
  return -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * std::sqrt(std::abs(x)) +
         short_waves(x) + middle_waves(y) +
         (160.0 * std::sin(y / 12.0 * pi) + 320.0 * std::sin(y * pi / 30.0)) * 2.0 / 3.0;
}
double east_offset(double x, double y) {
  return 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * std::sqrt(std::abs(x)) +
         short_waves(x) + middle_waves(x) +
         (150.0 * std::sin(x / 12.0 * pi) + 300.0 * std::sin(x / 30.0 * pi)) * 2.0 / 3.0;
}

}  // namespace

bool in_gcj02_area(const GeoPoint& wgs84) {
  return wgs84.longitude_deg >= 72.004 && wgs84.longitude_deg <= 137.8347 &&
         wgs84.latitude_deg >= 0.8293 && wgs84.latitude_deg <= 55.8271;
}

GeoPoint gcj02_of(const GeoPoint& wgs84) {
  if (!in_gcj02_area(wgs84)) return wgs84;
  const double x = wgs84.longitude_deg - middle.longitude_deg;
  const double y = wgs84.latitude_deg - middle.latitude_deg;
  const double latitude = wgs84.latitude_deg / 180.0 * pi;
  const double sine = std::sin(latitude);
  const double curve = 1.0 - eccentricity_squared * sine * sine;
  const double meridian_m =
      semi_major_m * (1.0 - eccentricity_squared) / (curve * std::sqrt(curve));
  const double parallel_m = semi_major_m / std::sqrt(curve) * std::cos(latitude);
  return {wgs84.latitude_deg + north_offset(x, y) * 180.0 / (meridian_m * pi),
          wgs84.longitude_deg + east_offset(x, y) * 180.0 / (parallel_m * pi)};
}

}  // namespace ringgate
