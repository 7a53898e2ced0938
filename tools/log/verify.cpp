// verify and stat.
#include <fmt/format.h>

#include <string>
#include <vector>

#include "engine/base/json_writer.hpp"
#include "engine/io/sys.hpp"
#include "storage/log/recovery.hpp"
#include "tools/log/commands.hpp"

namespace ringgate::log_tool {

namespace {

struct Totals {
  std::uint64_t segments = 0;
  std::uint64_t records = 0;
  std::uint64_t log_bytes = 0;  // records with their headers
  std::uint64_t file_bytes = 0;
  std::uint64_t dropped_records = 0;
  std::uint64_t dropped_bytes = 0;
  WallUs first_us = 0;
  WallUs last_us = 0;

  void add(const log::SegmentState& segment) {
    ++segments;
    file_bytes += segment.file->file_bytes();
    log_bytes += segment.end - segment.header().base;
    dropped_records += segment.dropped_records;
    dropped_bytes += segment.dropped_bytes;
    if (segment.records == 0) return;
    if (records == 0 || segment.first_received_us < first_us) first_us = segment.first_received_us;
    if (segment.last_received_us > last_us) last_us = segment.last_received_us;
    records += segment.records;
  }
};

struct Loaded {
  log::Inventory inventory;
  bool live = false;
};

Result<Loaded> load(const std::string& directory) {
  auto inventory = log::take_inventory(io::real_sys(), directory);
  if (!inventory) return inventory.error();
  return Loaded{std::move(*inventory), log::is_held(io::real_sys(), directory)};
}

// Segments that are missing between others, and seals that contradict what they seal.
void check_stream(const log::Stream& stream, std::vector<std::string>& problems) {
  for (std::size_t i = 0; i < stream.segments.size(); ++i) {
    const log::SegmentState& segment = stream.segments[i];
    if (segment.gone) continue;
    for (const log::Damage& damage : segment.damage) problems.push_back(describe(segment, damage));
    const auto& seal = segment.file->seal();
    if (seal && segment.damage.empty() && seal->records != segment.records) {
      problems.push_back(fmt::format("{}: its seal counts {} records, {} are there",
                                     segment.file->path(), seal->records, segment.records));
    }
    if (segment.file->unreadable_blocks() > 0) {
      problems.push_back(fmt::format("{}: the disk could not read {} blocks of 4096 bytes",
                                     segment.file->path(), segment.file->unreadable_blocks()));
    }
    if (i + 1 < stream.segments.size() &&
        stream.segments[i + 1].header().base > segment.header().next_base()) {
      problems.push_back(fmt::format("{}: the segment that follows it (base {:016x}) is missing",
                                     segment.file->path(), segment.header().next_base()));
    }
  }
}

std::string stream_name(const log::StreamId& id) { return fmt::format("{}-{}", id.run, id.shard); }

void print_json(const char* what, const Totals& totals, bool live,
                const std::vector<std::string>& problems, const std::string& streams) {
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  json.key("command").text(what);
  json.key("live").boolean(live);
  json.key("segments").unsigned_integer(totals.segments);
  json.key("records").unsigned_integer(totals.records);
  json.key("log_bytes").unsigned_integer(totals.log_bytes);
  json.key("file_bytes").unsigned_integer(totals.file_bytes);
  json.key("dropped_records").unsigned_integer(totals.dropped_records);
  json.key("dropped_bytes").unsigned_integer(totals.dropped_bytes);
  json.key("problems").begin_array();
  for (const std::string& problem : problems) json.text(problem);
  json.end_array();
  if (!streams.empty()) json.key("streams").raw(streams);
  json.end_object();
  fmt::print("{}\n", out);
}

int refuse(const Error& error) {
  fmt::print(stderr, "ringgate-log: {}\n", error.message);
  return 2;
}

}  // namespace

int verify(const ReportOptions& options) {
  auto loaded = load(options.directory);
  if (!loaded) return refuse(loaded.error());
  std::uint64_t total_bytes = 0;
  for (const auto& [id, stream] : loaded->inventory.streams) {
    for (const log::SegmentState& segment : stream.segments)
      total_bytes += segment.file->file_bytes();
  }
  Totals totals;
  std::vector<std::string> problems;
  for (const log::Unreadable& file : loaded->inventory.unreadable) problems.push_back(file.reason);
  {
    ProgressLine progress("verifying");
    std::uint64_t done = 0;
    for (auto& [id, stream] : loaded->inventory.streams) {
      if (interrupted()) return 1;
      examine(stream, loaded->live, true, [&](std::uint64_t bytes) {
        done += bytes;
        progress.update(std::min(done, total_bytes), total_bytes);
      });
      check_stream(stream, problems);
      for (const log::SegmentState& segment : stream.segments) totals.add(segment);
    }
  }
  if (options.json) {
    print_json("verify", totals, loaded->live, problems, {});
    return problems.empty() ? 0 : 1;
  }
  for (const std::string& problem : problems) fmt::print("DAMAGE  {}\n", problem);
  fmt::print("{} records in {} segments of {} streams, {} bytes{}\n", totals.records,
             totals.segments, loaded->inventory.streams.size(), totals.log_bytes,
             loaded->live ? "; a gateway is writing, its last records may not show yet" : "");
  if (totals.dropped_bytes > 0) {
    fmt::print(
        "dropped: {} complete records ({} bytes) after the last acknowledged one: a power cut or "
        "kill left them, nobody was told of them\n",
        totals.dropped_records, totals.dropped_bytes);
  }
  fmt::print("{}\n",
             problems.empty() ? "no damage" : fmt::format("{} damaged places", problems.size()));
  return problems.empty() ? 0 : 1;
}

int stat(const ReportOptions& options) {
  auto loaded = load(options.directory);
  if (!loaded) return refuse(loaded.error());
  Totals totals;
  std::string streams;
  JsonWriter json(streams);
  json.begin_array();
  if (!options.json) {
    fmt::print("{:>12} {:>9} {:>14} {:>16} {:>16}  {:<24}  {:<24}\n", "stream", "segments",
               "records", "log bytes", "file bytes", "first received", "last received");
  }
  for (auto& [id, stream] : loaded->inventory.streams) {
    examine(stream, loaded->live, false, {});
    Totals own;
    for (const log::SegmentState& segment : stream.segments) {
      own.add(segment);
      totals.add(segment);
    }
    const std::string first = own.records > 0 ? time_text(own.first_us) : "-";
    const std::string last = own.records > 0 ? time_text(own.last_us) : "-";
    if (!options.json) {
      fmt::print("{:>12} {:>9} {:>14} {:>16} {:>16}  {:<24}  {:<24}\n", stream_name(id),
                 own.segments, own.records, own.log_bytes, own.file_bytes, first, last);
    }
    json.begin_object().key("stream").text(stream_name(id));
    json.key("segments").unsigned_integer(own.segments);
    json.key("records").unsigned_integer(own.records);
    json.key("log_bytes").unsigned_integer(own.log_bytes);
    json.key("file_bytes").unsigned_integer(own.file_bytes);
    json.key("first_received").text(first);
    json.key("last_received").text(last);
    json.end_object();
  }
  json.end_array();
  if (options.json) {
    print_json("stat", totals, loaded->live, {}, streams);
    return 0;
  }
  fmt::print("{:>12} {:>9} {:>14} {:>16} {:>16}\n", "all", totals.segments, totals.records,
             totals.log_bytes, totals.file_bytes);
  if (loaded->inventory.spare_bytes > 0) {
    fmt::print("{} bytes wait in spare segments\n", loaded->inventory.spare_bytes);
  }
  if (loaded->live) fmt::print("a gateway is writing\n");
  return 0;
}

}  // namespace ringgate::log_tool
