// Simulated vehicles for demonstrations: each drives a street grid around one of a few cities,
// obeys a speed limit, slows down for corners, waits at lights and parks now and then with the
// ignition off. Pure: the caller brings the time. One thread.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/base/clock.hpp"
#include "tools/load/frames.hpp"

namespace ringgate::load {

class Vehicle {
 public:
  // The same number gives the same vehicle.
  explicit Vehicle(std::uint64_t number);

  // Drives on to `now` (monotonic; the first call sets the start) and says where it is.
  Position drive_to(MonoNs now);

 private:
  enum class Doing : std::uint8_t { driving, waiting, parked };

  std::uint32_t random(std::uint32_t below);
  void step(double seconds);
  void reach_corner();

  std::uint64_t chance_;
  MonoNs now_ns_ = -1;
  double north_m_ = 0;  // from the city's centre
  double east_m_ = 0;
  double speed_ms_ = 0;
  double limit_ms_ = 14;
  double to_corner_m_ = 0;
  double wait_s_ = 0;
  double odometer_m_;
  double fuel_l_;
  std::uint16_t heading_deg_;  // before the city's grid is turned
  std::uint8_t city_;
  Doing doing_ = Doing::driving;
  bool turning_ = false;
};

}  // namespace ringgate::load
