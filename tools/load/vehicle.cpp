#include "tools/load/vehicle.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace ringgate::load {
namespace {

struct City {
  double latitude, longitude;
  double grid_deg;  // how far its streets are turned from north
  std::uint16_t altitude_m;
};
constexpr City cities[] = {
    {31.2304, 121.4737, 12, 4},    // Shanghai
    {39.9042, 116.4074, 0, 44},    // Beijing
    {23.1291, 113.2644, 8, 21},    // Guangzhou
    {30.5728, 104.0668, 30, 500},  // Chengdu
    {34.3416, 108.9398, 0, 405},   // Xi'an
    {22.5431, 114.0579, 15, 15},   // Shenzhen
};
constexpr double metres_per_degree = 111'320;
constexpr double block_m = 400;
constexpr double city_radius_m = 8'000;
constexpr double acceleration_ms2 = 1.6;
constexpr double corner_speed_ms = 5;
constexpr double step_s_max = 1;     // finer than any turn of the road
constexpr double catch_up_s_max = 300;
constexpr double tank_l = 70;
constexpr double litres_per_metre = 9.5 / 100'000;

}  // namespace

Vehicle::Vehicle(std::uint64_t number)
    : chance_(number * 0x9e3779b97f4a7c15 + 0x2545f4914f6cdd1d), odometer_m_(0), fuel_l_(0),
      heading_deg_(0), city_(0) {
  city_ = static_cast<std::uint8_t>(random(std::size(cities)));
  const auto corner = [this] { return (static_cast<double>(random(20)) - 10) * block_m; };
  north_m_ = corner();
  east_m_ = corner();
  heading_deg_ = static_cast<std::uint16_t>(random(4) * 90);
  odometer_m_ = 1'000.0 * random(250'000);
  fuel_l_ = 10 + random(60);
  speed_ms_ = random(12);
  to_corner_m_ = 1 + random(400);
}

std::uint32_t Vehicle::random(std::uint32_t below) {  // xorshift64*
  chance_ ^= chance_ >> 12;
  chance_ ^= chance_ << 25;
  chance_ ^= chance_ >> 27;
  return static_cast<std::uint32_t>((chance_ * 0x2545f4914f6cdd1d) >> 33) % below;
}

void Vehicle::reach_corner() {
  if (turning_) {
    heading_deg_ = static_cast<std::uint16_t>((heading_deg_ + (random(2) ? 90 : 270)) % 360);
  }
  // Whoever has left the city turns back towards its centre.
  if (heading_deg_ == 0 && north_m_ > city_radius_m) heading_deg_ = 180;
  if (heading_deg_ == 180 && north_m_ < -city_radius_m) heading_deg_ = 0;
  if (heading_deg_ == 90 && east_m_ > city_radius_m) heading_deg_ = 270;
  if (heading_deg_ == 270 && east_m_ < -city_radius_m) heading_deg_ = 90;
  to_corner_m_ += block_m;
  turning_ = random(10) < 3;
  limit_ms_ = random(4) == 0 ? 22.2 : 13.9;  // 80 or 50 km/h
  if (random(100) < 2) {
    doing_ = Doing::parked;
    wait_s_ = 60 + random(600);
  } else if (random(10) < 3) {
    doing_ = Doing::waiting;
    wait_s_ = 5 + random(40);
  }
  if (doing_ != Doing::driving) speed_ms_ = 0;
}

void Vehicle::step(double seconds) {
  if (doing_ != Doing::driving) {
    wait_s_ -= seconds;
    if (wait_s_ <= 0) doing_ = Doing::driving;
    return;
  }
  // Fast enough for the street, slow enough to take the next corner.
  const double left_m = std::max(0.0, to_corner_m_);
  const double braking_ms =
      std::sqrt(corner_speed_ms * corner_speed_ms + 2 * acceleration_ms2 * left_m);
  const double wanted_ms = turning_ ? std::min(limit_ms_, braking_ms) : limit_ms_;
  const double change_ms = acceleration_ms2 * seconds;
  const double slowest_ms = std::max(0.0, speed_ms_ - 2 * change_ms);
  speed_ms_ = std::clamp(wanted_ms, slowest_ms, speed_ms_ + change_ms);
  const double way_m = speed_ms_ * seconds;
  const double heading = heading_deg_ * std::numbers::pi / 180;
  north_m_ += way_m * std::cos(heading);
  east_m_ += way_m * std::sin(heading);
  odometer_m_ += way_m;
  fuel_l_ -= way_m * litres_per_metre;
  if (fuel_l_ < 5) fuel_l_ = tank_l;
  to_corner_m_ -= way_m;
  if (to_corner_m_ <= 0) reach_corner();
}

Position Vehicle::drive_to(MonoNs now) {
  if (now_ns_ < 0) now_ns_ = now;
  double seconds = static_cast<double>(now - now_ns_) / static_cast<double>(ns_per_s);
  seconds = std::clamp(seconds, 0.0, catch_up_s_max);
  now_ns_ = now;
  for (; seconds > 0; seconds -= step_s_max) step(std::min(seconds, step_s_max));

  const City& city = cities[city_];
  const double turn = city.grid_deg * std::numbers::pi / 180;
  const double north = north_m_ * std::cos(turn) - east_m_ * std::sin(turn);
  const double east = north_m_ * std::sin(turn) + east_m_ * std::cos(turn);
  const double latitude = city.latitude + north / metres_per_degree;
  const double shrink = std::cos(city.latitude * std::numbers::pi / 180);  // of a degree east
  const double longitude = city.longitude + east / (metres_per_degree * shrink);
  const bool moving = speed_ms_ > 0.5;

  Position position;
  position.status = (doing_ == Doing::parked ? 0U : 1U) | 2U | 1U << 18;  // ACC, fixed, by GPS
  if (doing_ == Doing::parked) position.status |= 1U << 12;               // doors locked
  position.latitude_udeg = static_cast<std::uint32_t>(latitude * 1e6);
  position.longitude_udeg = static_cast<std::uint32_t>(longitude * 1e6);
  position.altitude_m = city.altitude_m;
  position.speed_dkmh = static_cast<std::uint16_t>(speed_ms_ * 36);
  position.heading_deg =
      static_cast<std::uint16_t>((heading_deg_ + static_cast<unsigned>(city.grid_deg)) % 360);
  position.odometer_hm = static_cast<std::uint32_t>(odometer_m_ / 100);
  position.fuel_dl = static_cast<std::uint16_t>(fuel_l_ * 10);
  position.signals = turning_ && moving ? 4U : doing_ == Doing::waiting ? 1U << 4 : 0U;
  if (limit_ms_ < 20 && speed_ms_ > 16.7) position.alarm |= 2;  // over 60 where 50 is allowed
  position.signal_strength = static_cast<std::uint8_t>(22 + random(9));
  position.satellites = static_cast<std::uint8_t>(9 + random(8));
  return position;
}

}  // namespace ringgate::load
