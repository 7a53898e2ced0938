#include "tools/log/track_points.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "engine/base/gcj02.hpp"

namespace ringgate::log_tool {

namespace {

constexpr double earth_radius_km = 6371.0088;

// Keeps the first fix, each that is a step after the last kept one, and the last.
void thin_out(Leg& leg, WallUs step_us) {
  if (step_us <= 0 || leg.size() < 3) return;
  std::size_t kept = 1;
  for (std::size_t i = 1; i + 1 < leg.size(); ++i) {
    if (leg[i].device_time_us - leg[kept - 1].device_time_us >= step_us) leg[kept++] = leg[i];
  }
  leg[kept++] = leg.back();
  leg.resize(kept);
}

// Fixes of one time stand together, and may differ in place.
bool is_double(const Leg& leg, const Fix& fix) {
  for (auto other = leg.rbegin(); other != leg.rend(); ++other) {
    if (other->device_time_us != fix.device_time_us) return false;
    if (other->latitude_deg == fix.latitude_deg && other->longitude_deg == fix.longitude_deg) {
      return true;
    }
  }
  return false;
}

bool breaks(const Fix& before, const Fix& after, WallUs gap_us) {
  if (gap_us > 0 && after.device_time_us - before.device_time_us > gap_us) return true;
  return std::abs(after.longitude_deg - before.longitude_deg) > 180;
}

}  // namespace

Fix fix_of(const event::PositionRow& row, WallUs received_us) {
  return {.device_time_us = row.device_time_us,
          .received_us = received_us,
          .latitude_deg = row.latitude_deg,
          .longitude_deg = row.longitude_deg,
          .altitude_m = static_cast<float>(row.altitude_m),
          .speed_kmh = static_cast<float>(row.speed_kmh),
          .heading_deg = static_cast<float>(row.heading_deg),
          .odometer_km = row.odometer_km,
          .alarm_bits = row.alarm_bits,
          .status_bits = row.status_bits,
          .fixed = row.fixed,
          .late = row.late};
}

std::uint64_t Track::fixes() const {
  std::uint64_t count = 0;
  for (const Leg& leg : legs) count += leg.size();
  return count;
}

Track make_track(std::string device, std::vector<Fix> fixes, const TrackShape& shape) {
  Track track;
  track.device = std::move(device);
  std::sort(fixes.begin(), fixes.end(), [](const Fix& a, const Fix& b) {
    return std::pair(a.device_time_us, a.received_us) < std::pair(b.device_time_us, b.received_us);
  });
  for (const Fix& fix : fixes) {
    if (!track.legs.empty() && is_double(track.legs.back(), fix)) continue;
    if (track.legs.empty() || breaks(track.legs.back().back(), fix, shape.gap_us)) {
      track.legs.emplace_back();
    }
    track.legs.back().push_back(fix);
  }
  for (Leg& leg : track.legs) thin_out(leg, shape.step_us);
  return track;
}

void to_gcj02(Track& track) {
  for (Leg& leg : track.legs) {
    for (Fix& fix : leg) {
      const GeoPoint moved = gcj02_of({fix.latitude_deg, fix.longitude_deg});
      fix.latitude_deg = moved.latitude_deg;
      fix.longitude_deg = moved.longitude_deg;
    }
  }
}

double length_km(const Leg& leg) {
  constexpr double radians = std::numbers::pi / 180;
  double sum = 0;
  for (std::size_t i = 1; i < leg.size(); ++i) {
    const double north = (leg[i].latitude_deg - leg[i - 1].latitude_deg) * radians;
    const double east = (leg[i].longitude_deg - leg[i - 1].longitude_deg) * radians;
    const double half = std::pow(std::sin(north / 2), 2) +
                        std::cos(leg[i].latitude_deg * radians) *
                            std::cos(leg[i - 1].latitude_deg * radians) *
                            std::pow(std::sin(east / 2), 2);
    sum += 2 * earth_radius_km * std::asin(std::min(1.0, std::sqrt(half)));
  }
  return sum;
}

}  // namespace ringgate::log_tool
