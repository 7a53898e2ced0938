// Tracks as files that other programs read. Pure: appends to a string; any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "engine/base/json_writer.hpp"
#include "storage/query/track.hpp"

namespace ringgate::query {

// Piece by piece: what the whole files below are made of -----------------------------------------

// Millionths of a degree are 11 cm, and what devices send.
constexpr int degree_decimals = 6;

// The members that say all that is known of a fix but its place: time, received, speed_kmh, ...
void put_fix_members(JsonWriter& json, const Fix& fix);
// A LineString feature of at least two fixes, a Point feature.
void put_line_feature(JsonWriter& json, std::string_view device, std::span<const Fix> leg);
void put_point_feature(JsonWriter& json, std::string_view device, const Fix& fix);
// A GPX file up to its first trk, the beginning of a trk, a trkpt, and the ends of them all.
// `datum`: "" for WGS-84, which GPX means; else said in its metadata.
void put_gpx_begin(std::string_view datum, std::string& out);
void put_gpx_track(std::string_view device, std::string& out);
void put_gpx_fix(const Fix& fix, std::string& out);
inline constexpr std::string_view gpx_leg_begin = "    <trkseg>\n";
inline constexpr std::string_view gpx_leg_end = "    </trkseg>\n";
inline constexpr std::string_view gpx_track_end = "  </trk>\n";
inline constexpr std::string_view gpx_end = "</gpx>\n";
inline constexpr std::string_view csv_head =
    "device,leg,device_time,received,latitude_deg,longitude_deg,altitude_m,speed_kmh,"
    "heading_deg,odometer_km,alarm_bits,status_bits,fixed,late\r\n";
void put_csv_fix(std::string_view device, std::uint64_t leg, const Fix& fix, std::string& out);

// Whole files -------------------------------------------------------------------------------------

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

}  // namespace ringgate::query
