#include "storage/query/track.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "engine/base/gcj02.hpp"

namespace ringgate::query {

namespace {

constexpr double earth_radius_km = 6371.0088;
// Of fixes of one and the same time: a device that sends more of them has no clock, and its doubles
// stay.
constexpr std::size_t places_max = 1024;

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

double distance_km(const Fix& from, const Fix& to) {
  constexpr double radians = std::numbers::pi / 180;
  const double north = (to.latitude_deg - from.latitude_deg) * radians;
  const double east = (to.longitude_deg - from.longitude_deg) * radians;
  const double half = std::pow(std::sin(north / 2), 2) +
                      std::cos(to.latitude_deg * radians) * std::cos(from.latitude_deg * radians) *
                          std::pow(std::sin(east / 2), 2);
  return 2 * earth_radius_km * std::asin(std::min(1.0, std::sqrt(half)));
}

// ---- The maker ----

// Fixes of one time stand together, and may differ in place.
bool TrackMaker::is_double(const Fix& fix) {
  const std::pair place(fix.latitude_deg, fix.longitude_deg);
  if (!begun_ || fix.device_time_us != last_.device_time_us) {
    places_.clear();
  } else if (std::find(places_.begin(), places_.end(), place) != places_.end()) {
    return true;
  }
  if (places_.size() < places_max) places_.push_back(place);
  return false;
}

bool TrackMaker::is_step(const Fix& fix) const {
  if (shape_.step_us <= 0 && shape_.step_m <= 0) return true;
  if (shape_.step_us > 0 && time_of(fix) - time_of(kept_) >= shape_.step_us) return true;
  return shape_.step_m > 0 && distance_km(kept_, fix) * 1000 >= shape_.step_m;
}

void TrackMaker::end_stop() {
  if (still_ && still_until_us_ - time_of(*still_) >= shape_.stop_us) {
    out_.stop({time_of(*still_), still_until_us_, still_->latitude_deg, still_->longitude_deg});
  }
  still_.reset();
}

void TrackMaker::look_for_stop(const Fix& fix) {
  if (shape_.stop_us <= 0) return;
  if (still_ && distance_km(*still_, fix) * 1000 > shape_.stop_radius_m) end_stop();
  if (!still_) still_ = fix;
  still_until_us_ = time_of(fix);
}

void TrackMaker::end_leg() {
  if (!last_kept_) out_.fix(last_);
  out_.leg_ends();
  end_stop();
}

void TrackMaker::add(const Fix& fix) {
  if (is_double(fix)) return;
  const bool gap =
      begun_ && shape_.gap_us > 0 && time_of(fix) - time_of(last_) > shape_.gap_us;
  if (begun_ && (gap || std::abs(fix.longitude_deg - last_.longitude_deg) > 180)) {
    end_leg();
    if (gap) out_.gap({last_, fix});
    begun_ = false;
  }
  last_kept_ = !begun_ || is_step(fix);
  if (!begun_) out_.leg_begins();
  begun_ = true;
  last_ = fix;
  look_for_stop(fix);
  if (!last_kept_) return;
  kept_ = fix;
  out_.fix(fix);
}

void TrackMaker::end() {
  if (begun_) end_leg();
  begun_ = false;
}

// ---- At once ----

std::uint64_t Track::fixes() const {
  std::uint64_t count = 0;
  for (const Leg& leg : legs) count += leg.size();
  return count;
}

void sort_fixes(std::vector<Fix>& fixes, TrackOrder order) {
  std::stable_sort(fixes.begin(), fixes.end(), [order](const Fix& a, const Fix& b) {
    if (order == TrackOrder::received) return a.received_us < b.received_us;
    return std::pair(a.device_time_us, a.received_us) < std::pair(b.device_time_us, b.received_us);
  });
}

Track make_track(std::string device, std::vector<Fix> fixes, const TrackShape& shape) {
  class Legs final : public TrackListener {
   public:
    explicit Legs(std::vector<Leg>& legs) : legs_(legs) {}
    void leg_begins() override { legs_.emplace_back(); }
    void fix(const Fix& fix) override { legs_.back().push_back(fix); }
    void leg_ends() override {}

   private:
    std::vector<Leg>& legs_;
  };
  Track track;
  track.device = std::move(device);
  sort_fixes(fixes, shape.order);
  Legs legs(track.legs);
  TrackMaker maker(shape, legs);
  for (const Fix& fix : fixes) maker.add(fix);
  maker.end();
  return track;
}

void to_gcj02(Fix& fix) {
  const GeoPoint moved = gcj02_of({fix.latitude_deg, fix.longitude_deg});
  fix.latitude_deg = moved.latitude_deg;
  fix.longitude_deg = moved.longitude_deg;
}

void to_gcj02(Track& track) {
  for (Leg& leg : track.legs) {
    for (Fix& fix : leg) to_gcj02(fix);
  }
}

double length_km(std::span<const Fix> leg) {
  double sum = 0;
  for (std::size_t i = 1; i < leg.size(); ++i) sum += distance_km(leg[i - 1], leg[i]);
  return sum;
}

}  // namespace ringgate::query
