// A device's track as an answer in pieces: positions in the order of the device's clock, late ones
// where they belong, in memory that does not grow with the track. A query (query_pool.hpp).
#pragma once

#include <memory>
#include <string>

#include "engine/base/ids.hpp"
#include "protocols/api/query_pool.hpp"
#include "storage/query/track.hpp"

namespace ringgate::api {

enum class TrackFormat : std::uint8_t { json, geojson, gpx, csv };
inline constexpr std::string_view track_formats[] = {"json", "geojson", "gpx", "csv"};
inline constexpr std::string_view track_types[] = {
    "application/json", "application/geo+json", "application/gpx+xml", "text/csv"};

struct TrackAsked {
  DeviceKey device;
  WallUs from_us = 0;
  WallUs to_us = 0;
  query::TrackShape shape;
  TrackFormat format = TrackFormat::json;
  bool gcj02 = false;
  bool unfixed = false;  // positions without a satellite fix too
};

// Makes the text of a track as fixes are told. One thread.
class TrackWriter : public query::TrackListener {
 public:
  // `out` is where the text goes, whenever it is called.
  static std::unique_ptr<TrackWriter> make(const TrackAsked& asked, std::string& out);
  virtual void begin() = 0;
  virtual void end() = 0;
};

// Fixes of a window; twice as many are held while it is read: 0.6 MiB.
constexpr std::size_t track_fixes_held = 4096;

std::unique_ptr<Query> make_track_query(const TrackAsked& asked);

}  // namespace ringgate::api
