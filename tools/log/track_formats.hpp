// Tracks as files that other programs read. Pure: appends to a string; any thread.
#pragma once

#include <span>
#include <string>

#include "tools/log/track_points.hpp"

namespace ringgate::log_tool {

// RFC 7946: a FeatureCollection with a LineString for each leg (its times in `coordTimes`, as
// common viewers read them), a Point for a leg of one fix, and with `points` a Point for each fix.
void write_geojson(std::span<const Track> tracks, bool points, std::string& out);
// GPX 1.1: a trk for each device, a trkseg for each leg. Speed and heading have no place in GPX and
// are extensions of our own.
void write_gpx(std::span<const Track> tracks, std::string& out);
// RFC 4180, one row a fix; units in the header; an empty cell is a value that was not said.
void write_csv(std::span<const Track> tracks, std::string& out);
// One object with the tracks, their legs and all that is known of each fix.
void write_json(std::span<const Track> tracks, std::string& out);

}  // namespace ringgate::log_tool
