// stat: how much there is, by stream, device, message, kind or hour.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "tools/log/commands.hpp"
#include "tools/log/common.hpp"
#include "tools/log/print.hpp"
#include "tools/log/scanning.hpp"
#include "tools/log/selecting.hpp"
#include "tools/log/totals.hpp"

namespace ringgate::log_tool {

namespace {

constexpr const char* footer = R"(
Without --by: segments, records and bytes of each stream, from seals where there are some. With --by
records are read, and may be chosen as with `query`. Rows come with the most bytes first, hours in
their order; --top N keeps the first N. An hour is one of receipt, UTC.

Examples:
  ringgate-log stat /var/lib/ringgate
  ringgate-log stat /var/lib/ringgate --by device --top 20 --from -1d
  ringgate-log stat /var/lib/ringgate --by message --json)";

struct Options {
  SelectOptions select;
  std::string by;
  std::uint64_t top = 0;  // 0: all
  bool json = false;
};

struct Group {
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;
  WallUs first_us = 0;
  WallUs last_us = 0;

  void add(const log::Record& record) {
    const WallUs at = record.header.received_us;
    if (records++ == 0 || at < first_us) first_us = at;
    last_us = std::max(last_us, at);
    bytes += log::padded_size(record.header.size_bytes);
  }
};

std::string stream_name(const log::StreamId& id) { return fmt::format("{}-{}", id.run, id.shard); }

// Seals know nothing of single records.
bool chooses(const SelectOptions& select) {
  return !select.devices.empty() || !select.message_ids.empty() || !select.kinds.empty() ||
         !(select.from + select.to + select.device_from + select.device_to + select.area).empty() ||
         select.no_duplicates || select.no_parts;
}

int by_stream(const Options& options) {
  if (chooses(options.select)) {
    return refuse({0, "stat chooses records only with --by device, message, kind or hour"});
  }
  auto loaded = load(options.select.directory);
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
    if (loaded->live) count_proven(stream);
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
    std::string text;
    JsonWriter whole(text);
    whole.begin_object();
    put_totals(whole, "stat", totals, loaded->live, {});
    whole.key("streams").raw(streams);
    whole.end_object();
    fmt::print("{}\n", text);
    return exit_well;
  }
  fmt::print("{:>12} {:>9} {:>14} {:>16} {:>16}\n", "all", totals.segments, totals.records,
             totals.log_bytes, totals.file_bytes);
  if (loaded->inventory.spare_bytes > 0) {
    fmt::print("{} bytes wait in spare segments\n", loaded->inventory.spare_bytes);
  }
  if (loaded->live) fmt::print("a gateway is writing\n");
  return exit_well;
}

// What the groups are called. The key is short, since it is made for every record.
class Grouping {
 public:
  Grouping(std::string_view by, const event::CatalogSet& catalogs) : by_(by), catalogs_(catalogs) {
    for (const Namespace ns : {Namespace::phone, Namespace::json}) {
      const event::MessageCatalog* catalog = catalogs.find(ns);
      if (catalog == nullptr) continue;
      for (const event::MessageInfo& message : catalog->list()) {
        const std::string id = catalog->message_id_text(message.id);
        names_.emplace(fmt::format("{} {}", catalog->protocol(), id), message.name);
      }
    }
  }
  void name(const log::Record& record, std::string& out) const {
    out.clear();
    if (by_ == "device") {
      out = record.device;
    } else if (by_ == "message") {
      if (!has_message(record)) return static_cast<void>(out = log::kind_name(record.kind()));
      out = protocol_name(catalogs_, record.ns());
      out += ' ';
      out += message_id_text(catalogs_.find(record.ns()), record.header.message);
    } else if (by_ == "kind") {
      out = log::kind_name(record.kind());
    } else {
      const WallUs hour = 3600 * us_per_s;
      out = time_text(record.header.received_us / hour * hour).substr(0, 16) + "Z";
    }
  }
  std::string_view explain(const std::string& name) const {
    const auto found = names_.find(name);
    return found != names_.end() ? found->second : std::string_view{};
  }

 private:
  std::string_view by_;
  const event::CatalogSet& catalogs_;
  std::unordered_map<std::string, std::string_view> names_;
};

using Row = std::pair<std::string, Group>;

std::vector<Row> sorted(const Options& options, std::unordered_map<std::string, Group>& groups) {
  std::vector<Row> rows(groups.begin(), groups.end());
  std::ranges::sort(rows, [&](const Row& a, const Row& b) {
    if (options.by == "hour" || a.second.bytes == b.second.bytes) return a.first < b.first;
    return a.second.bytes > b.second.bytes;
  });
  return rows;
}

void print_rows(const Options& options, const Grouping& grouping, const std::vector<Row>& rows,
                std::size_t shown, const Group& all) {
  const auto line = [&](const std::string& name, const Group& group, std::string_view more) {
    const double part =
        all.bytes > 0 ? 100.0 * static_cast<double>(group.bytes) / static_cast<double>(all.bytes)
                      : 0;
    fmt::print("{:<20} {:>12} {:>14} {:>6.1f} {:>8.0f}  {:<24}  {:<24}  {}\n",
               name.empty() ? "-" : name, group.records, group.bytes, part,
               group.records > 0 ? static_cast<double>(group.bytes) /
                                       static_cast<double>(group.records)
                                 : 0.0,
               group.records > 0 ? time_text(group.first_us) : "-",
               group.records > 0 ? time_text(group.last_us) : "-", more);
  };
  fmt::print("{:<20} {:>12} {:>14} {:>6} {:>8}  {:<24}  {:<24}\n", options.by, "records",
             "log bytes", "%", "bytes/r", "first received", "last received");
  Group others;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (i < shown) {
      line(rows[i].first, rows[i].second, grouping.explain(rows[i].first));
      continue;
    }
    const Group& group = rows[i].second;
    if (others.records == 0 || group.first_us < others.first_us) others.first_us = group.first_us;
    others.last_us = std::max(others.last_us, group.last_us);
    others.records += group.records;
    others.bytes += group.bytes;
  }
  if (shown < rows.size()) line(fmt::format("{} others", rows.size() - shown), others, "");
  line(fmt::format("all {}", rows.size()), all, "");
}

void print_rows_json(const Options& options, const Grouping& grouping,
                     const std::vector<Row>& rows, std::size_t shown, const Group& all) {
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("command").text("stat").key("by").text(options.by);
  json.key("groups").unsigned_integer(rows.size());
  json.key("records").unsigned_integer(all.records);
  json.key("log_bytes").unsigned_integer(all.bytes);
  json.key("rows").begin_array();
  for (std::size_t i = 0; i < shown; ++i) {
    const auto& [name, group] = rows[i];
    json.begin_object().key(options.by).text(name);
    const std::string_view more = grouping.explain(name);
    if (!more.empty()) json.key("name").text(more);
    json.key("records").unsigned_integer(group.records);
    json.key("log_bytes").unsigned_integer(group.bytes);
    json.key("first_received").text(time_text(group.first_us));
    json.key("last_received").text(time_text(group.last_us));
    json.end_object();
  }
  json.end_array().end_object();
  fmt::print("{}\n", text);
}

int by_group(const Options& options) {
  const Catalogs catalogs;
  Scanning scanning(catalogs.set);
  if (auto opened = scanning.open(options.select, "counting"); !opened) {
    return refuse(opened.error());
  }
  const Grouping grouping(options.by, catalogs.set);
  std::unordered_map<std::string, Group> groups;
  Group all;
  std::string name;
  query::Found found;
  while (scanning.next(found)) {
    grouping.name(found.record, name);
    groups[name].add(found.record);
    all.add(found.record);
  }
  const int code = scanning.finish();
  if (scanning.cut_short()) return exit_problems;
  const std::vector<Row> rows = sorted(options, groups);
  const std::size_t shown = options.top > 0 ? std::min<std::size_t>(options.top, rows.size())
                                            : rows.size();
  if (options.json) {
    print_rows_json(options, grouping, rows, shown, all);
  } else {
    print_rows(options, grouping, rows, shown, all);
  }
  return code;
}

}  // namespace

Command add_stat(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("stat", "Records and bytes by stream, device, message, kind or hour");
  add_select_options(*command, options->select);
  command->add_option("--by", options->by, "device, message, kind or hour")
      ->check(CLI::IsMember({"device", "message", "kind", "hour"}));
  command->add_option("--top", options->top, "Only the first so many; the rest in one row");
  command->add_flag("--json", options->json, "One JSON object");
  command->footer(footer);
  return {command, [options] {
            return options->by.empty() ? by_stream(*options) : by_group(*options);
          }};
}

}  // namespace ringgate::log_tool
