// The formats of tracks, written as fixes come.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "engine/base/json_writer.hpp"
#include "engine/base/time_text.hpp"
#include "protocols/api/track.hpp"
#include "storage/query/track_formats.hpp"

namespace ringgate::api {

namespace {

using query::Fix;

// Gaps, stops and legs that are told behind the fixes; of more, how many there were.
constexpr std::size_t told_max = 1000;
// Fixes of one line of GeoJSON: it is held until it is written, and a longer leg goes on in the
// next line from the same point.
constexpr std::size_t line_fixes_max = 4096;

std::string_view datum_of(const TrackAsked& asked) { return asked.gcj02 ? "gcj02" : "wgs84"; }

// A list that is written behind another one: held as text.
class Held {
 public:
  // Null: there are told_max.
  JsonWriter* next() {
    if (++count_ > told_max) return nullptr;
    json_.emplace(text_);
    if (count_ > 1) text_ += ',';
    return &*json_;
  }
  void put(std::string_view name, std::string& out) const {
    fmt::format_to(std::back_inserter(out), ",\"{}\":[{}]", name, text_);
  }
  std::uint64_t left_out() const { return count_ - std::min<std::uint64_t>(count_, told_max); }

 private:
  std::string text_;
  std::optional<JsonWriter> json_;
  std::uint64_t count_ = 0;
};

double seconds(WallUs from, WallUs to) { return static_cast<double>(to - from) / us_per_s; }

class JsonTrack final : public TrackWriter {
 public:
  JsonTrack(const TrackAsked& asked, std::string& out) : asked_(asked), out_(out) {}

  void begin() override {
    fmt::format_to(std::back_inserter(out_),
                   R"({{"device":"{}","datum":"{}","by":"{}","fixes":[)", asked_.device.id(),
                   datum_of(asked_),
                   asked_.shape.order == query::TrackOrder::received ? "received" : "device_time");
  }
  void leg_begins() override {
    ++leg_;
    leg_fixes_ = 0;
    length_km_ = 0;
  }
  void fix(const Fix& wgs84) override {
    Fix fix = wgs84;
    if (asked_.gcj02) to_gcj02(fix);
    if (fixes_++ > 0) out_ += ',';
    JsonWriter json(out_);
    json.begin_object().key("leg").unsigned_integer(leg_);
    json.key("latitude_deg").number(fix.latitude_deg, query::degree_decimals);
    json.key("longitude_deg").number(fix.longitude_deg, query::degree_decimals);
    put_fix_members(json, fix);
    json.end_object();
    if (leg_fixes_++ == 0) leg_from_us_ = time_of(fix);
    if (leg_fixes_ > 1) length_km_ += distance_km(last_, wgs84);
    last_ = wgs84;
  }
  void leg_ends() override {
    JsonWriter* const json = legs_.next();
    if (json == nullptr) return;
    json->begin_object().key("leg").unsigned_integer(leg_);
    json->key("from").text(time_text(leg_from_us_)).key("to").text(time_text(time_of(last_)));
    json->key("fixes").unsigned_integer(leg_fixes_).key("length_km").number(length_km_, 3);
    json->end_object();
  }
  void gap(const query::TrackGap& gap) override {
    JsonWriter* const json = gaps_.next();
    if (json == nullptr) return;
    json->begin_object().key("from").text(time_text(time_of(gap.from)));
    json->key("to").text(time_text(time_of(gap.to)));
    json->key("seconds").number(seconds(time_of(gap.from), time_of(gap.to)), 0);
    json->key("distance_km").number(distance_km(gap.from, gap.to), 3).end_object();
  }
  void stop(const query::TrackStop& stop) override {
    JsonWriter* const json = stops_.next();
    if (json == nullptr) return;
    Fix place;
    place.latitude_deg = stop.latitude_deg;
    place.longitude_deg = stop.longitude_deg;
    if (asked_.gcj02) to_gcj02(place);
    json->begin_object().key("from").text(time_text(stop.from_us));
    json->key("to").text(time_text(stop.to_us));
    json->key("seconds").number(seconds(stop.from_us, stop.to_us), 0);
    json->key("latitude_deg").number(place.latitude_deg, query::degree_decimals);
    json->key("longitude_deg").number(place.longitude_deg, query::degree_decimals).end_object();
  }
  void end() override {
    out_ += ']';
    legs_.put("legs", out_);
    gaps_.put("gaps", out_);
    stops_.put("stops", out_);
    fmt::format_to(std::back_inserter(out_), ",\"left_out\":{}}}",
                   legs_.left_out() + gaps_.left_out() + stops_.left_out());
  }

 private:
  WallUs time_of(const Fix& fix) const {
    return asked_.shape.order == query::TrackOrder::received ? fix.received_us
                                                             : fix.device_time_us;
  }
  const TrackAsked& asked_;
  std::string& out_;
  std::uint64_t leg_ = 0;
  std::uint64_t fixes_ = 0;
  std::uint64_t leg_fixes_ = 0;
  WallUs leg_from_us_ = 0;
  double length_km_ = 0;
  Fix last_;
  Held legs_;
  Held gaps_;
  Held stops_;
};

class GeoJsonTrack final : public TrackWriter {
 public:
  GeoJsonTrack(const TrackAsked& asked, std::string& out) : asked_(asked), out_(out) {}
  void begin() override {
    fmt::format_to(std::back_inserter(out_),
                   R"({{"type":"FeatureCollection","datum":"{}","features":[)", datum_of(asked_));
  }
  void leg_begins() override { line_.clear(); }
  void fix(const Fix& wgs84) override {
    line_.push_back(wgs84);
    if (asked_.gcj02) to_gcj02(line_.back());
    if (line_.size() < line_fixes_max) return;
    put();
    line_ = {line_.back()};
    goes_on_ = true;
  }
  void leg_ends() override {
    if (line_.size() > 1 || !goes_on_) put();
    goes_on_ = false;
  }
  void end() override { out_ += "]}\n"; }

 private:
  void put() {
    if (features_++ > 0) out_ += ',';
    JsonWriter json(out_);
    if (line_.size() > 1) return put_line_feature(json, asked_.device.id(), line_);
    put_point_feature(json, asked_.device.id(), line_.front());
  }
  const TrackAsked& asked_;
  std::string& out_;
  std::vector<Fix> line_;
  std::uint64_t features_ = 0;
  bool goes_on_ = false;
};

class GpxTrack final : public TrackWriter {
 public:
  GpxTrack(const TrackAsked& asked, std::string& out) : asked_(asked), out_(out) {}
  void begin() override { query::put_gpx_begin(asked_.gcj02 ? "GCJ-02" : "", out_); }
  void leg_begins() override {
    if (legs_++ == 0) query::put_gpx_track(asked_.device.id(), out_);
    out_ += query::gpx_leg_begin;
  }
  void fix(const Fix& wgs84) override {
    Fix fix = wgs84;
    if (asked_.gcj02) to_gcj02(fix);
    query::put_gpx_fix(fix, out_);
  }
  void leg_ends() override { out_ += query::gpx_leg_end; }
  void end() override {
    if (legs_ > 0) out_ += query::gpx_track_end;
    out_ += query::gpx_end;
  }

 private:
  const TrackAsked& asked_;
  std::string& out_;
  std::uint64_t legs_ = 0;
};

class CsvTrack final : public TrackWriter {
 public:
  CsvTrack(const TrackAsked& asked, std::string& out) : asked_(asked), out_(out) {}
  void begin() override { out_ += query::csv_head; }
  void leg_begins() override { ++leg_; }
  void fix(const Fix& wgs84) override {
    Fix fix = wgs84;
    if (asked_.gcj02) to_gcj02(fix);
    query::put_csv_fix(asked_.device.id(), leg_, fix, out_);
  }
  void leg_ends() override {}
  void end() override {}

 private:
  const TrackAsked& asked_;
  std::string& out_;
  std::uint64_t leg_ = 0;
};

}  // namespace

std::unique_ptr<TrackWriter> TrackWriter::make(const TrackAsked& asked, std::string& out) {
  switch (asked.format) {
    case TrackFormat::geojson: return std::make_unique<GeoJsonTrack>(asked, out);
    case TrackFormat::gpx: return std::make_unique<GpxTrack>(asked, out);
    case TrackFormat::csv: return std::make_unique<CsvTrack>(asked, out);
    case TrackFormat::json: break;
  }
  return std::make_unique<JsonTrack>(asked, out);
}

}  // namespace ringgate::api
