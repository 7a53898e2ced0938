#include "storage/query/track_formats.hpp"

#include <fmt/format.h>

#include <cmath>
#include <iterator>

#include "engine/base/csv_row.hpp"
#include "engine/base/time_text.hpp"

namespace ringgate::query {

namespace {

void number_if_said(JsonWriter& json, std::string_view name, double value, int decimals) {
  if (std::isfinite(value)) json.key(name).number(value, decimals);
}

// [longitude, latitude, altitude where it is known]: RFC 7946 3.1.1
void coordinates(JsonWriter& json, const Fix& fix) {
  json.begin_array();
  json.number(fix.longitude_deg, degree_decimals).number(fix.latitude_deg, degree_decimals);
  if (std::isfinite(fix.altitude_m)) json.number(fix.altitude_m, 0);
  json.end_array();
}

std::string xml_text(std::string_view text) {
  std::string out;
  for (const char letter : text) {
    switch (letter) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      default:
        // Most of these may not stand in XML at all.
        out += static_cast<unsigned char>(letter) < 0x20 ? '?' : letter;
    }
  }
  return out;
}

}  // namespace

void put_fix_members(JsonWriter& json, const Fix& fix) {
  json.key("time").text(time_text(fix.device_time_us));
  json.key("received").text(time_text(fix.received_us));
  number_if_said(json, "altitude_m", fix.altitude_m, 0);
  number_if_said(json, "speed_kmh", fix.speed_kmh, 1);
  number_if_said(json, "heading_deg", fix.heading_deg, 0);
  number_if_said(json, "odometer_km", fix.odometer_km, 1);
  json.key("alarm_bits").unsigned_integer(fix.alarm_bits);
  json.key("status_bits").unsigned_integer(fix.status_bits);
  json.key("fixed").boolean(fix.fixed);
  json.key("late").boolean(fix.late);
}

void put_point_feature(JsonWriter& json, std::string_view device, const Fix& fix) {
  json.begin_object().key("type").text("Feature");
  json.key("geometry").begin_object().key("type").text("Point").key("coordinates");
  coordinates(json, fix);
  json.end_object();
  json.key("properties").begin_object().key("device").text(device);
  put_fix_members(json, fix);
  json.end_object().end_object();
}

void put_line_feature(JsonWriter& json, std::string_view device, std::span<const Fix> leg) {
  json.begin_object().key("type").text("Feature");
  json.key("geometry").begin_object().key("type").text("LineString");
  json.key("coordinates").begin_array();
  for (const Fix& fix : leg) coordinates(json, fix);
  json.end_array().end_object();
  json.key("properties").begin_object().key("device").text(device);
  json.key("from").text(time_text(leg.front().device_time_us));
  json.key("to").text(time_text(leg.back().device_time_us));
  json.key("fixes").unsigned_integer(leg.size());
  json.key("length_km").number(length_km(leg), 3);
  json.key("coordTimes").begin_array();
  for (const Fix& fix : leg) json.text(time_text(fix.device_time_us));
  json.end_array().end_object().end_object();
}

void put_gpx_begin(std::string_view datum, std::string& out) {
  out +=
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<gpx version=\"1.1\" creator=\"ringgate\" xmlns=\"http://www.topografix.com/GPX/1/1\" "
      "xmlns:rg=\"urn:ringgate:track:1\">\n";
  if (datum.empty()) return;
  fmt::format_to(std::back_inserter(out), "  <metadata><desc>datum {}</desc></metadata>\n", datum);
}

void put_gpx_track(std::string_view device, std::string& out) {
  fmt::format_to(std::back_inserter(out), "  <trk>\n    <name>{}</name>\n", xml_text(device));
}

void put_gpx_fix(const Fix& fix, std::string& out) {
  auto to = std::back_inserter(out);
  // longitudeType leaves 180 itself out.
  const double longitude = fix.longitude_deg >= 180 ? fix.longitude_deg - 360 : fix.longitude_deg;
  fmt::format_to(to, "      <trkpt lat=\"{:.6f}\" lon=\"{:.6f}\">", fix.latitude_deg, longitude);
  if (std::isfinite(fix.altitude_m)) fmt::format_to(to, "<ele>{:.0f}</ele>", fix.altitude_m);
  fmt::format_to(to, "<time>{}</time>", time_text(fix.device_time_us));
  const bool speed = std::isfinite(fix.speed_kmh);
  const bool heading = std::isfinite(fix.heading_deg);
  if (speed || heading) {
    out += "<extensions>";
    if (speed) fmt::format_to(to, "<rg:speed_kmh>{:.1f}</rg:speed_kmh>", fix.speed_kmh);
    if (heading) fmt::format_to(to, "<rg:heading_deg>{:.0f}</rg:heading_deg>", fix.heading_deg);
    out += "</extensions>";
  }
  out += "</trkpt>\n";
}

void put_csv_fix(std::string_view device, std::uint64_t leg, const Fix& fix, std::string& out) {
  CsvRow row(out);
  row.text(device).integer(static_cast<std::int64_t>(leg));
  row.text(time_text(fix.device_time_us)).text(time_text(fix.received_us));
  row.number(fix.latitude_deg, degree_decimals).number(fix.longitude_deg, degree_decimals);
  row.number(fix.altitude_m, 0).number(fix.speed_kmh, 1).number(fix.heading_deg, 0);
  row.number(fix.odometer_km, 1).integer(fix.alarm_bits).integer(fix.status_bits);
  row.boolean(fix.fixed).boolean(fix.late);
}

// ---- Whole files ----

void write_geojson(std::span<const Track> tracks, bool points, std::string& out) {
  JsonWriter json(out);
  json.begin_object().key("type").text("FeatureCollection").key("features").begin_array();
  for (const Track& track : tracks) {
    for (const Leg& leg : track.legs) {
      // A line has two ends: RFC 7946 3.1.4
      if (leg.size() > 1) put_line_feature(json, track.device, leg);
      if (leg.size() > 1 && !points) continue;
      for (const Fix& fix : leg) put_point_feature(json, track.device, fix);
    }
  }
  json.end_array().end_object();
  out += '\n';
}

void write_gpx(std::span<const Track> tracks, std::string& out) {
  put_gpx_begin({}, out);
  for (const Track& track : tracks) {
    put_gpx_track(track.device, out);
    for (const Leg& leg : track.legs) {
      out += gpx_leg_begin;
      for (const Fix& fix : leg) put_gpx_fix(fix, out);
      out += gpx_leg_end;
    }
    out += gpx_track_end;
  }
  out += gpx_end;
}

void write_csv(std::span<const Track> tracks, std::string& out) {
  out += csv_head;
  for (const Track& track : tracks) {
    std::uint64_t number = 0;
    for (const Leg& leg : track.legs) {
      ++number;
      for (const Fix& fix : leg) put_csv_fix(track.device, number, fix, out);
    }
  }
}

void write_json(std::span<const Track> tracks, std::string& out) {
  JsonWriter json(out);
  json.begin_object().key("tracks").begin_array();
  for (const Track& track : tracks) {
    json.begin_object().key("device").text(track.device).key("legs").begin_array();
    for (const Leg& leg : track.legs) {
      json.begin_object().key("length_km").number(length_km(leg), 3).key("fixes").begin_array();
      for (const Fix& fix : leg) {
        json.begin_object();
        json.key("latitude_deg").number(fix.latitude_deg, degree_decimals);
        json.key("longitude_deg").number(fix.longitude_deg, degree_decimals);
        put_fix_members(json, fix);
        json.end_object();
      }
      json.end_array().end_object();
    }
    json.end_array().end_object();
  }
  json.end_array().end_object();
  out += '\n';
}

}  // namespace ringgate::query
