// Tracks: their order, cuts and thinning, and the files that are made of them.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "engine/base/json_scan.hpp"
#include "storage/query/track_formats.hpp"

using namespace ringgate;
using namespace ringgate::query;

namespace {

constexpr WallUs morning = 1'795'212'000 * us_per_s;

Fix fix(int second, double latitude = 31.0, double longitude = 121.0) {
  Fix made;
  made.device_time_us = morning + second * us_per_s;
  made.received_us = made.device_time_us + us_per_s;
  made.latitude_deg = latitude;
  made.longitude_deg = longitude;
  made.altitude_m = made.speed_kmh = made.heading_deg = std::numeric_limits<float>::quiet_NaN();
  made.odometer_km = event::no_value;
  made.fixed = true;
  return made;
}

std::vector<int> seconds(const Leg& leg) {
  std::vector<int> out;
  for (const Fix& one : leg) {
    out.push_back(static_cast<int>((one.device_time_us - morning) / us_per_s));
  }
  return out;
}

}  // namespace

TEST_CASE("fixes come in the order of the device's clock, each once") {
  std::vector<Fix> fixes;
  for (int i = 0; i < 50; ++i) {
    fixes.push_back(fix(i, 31 + i * 0.001));
    fixes.push_back(fix(i, 31 + i * 0.001));
  }
  fixes.push_back(fix(7, 32.0));  // the same second, another place: no double
  std::mt19937 random(5);
  std::shuffle(fixes.begin(), fixes.end(), random);
  const Track track = make_track("1", fixes, {});
  REQUIRE(track.legs.size() == 1);
  CHECK(track.fixes() == 51);
  const std::vector<int> order = seconds(track.legs[0]);
  CHECK(std::is_sorted(order.begin(), order.end()));
}

TEST_CASE("a gap begins a leg, and so does the 180th meridian") {
  const Track track = make_track(
      "1", {fix(0), fix(60), fix(120), fix(421), fix(425), fix(430, 0, 179.9), fix(431, 0, -179.9)},
      {.gap_us = 300 * us_per_s});
  REQUIRE(track.legs.size() == 3);
  CHECK(seconds(track.legs[0]) == std::vector<int>{0, 60, 120});
  CHECK(seconds(track.legs[1]) == std::vector<int>{421, 425, 430});
  CHECK(seconds(track.legs[2]) == std::vector<int>{431});
  CHECK(make_track("1", {fix(0), fix(100'000)}, {}).legs.size() == 1);
  CHECK(make_track("1", {}, {}).legs.empty());
}

TEST_CASE("thinning keeps the ends of a leg, and steps between the others") {
  std::vector<Fix> fixes;
  for (int i = 0; i <= 100; i += 7) fixes.push_back(fix(i));
  const Track track = make_track("1", fixes, {.step_us = 20 * us_per_s});
  CHECK(seconds(track.legs[0]) == std::vector<int>{0, 21, 42, 63, 84, 98});
  CHECK(seconds(make_track("1", {fix(0), fix(1)}, {.step_us = 60 * us_per_s}).legs[0]) ==
        std::vector<int>{0, 1});
}

TEST_CASE("length along the great circle") {
  // A degree of latitude is 111.195 km on the mean sphere.
  CHECK(length_km({fix(0, 31), fix(1, 32)}) == doctest::Approx(111.195).epsilon(0.0001));
  CHECK(length_km({fix(0, 60, 10), fix(1, 60, 11)}) == doctest::Approx(55.597).epsilon(0.001));
  CHECK(length_km({fix(0)}) == 0);
}

TEST_CASE("GeoJSON: lines have two ends at least, altitude only where it is known") {
  Fix high = fix(10, 31.5, 121.25);
  high.altitude_m = 12;
  const Track track = make_track("1\"2", {fix(0), high, fix(1000)}, {.gap_us = 60 * us_per_s});
  std::string out;
  write_geojson(std::span(&track, 1), false, out);
  CHECK(scan_json_object(out, "type").member == "\"FeatureCollection\"");
  CHECK(out.find(R"("type":"LineString","coordinates":[[121.000000,31.000000],)"
                 R"([121.250000,31.500000,12]]})") != std::string::npos);
  CHECK(out.find(R"("coordTimes":["2026-11-20T22:00:00.000Z","2026-11-20T22:00:10.000Z"])") !=
        std::string::npos);
  CHECK(out.find(R"({"type":"Point","coordinates":[121.000000,31.000000]})") != std::string::npos);
  CHECK(out.find(R"("device":"1\"2")") != std::string::npos);
  CHECK(out.find("nan") == std::string::npos);
  std::string with_points;
  write_geojson(std::span(&track, 1), true, with_points);
  std::size_t points = 0;
  for (std::size_t at = 0; (at = with_points.find("\"Point\"", at)) != std::string::npos; ++at) {
    ++points;
  }
  CHECK(points == 3);
  std::string empty;
  write_geojson({}, false, empty);
  CHECK(empty == "{\"type\":\"FeatureCollection\",\"features\":[]}\n");
}

TEST_CASE("GPX: names are escaped, 180 degrees are written as -180, children in their order") {
  Fix one = fix(0, -31.25, 180);
  one.altitude_m = 5;
  one.speed_kmh = 40.5F;
  const Track track = make_track("a<b>&c", {one}, {});
  std::string out;
  write_gpx(std::span(&track, 1), out);
  CHECK(out.find("<name>a&lt;b&gt;&amp;c</name>") != std::string::npos);
  CHECK(out.find("<trkpt lat=\"-31.250000\" lon=\"-180.000000\"><ele>5</ele>"
                 "<time>2026-11-20T22:00:00.000Z</time><extensions>"
                 "<rg:speed_kmh>40.5</rg:speed_kmh></extensions></trkpt>") != std::string::npos);
}

TEST_CASE("CSV: empty cells for what was not said, CRLF ends") {
  const Track track = make_track("x,\"y\"", {fix(0)}, {});
  std::string out;
  write_csv(std::span(&track, 1), out);
  const std::size_t end = out.find("\r\n");
  REQUIRE(end != std::string::npos);
  CHECK(out.substr(end + 2) ==
        "\"x,\"\"y\"\"\",1,2026-11-20T22:00:00.000Z,2026-11-20T22:00:01.000Z,31.000000,121.000000,"
        ",,,,0,0,true,false\r\n");
  const std::string header = out.substr(0, end);
  CHECK(std::count(header.begin(), header.end(), ',') == 13);
}
