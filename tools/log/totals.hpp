// What verify and stat say of the segments of a data directory.
#pragma once

#include <fmt/format.h>

#include <string>
#include <vector>

#include "engine/base/json_writer.hpp"
#include "engine/io/sys.hpp"
#include "storage/log/recovery.hpp"

namespace ringgate::log_tool {

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

inline Result<Loaded> load(const std::string& directory) {
  auto inventory = log::take_inventory(io::real_sys(), directory);
  if (!inventory) return inventory.error();
  return Loaded{std::move(*inventory), log::is_held(io::real_sys(), directory)};
}

// The members of a report that both have; the object stays open.
inline void put_totals(JsonWriter& json, const char* what, const Totals& totals, bool live,
                       const std::vector<std::string>& problems) {
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
}

}  // namespace ringgate::log_tool
