// GET /api/v1/devices/{id}/track
#include "protocols/api/track.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "engine/base/time_text.hpp"
#include "protocols/api/asked.hpp"
#include "protocols/api/plane.hpp"
#include "protocols/api/routes.hpp"

namespace ringgate::api {

namespace {

using query::Fix;
using query::TrackOrder;

// By device time: the fixes of a window of that time are gathered and sorted, then those of the
// next one. A window holds what fits; what comes next is as long as the last one was dense.
class TrackQuery final : public Query {
 public:
  explicit TrackQuery(const TrackAsked& asked)
      : asked_(asked), writer_(TrackWriter::make(asked_, text_)), maker_(asked_.shape, *writer_),
        from_us_(asked.from_us) {}

  Result<bool> step(QueryRun& run, QueryHead& head, std::string& out) override;
  std::uint64_t bytes_read() const override {
    return bytes_read_ + (scan_ == nullptr ? 0 : scan_->stats().bytes_read);
  }

 private:
  Result<void> open(QueryRun& run);
  Result<bool> gather(const QueryRun& run);
  void keep_earliest();
  void window_read();

  TrackAsked asked_;
  std::string text_;
  std::unique_ptr<TrackWriter> writer_;
  query::TrackMaker maker_;
  std::unique_ptr<query::Scan> scan_;
  bool begun_ = false;
  WallUs from_us_;       // of the window
  WallUs to_us_ = 0;
  WallUs cut_us_ = 0;    // what is at or after it waits for the next window
  WallUs length_us_ = 0;
  std::vector<Fix> fixes_;
  std::size_t trim_at_ = 2 * track_fixes_held;
  std::size_t told_ = 0;  // of fixes_
  bool gathered_ = false;
  std::uint64_t bytes_read_ = 0;
};

// Of a device whose clock stands still: its fixes have no order, and can't be told in windows.
constexpr std::size_t one_time_max = 64 * 1024;
constexpr WallUs window_first_us = 6 * 3600 * us_per_s;

Result<void> TrackQuery::open(QueryRun& run) {
  query::Selection selection;
  selection.devices.push_back(asked_.device);
  selection.add_kind(event::RecordKind::frame_up);
  selection.duplicates = false;
  selection.parts = false;
  if (asked_.shape.order == TrackOrder::received) {
    selection.received_from_us = asked_.from_us;
    selection.received_to_us = asked_.to_us;
  } else {
    if (length_us_ == 0) length_us_ = window_first_us;
    to_us_ = asked_.to_us - from_us_ > length_us_ ? from_us_ + length_us_ : asked_.to_us;
    cut_us_ = to_us_;
    selection.device_from_us = from_us_;
    selection.device_to_us = to_us_;
  }
  auto scan = query::Scan::open(run.scan, selection);
  if (!scan) return scan.error();
  scan_ = std::move(*scan);
  gathered_ = false;
  return {};
}

// Of too many, those of the earliest times; all of the times that are kept.
void TrackQuery::keep_earliest() {
  const auto time = [](const Fix& fix) { return fix.device_time_us; };
  const auto middle = fixes_.begin() + static_cast<std::ptrdiff_t>(fixes_.size() / 2);
  std::ranges::nth_element(fixes_, middle, {}, time);
  WallUs cut = middle->device_time_us;
  // All of one time, and none earlier: they stay together, whatever they cost.
  if (std::ranges::none_of(fixes_, [&](const Fix& fix) { return time(fix) < cut; })) ++cut;
  cut_us_ = std::min(cut_us_, cut);
  std::erase_if(fixes_, [&](const Fix& fix) { return time(fix) >= cut_us_; });
}

// True: the window, or enough of what was received, is there.
Result<bool> TrackQuery::gather(const QueryRun& run) {
  class Collector final : public event::RowVisitor {
   public:
    Collector(TrackQuery& query, WallUs received_us) : query_(query), received_us_(received_us) {}
    void position(const event::PositionRow& row) override {
      const TrackAsked& asked = query_.asked_;
      if (!row.fixed && !asked.unfixed) return;
      const bool in_time = asked.shape.order == TrackOrder::received ||
                           (row.device_time_us >= query_.from_us_ &&
                            row.device_time_us < query_.cut_us_);
      if (in_time) query_.fixes_.push_back(query::fix_of(row, received_us_));
    }

   private:
    TrackQuery& query_;
    WallUs received_us_;
  };
  query::Found found;
  for (;;) {
    const auto more = scan_->next(found);
    if (!more) return more.error();
    if (!*more) return !scan_->paused();
    const event::MessageCatalog* const catalog = run.scan.catalogs.find(found.record.ns());
    if (catalog == nullptr) continue;
    Collector collector(*this, found.record.header.received_us);
    catalog->rows(found.record.view(), collector);
    if (asked_.shape.order == TrackOrder::received) {
      if (fixes_.size() >= track_fixes_held / 16) return false;
    } else if (fixes_.size() >= trim_at_) {
      keep_earliest();
      if (fixes_.size() > one_time_max) {
        return Error{0, "too many positions of one and the same time"};
      }
      trim_at_ = std::max(2 * track_fixes_held, 2 * fixes_.size());
      // A scan pauses where it finds nothing; this one finds much.
      if (run.scan.pause()) return false;
    }
  }
}

void TrackQuery::window_read() {
  bytes_read_ += scan_->stats().bytes_read;
  scan_.reset();
  gathered_ = true;
  query::sort_fixes(fixes_, TrackOrder::device_time);
  const WallUs read_us = std::max<WallUs>(cut_us_ - from_us_, 1);
  from_us_ = cut_us_;
  // Half of what would fit at this density.
  const double fit = static_cast<double>(track_fixes_held) / 2 /
                     static_cast<double>(std::max<std::size_t>(fixes_.size(), 1));
  const double next = static_cast<double>(read_us) * std::min(fit, 8.0);
  length_us_ = std::max<WallUs>(static_cast<WallUs>(next), us_per_s);
}

Result<bool> TrackQuery::step(QueryRun& run, QueryHead& head, std::string& out) {
  if (!begun_) {
    head.type = track_types[static_cast<std::size_t>(asked_.format)];
    head.fields = fmt::format("Ringgate-Datum: {}\r\n", asked_.gcj02 ? "gcj02" : "wgs84");
    if (asked_.format == TrackFormat::gpx || asked_.format == TrackFormat::csv) {
      head.fields += fmt::format("Content-Disposition: attachment; filename=\"track-{}.{}\"\r\n",
                                 asked_.device.id(),
                                 track_formats[static_cast<std::size_t>(asked_.format)]);
    }
    if (auto opened = open(run); !opened) return opened.error();
    writer_->begin();
    begun_ = true;
  }
  const bool by_receipt = asked_.shape.order == TrackOrder::received;
  bool last = false;
  if (!gathered_ && told_ == fixes_.size()) {
    fixes_.clear();
    told_ = 0;
  }
  if (!gathered_ && told_ == 0) {
    if (scan_ == nullptr) {
      if (auto opened = open(run); !opened) return opened.error();
    }
    const auto whole = gather(run);
    if (!whole) return whole.error();
    if (by_receipt) {
      last = *whole;
    } else if (*whole) {
      window_read();
    }
  }
  if (by_receipt || gathered_) {
    while (told_ < fixes_.size() && (by_receipt || text_.size() < step_bytes)) {
      maker_.add(fixes_[told_++]);
    }
    if (gathered_ && told_ == fixes_.size()) {
      gathered_ = false;
      last = from_us_ >= asked_.to_us;
    }
  }
  if (last) {
    maker_.end();
    writer_->end();
  }
  out += text_;
  text_.clear();
  return !last;
}

// By time and by metres: "5m" is minutes everywhere, so metres have a name of their own.
bool asked_step(Call& call, query::TrackShape& shape) {
  const auto text = call.parameter("step_m");
  if (text) {
    const char* const last = text->data() + text->size();
    const auto [end, error] = std::from_chars(text->data(), last, shape.step_m);
    if (error != std::errc{} || end != last || !(shape.step_m >= 0 && shape.step_m <= 1e6)) {
      call.problem(400, "step_m must be a number of metres up to 1000000");
      return false;
    }
  }
  const auto step = asked_duration(call, "step", 0);
  if (!step) return false;
  shape.step_us = *step;
  return true;
}

void get_track(Plane& plane, const CallPtr& call) {
  constexpr std::string_view datums[] = {"wgs84", "gcj02"};
  constexpr std::string_view orders[] = {"device_time", "received"};
  constexpr WallUs gap_default_us = 300 * us_per_s;
  constexpr WallUs stop_default_us = 180 * us_per_s;
  const auto device = plane.device_of(call);
  if (!device) return;
  TrackAsked asked;
  asked.device = *device;
  const auto times = asked_times(*call);
  if (!times) return;
  asked.from_us = times->from_us;
  asked.to_us = times->to_us;
  const auto datum = asked_choice(*call, "datum", datums);
  if (!datum) return;
  const auto order = asked_choice(*call, "by", orders);
  if (!order) return;
  const auto format = asked_choice(*call, "format", track_formats);
  if (!format || !asked_step(*call, asked.shape)) return;
  const auto gap = asked_duration(*call, "gap", gap_default_us);
  if (!gap) return;
  const auto stop = asked_duration(*call, "stop", stop_default_us);
  if (!stop) return;
  const auto unfixed = asked_flag(*call, "unfixed", false);
  if (!unfixed) return;
  asked.gcj02 = *datum == 1;
  asked.shape.order = static_cast<TrackOrder>(*order);
  asked.format = static_cast<TrackFormat>(*format);
  asked.shape.gap_us = *gap;
  asked.shape.stop_us = *stop;
  asked.unfixed = *unfixed;
  plane.ask_log(call, make_track_query(asked));
}

constexpr std::string_view duration_schema =
    R"({"type":"string","pattern":"^[0-9]+[smhd]?$"})";
constexpr Parameter parameters[] = {
    device_parameter,
    {.name = "from", .doc = from_doc},
    {.name = "to", .doc = to_doc},
    {.name = "step",
     .doc = "Leave out fixes nearer in time than this to the one before: 30s.",
     .schema = duration_schema},
    {.name = "step_m",
     .doc = "Leave out fixes nearer than so many metres; with step, those nearer in both.",
     .schema = R"({"type":"number","minimum":0,"maximum":1000000})"},
    {.name = "gap",
     .doc = "A new leg after so long without a fix; 0: one leg.",
     .schema = R"({"type":"string","pattern":"^[0-9]+[smhd]?$","default":"5m"})"},
    {.name = "stop",
     .doc = "Standing within 50 m for so long is told as a stop; 0: none is.",
     .schema = R"({"type":"string","pattern":"^[0-9]+[smhd]?$","default":"3m"})"},
    {.name = "datum",
     .doc = "Coordinates as devices send them, or as maps of mainland China have them.",
     .schema = R"({"type":"string","enum":["wgs84","gcj02"],"default":"wgs84"})"},
    {.name = "by",
     .doc = "Whose clock from, to and the order mean.",
     .schema = R"({"type":"string","enum":["device_time","received"],"default":"device_time"})"},
    {.name = "format",
     .doc = "What is written.",
     .schema = R"({"type":"string","enum":["json","geojson","gpx","csv"],"default":"json"})"},
    {.name = "unfixed",
     .doc = "Positions without a satellite fix too.",
     .schema = R"({"type":"boolean","default":false})"},
};

constexpr std::string_view track_schema =
    R"({"type":"object","required":["device","datum","by","fixes","legs","gaps","stops",)"
    R"("left_out"],"additionalProperties":false,"properties":{"device":{"type":"string"},)"
    R"("datum":{"enum":["wgs84","gcj02"]},"by":{"enum":["device_time","received"]},)"
    R"("fixes":{"type":"array","items":{"type":"object","required":["leg","latitude_deg",)"
    R"("longitude_deg","time","received","alarm_bits","status_bits","fixed","late"],)"
    R"("additionalProperties":false,"properties":{"leg":{"type":"integer"},)"
    R"("latitude_deg":{"type":"number"},"longitude_deg":{"type":"number"},)"
    R"("time":{"type":"string","format":"date-time"},)"
    R"("received":{"type":"string","format":"date-time"},"altitude_m":{"type":"number"},)"
    R"("speed_kmh":{"type":"number"},"heading_deg":{"type":"number"},)"
    R"("odometer_km":{"type":"number"},"alarm_bits":{"type":"integer"},)"
    R"("status_bits":{"type":"integer"},"fixed":{"type":"boolean"},"late":{"type":"boolean"}}}},)"
    R"("legs":{"type":"array","items":{"type":"object","required":["leg","from","to","fixes",)"
    R"("length_km"]}},"gaps":{"type":"array","items":{"type":"object",)"
    R"("required":["from","to","seconds","distance_km"]}},"stops":{"type":"array",)"
    R"("items":{"type":"object","required":["from","to","seconds","latitude_deg",)"
    R"("longitude_deg"]}},"left_out":{"type":"integer","description":)"
    R"("legs, gaps and stops beyond the first thousand of each"}}})";

constexpr std::string_view other_types[] = {"application/geo+json", "application/gpx+xml",
                                            "text/csv"};

constexpr Route routes[] = {
    {.path = "/api/v1/devices/{id}/track",
     .summary = "Where a device was: fixes in order, without doubles, with legs, gaps and stops.",
     .parameters = parameters,
     .response_schema = track_schema,
     .other_types = other_types,
     .run = get_track},
};

}  // namespace

std::unique_ptr<Query> make_track_query(const TrackAsked& asked) {
  return std::make_unique<TrackQuery>(asked);
}

const std::span<const Route> track_routes = routes;

}  // namespace ringgate::api
