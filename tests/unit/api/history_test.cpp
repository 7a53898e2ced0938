// Answers about the past: parts of files, alarms from start to end, tracks in all formats as they
// are made, gzip.
#include <doctest/doctest.h>
#include <zlib.h>

#include <random>

#include "engine/base/json_scan.hpp"
#include "protocols/api/alarms.hpp"
#include "protocols/api/gzip.hpp"
#include "protocols/api/media.hpp"
#include "protocols/api/place.hpp"
#include "protocols/api/track.hpp"
#include "storage/query/track_formats.hpp"

using namespace ringgate;
using namespace ringgate::api;

namespace {

constexpr WallUs morning = 1'795'212'000 * us_per_s;
constexpr std::string_view tag = "\"0193c8f2a1b-7-0-2a\"";

ContentAnswer answer(std::string range, std::string if_range = {}, std::string if_none_match = {},
                     std::uint64_t size = 1000) {
  return content_answer({std::string(tag), std::move(range), std::move(if_range),
                         std::move(if_none_match)},
                        size);
}

query::Fix fix(int second, double latitude = 31.0, double longitude = 121.0) {
  query::Fix made;
  made.device_time_us = morning + second * us_per_s;
  made.received_us = made.device_time_us + us_per_s;
  made.latitude_deg = latitude;
  made.longitude_deg = longitude;
  made.odometer_km = event::no_value;
  made.fixed = true;
  return made;
}

std::string inflated(std::string_view data) {
  z_stream zlib{};
  REQUIRE(inflateInit2(&zlib, 15 + 16) == Z_OK);
  std::string out(1 << 22, '\0');
  std::string in(data);
  zlib.next_in = reinterpret_cast<Bytef*>(in.data());
  zlib.avail_in = static_cast<uInt>(in.size());
  zlib.next_out = reinterpret_cast<Bytef*>(out.data());
  zlib.avail_out = static_cast<uInt>(out.size());
  CHECK(inflate(&zlib, Z_FINISH) == Z_STREAM_END);
  CHECK(zlib.avail_in == 0);
  out.resize(out.size() - zlib.avail_out);
  inflateEnd(&zlib);
  return out;
}

std::string written(const TrackAsked& asked, std::vector<query::Fix> fixes) {
  std::string out;
  const auto writer = TrackWriter::make(asked, out);
  writer->begin();
  query::sort_fixes(fixes, asked.shape.order);
  query::TrackMaker maker(asked.shape, *writer);
  for (const query::Fix& one : fixes) maker.add(one);
  maker.end();
  writer->end();
  return out;
}

std::vector<query::Fix> wander(int count, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<int> step(1, 400);
  std::uniform_real_distribution<double> move(-0.01, 0.01);
  std::vector<query::Fix> fixes;
  int second = 0;
  double latitude = 31;
  double longitude = 121;
  for (int i = 0; i < count; ++i) {
    fixes.push_back(fix(second += step(random), latitude += move(random),
                        longitude += move(random)));
  }
  return fixes;
}

}  // namespace

TEST_CASE("content: what a range, a condition or a known tag gives") {
  CHECK(answer("").status == 200);
  CHECK(answer("").part.size == 1000);
  const ContentAnswer part = answer("bytes=10-19");
  CHECK(part.status == 206);
  CHECK(part.part.first == 10);
  CHECK(part.part.size == 10);
  CHECK(part.range_field == "Content-Range: bytes 10-19/1000\r\n");
  CHECK(answer("bytes=-1").range_field == "Content-Range: bytes 999-999/1000\r\n");
  const ContentAnswer beyond = answer("bytes=1000-");
  CHECK(beyond.status == 416);
  CHECK(beyond.part.size == 0);
  CHECK(beyond.range_field == "Content-Range: bytes */1000\r\n");
  CHECK(answer("bytes=0-1,5-6").status == 200);
  CHECK(answer("rows=0-1").status == 200);
  CHECK(answer("bytes=0-0", {}, {}, 0).status == 416);
  // A part only of what the client has: its tag, compared strongly; a date is another thing.
  CHECK(answer("bytes=0-9", std::string(tag)).status == 206);
  CHECK(answer("bytes=0-9", fmt::format("W/{}", tag)).status == 200);
  CHECK(answer("bytes=0-9", "\"other\"").status == 200);
  CHECK(answer("bytes=0-9", "Sat, 21 Nov 2026 00:00:00 GMT").status == 200);
  CHECK(answer("", {}, std::string(tag)).status == 304);
  CHECK(answer("bytes=0-9", {}, fmt::format("\"x\", W/{}", tag)).status == 304);
  CHECK(answer("", {}, "\"x\"").status == 200);
}

TEST_CASE("places: their text is read back, and nothing else is") {
  const Place place{morning, {7, 3}, 81920};
  CHECK(parse_place(place.text()) == place);
  for (const char* wrong :
       {"", "1", "1.2", "1.2-3", "1.2-3.", "1.2-3.4x", "a.2-3.4", "1.2-x.4"}) {
    CHECK_FALSE(parse_place(wrong));
  }
  CHECK(Place{1, {9, 9}, 9} < Place{2, {1, 0}, 0});
  CHECK(Place{1, {1, 0}, 9} < Place{1, {1, 1}, 0});
}

TEST_CASE("gzip: pieces are the whole, fields say so, a strong tag gets weak") {
  std::mt19937 random(3);
  std::string text;
  for (int i = 0; i < 40'000; ++i) text += fmt::format("{{\"n\":{}}},", random() % 1000);
  Gzip gzip;
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += 1000) {
    gzip.put(std::string_view(text).substr(at, 1000), false, out);
  }
  gzip.put({}, true, out);
  CHECK(inflated(out) == text);
  CHECK(out.size() < text.size() / 2);
  CHECK(inflated(gzipped(text)) == text);
  CHECK(inflated(gzipped("")).empty());
  CHECK(gzip_fields("ETag: \"a\"\r\n") ==
        "ETag: W/\"a\"\r\nVary: Accept-Encoding\r\nContent-Encoding: gzip\r\n");
  CHECK(gzip_fields("ETag: W/\"a\"\r\n").find("W/W/") == std::string::npos);
  CHECK(plain_fields("A: b\r\n") == "A: b\r\nVary: Accept-Encoding\r\n");
  CHECK(worth_gzip("application/geo+json"));
  CHECK(worth_gzip("text/csv"));
  CHECK_FALSE(worth_gzip("image/jpeg"));
  CHECK_FALSE(worth_gzip("application/octet-stream"));
}

TEST_CASE("alarms: the same, repeated, is one; a position without it ends it") {
  std::vector<Alarm> told;
  AlarmJoiner joiner([&](const Alarm& alarm) { told.push_back(alarm); });
  const auto say = [&](std::string_view device, int second, std::vector<std::string> types,
                       bool late = false) {
    AlarmJoiner::Message message;
    message.device = device;
    message.record_id = "r";
    message.positions.push_back({morning + second * us_per_s, late});
    for (std::string& type : types) {
      Alarm& alarm = message.alarms.emplace_back();
      alarm.type = std::move(type);
      alarm.source = "alarm-bits";
      alarm.start_us = message.positions.front().time_us;
      message.phases.emplace_back();
    }
    joiner.add(message);
  };
  say("1", 0, {"sos"});
  say("1", 10, {"sos", "overspeed"});
  say("2", 15, {});
  say("1", 5, {}, true);  // sent late: it says nothing of what goes on now
  CHECK(told.empty());
  say("1", 20, {"overspeed"});
  REQUIRE(told.size() == 1);
  CHECK(told[0].type == "sos");
  CHECK(told[0].start_us == morning);
  CHECK(told[0].last_us == morning + 10 * us_per_s);
  CHECK(told[0].end_us == morning + 20 * us_per_s);
  CHECK(told[0].messages == 2);
  joiner.end();
  REQUIRE(told.size() == 2);
  CHECK(told[1].type == "overspeed");
  CHECK(told[1].end_us == 0);
}

TEST_CASE("alarms: phases join, single events stand alone, and too many lose the oldest") {
  std::vector<Alarm> told;
  AlarmJoiner joiner([&](const Alarm& alarm) { told.push_back(alarm); });
  const auto say = [&](int second, std::uint32_t id, std::string phase, std::string device = "1") {
    AlarmJoiner::Message message;
    message.device = device;
    Alarm& alarm = message.alarms.emplace_back();
    alarm.type = "smoking";
    alarm.source = "dsm";
    alarm.alarm_id = id;
    alarm.start_us = morning + second * us_per_s;
    message.phases.push_back(std::move(phase));
    message.positions.push_back({alarm.start_us, false});
    joiner.add(message);
  };
  say(0, 7, "start");
  say(5, 8, "");
  REQUIRE(told.size() == 1);
  CHECK(told[0].end_us == told[0].start_us);
  say(9, 7, "end");
  REQUIRE(told.size() == 2);
  CHECK(told[1].start_us == morning);
  CHECK(told[1].end_us == morning + 9 * us_per_s);
  say(10, 9, "end");
  REQUIRE(told.size() == 3);
  CHECK(told[2].start_us == 0);
  told.clear();
  for (std::size_t i = 0; i <= alarms_open_max; ++i) {
    say(static_cast<int>(100 + i), 1, "start", std::to_string(i));
  }
  REQUIRE(told.size() == 1);
  CHECK(told[0].device == "0");
  joiner.end();
  CHECK(told.size() == alarms_open_max + 1);
}

TEST_CASE("tracks: as they are made they are what make_track makes at once") {
  for (unsigned seed = 1; seed < 30; ++seed) {
    TrackAsked asked;
    asked.device = DeviceKey(Namespace::phone, "13800138000");
    asked.shape.gap_us = 300 * us_per_s;
    asked.shape.step_us = seed % 3 == 0 ? 500 * us_per_s : 0;
    const auto fixes = wander(300, seed);
    const query::Track track = query::make_track("13800138000", fixes, asked.shape);
    std::string expected;
    asked.format = TrackFormat::gpx;
    query::write_gpx(std::span(&track, 1), expected);
    CHECK(written(asked, fixes) == expected);
    expected.clear();
    asked.format = TrackFormat::csv;
    query::write_csv(std::span(&track, 1), expected);
    CHECK(written(asked, fixes) == expected);
    expected.clear();
    asked.format = TrackFormat::geojson;
    query::write_geojson(std::span(&track, 1), false, expected);
    const std::string own = written(asked, fixes);
    CHECK(scan_json_object(own, "features").member ==
          scan_json_object(expected, "features").member);
    asked.format = TrackFormat::json;
    const std::string json = written(asked, fixes);
    std::size_t count = 0;
    for (std::size_t at = 0; (at = json.find("\"leg\":", at)) != std::string::npos; ++at) ++count;
    CHECK(count == track.fixes() + track.legs.size());
  }
}

TEST_CASE("tracks: stops and gaps are told, in the datum that was asked for") {
  std::vector<query::Fix> fixes;
  for (int i = 0; i < 10; ++i) fixes.push_back(fix(i * 10, 31 + i * 0.01));
  for (int i = 0; i < 30; ++i) fixes.push_back(fix(100 + i * 10, 31.2, 121.0 + i % 2 * 1e-4));
  fixes.push_back(fix(2000, 32));
  TrackAsked asked;
  asked.device = DeviceKey(Namespace::phone, "1");
  asked.shape.gap_us = 300 * us_per_s;
  asked.shape.stop_us = 180 * us_per_s;
  const std::string json = written(asked, fixes);
  CHECK(scan_json_object(json, "stops").member ==
        R"([{"from":"2026-11-20T22:01:40.000Z","to":"2026-11-20T22:06:30.000Z","seconds":290,)"
        R"("latitude_deg":31.200000,"longitude_deg":121.000000}])");
  CHECK(scan_json_object(json, "gaps").member.find("\"seconds\":1610,") != std::string::npos);
  asked.gcj02 = true;
  const std::string shifted = written(asked, fixes);
  CHECK(scan_json_object(shifted, "datum").member == "\"gcj02\"");
  CHECK(shifted.find("31.200000") == std::string::npos);
  // Legs are as long in either.
  CHECK(scan_json_object(shifted, "legs").member == scan_json_object(json, "legs").member);
  asked.shape.stop_us = 600 * us_per_s;
  CHECK(scan_json_object(written(asked, fixes), "stops").member == "[]");
}

TEST_CASE("tracks: thinning by metres") {
  std::vector<query::Fix> fixes;
  for (int i = 0; i < 100; ++i) fixes.push_back(fix(i, 31 + i * 0.0001));  // 11 m each
  const auto kept = [&](double step_m, WallUs step_us) {
    query::TrackShape shape;
    shape.step_m = step_m;
    shape.step_us = step_us;
    return query::make_track("1", fixes, shape).fixes();
  };
  CHECK(kept(0, 0) == 100);
  CHECK(kept(100, 0) == 12);             // each ninth, and the last
  CHECK(kept(100, 5 * us_per_s) == 21);  // whichever comes first
}
