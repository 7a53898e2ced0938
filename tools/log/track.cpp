// track: where a device was, by its own clock.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <memory>
#include <string>

#include "engine/io/sys.hpp"
#include "storage/query/track_formats.hpp"
#include "tools/log/commands.hpp"
#include "tools/log/common.hpp"
#include "tools/log/scanning.hpp"
#include "tools/log/selecting.hpp"

namespace ringgate::log_tool {

namespace {

constexpr const char* footer = R"(
Positions in the order of the device's clock: what was sent late from a blind area stands where it
belongs, retransmissions and doubles are left out, and so are positions without a satellite fix
(--unfixed brings them). --from and --to are times of the device. Where fixes are missing for longer
than --gap a new leg begins: a LineString of its own in GeoJSON, a trkseg in GPX.

Coordinates are as the device sent them (WGS-84), or with --gcj02 as maps of mainland China have
them: moved there by 100 to 700 m, unchanged elsewhere, exact to a metre or two. GPX and GeoJSON are
WGS-84 by their definition, so give such a file only to who expects it. --area is WGS-84. Times are
UTC. The track is held in memory, about 80 bytes a fix. Without any fix the output is valid and
empty, and the exit code is 1.

Examples:
  ringgate-log track /var/lib/ringgate --device 13800138000 --from -1d > day.geojson
  ringgate-log track /var/lib/ringgate --device 13800138000 --format gpx --step 30s -o day.gpx
  ringgate-log track /var/lib/ringgate --device 13800138000 --format csv --from 2026-11-20)";

struct Options {
  SelectOptions select;
  std::string format = "geojson";
  std::string output;
  std::string step = "0";
  std::string gap = "5m";
  bool unfixed = false;
  bool points = false;
  bool gcj02 = false;
};

// Takes the positions of records that are wanted.
class Collector final : public event::RowVisitor {
 public:
  Collector(const query::Selection& selection, bool unfixed)
      : selection_(selection), unfixed_(unfixed) {}
  void position(const event::PositionRow& row) override {
    if (!row.fixed && !unfixed_) return;
    if (!wants_place(selection_, row.device_time_us, row.latitude_deg, row.longitude_deg)) return;
    fixes_->push_back(query::fix_of(row, received_us_));
  }
  void record(const event::RecordView& view, const event::MessageCatalog& catalog) {
    received_us_ = view.received_us;
    fixes_ = &by_device[std::string(view.device)];
    catalog.rows(view, *this);
  }
  std::map<std::string, std::vector<query::Fix>> by_device;

 private:
  const query::Selection& selection_;
  bool unfixed_;
  WallUs received_us_ = 0;
  std::vector<query::Fix>* fixes_ = nullptr;
};

Result<std::vector<query::Track>> collect(const Options& options, int& code) {
  query::TrackShape shape;
  for (const auto& [text, out] : {std::pair(&options.step, &shape.step_us),
                                  std::pair(&options.gap, &shape.gap_us)}) {
    const auto seconds = parse_seconds(*text);
    if (!seconds) return seconds.error();
    *out = *seconds * us_per_s;
  }
  auto selection = to_selection(options.select, io::real_sys().wall_now());
  if (!selection) return selection.error();
  selection->add_kind(log::Kind::frame_up);
  selection->duplicates = false;
  selection->parts = false;
  const Catalogs catalogs;
  Scanning scanning(catalogs.set);
  if (auto opened = scanning.open(options.select.directory, *selection, "looking for positions");
      !opened) {
    return opened.error();
  }
  Collector collector(scanning.selection(), options.unfixed);
  query::Found found;
  while (scanning.next(found)) {
    const event::MessageCatalog* catalog = catalogs.set.find(found.record.ns());
    if (catalog != nullptr) collector.record(found.record.view(), *catalog);
  }
  code = scanning.finish();
  std::vector<query::Track> tracks;
  for (auto& [device, fixes] : collector.by_device) {
    if (!fixes.empty()) tracks.push_back(query::make_track(device, std::move(fixes), shape));
  }
  if (options.gcj02) {
    for (query::Track& track : tracks) to_gcj02(track);
  }
  if (scanning.cut_short()) tracks.clear();
  return tracks;
}

int track(const Options& options) {
  int code = exit_well;
  const auto tracks = collect(options, code);
  if (!tracks) return refuse(tracks.error());
  if (interrupted()) return exit_problems;
  Output out;
  if (auto ready = out.open(options.output); !ready) return refuse(ready.error());
  if (options.format == "geojson") write_geojson(*tracks, options.points, out.text);
  if (options.format == "gpx") write_gpx(*tracks, out.text);
  if (options.format == "csv") write_csv(*tracks, out.text);
  if (options.format == "json") write_json(*tracks, out.text);
  if (tracks->empty()) {
    fmt::print(stderr, "ringgate-log: no position of {} in that time\n",
               options.select.devices.size() == 1 ? options.select.devices.front()
                                                  : std::string("these devices"));
    code = exit_problems;
  }
  return out.finish(code);
}

}  // namespace

Command add_track(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("track", "Where a device was, as GeoJSON, GPX or CSV");
  SelectOptions& select = options->select;
  command->add_option("DIR", select.directory, "Data directory")->required();
  command->add_option("--device", select.devices, "The device; repeatable")
      ->required()
      ->allow_extra_args(false);
  command->add_option("--from", select.device_from,
                      "Positions that the device dates at or after: 2026-11-20T22:00:00Z, seconds "
                      "since 1970, or -15m");
  command->add_option("--to", select.device_to, "... before");
  command->add_option("--area", select.area, "Only positions in LAT,LON,LAT,LON: two corners");
  command->add_option("--format", options->format, "geojson, gpx, csv or json")
      ->check(CLI::IsMember({"geojson", "gpx", "csv", "json"}))
      ->capture_default_str();
  command->add_option("--step", options->step, "Leave out fixes nearer in time than this: 30s");
  command->add_option("--gap", options->gap, "A new leg after so long without a fix; 0: one leg")
      ->capture_default_str();
  command->add_flag("--unfixed", options->unfixed, "Positions without a satellite fix too");
  command->add_flag("--points", options->points, "GeoJSON: a Point for each fix, too");
  command->add_flag("--gcj02", options->gcj02, "Coordinates as maps of China have them");
  command->add_option("-o,--output", options->output, "Write there instead of to stdout");
  command->footer(footer);
  return {command, [options] { return track(*options); }};
}

}  // namespace ringgate::log_tool
