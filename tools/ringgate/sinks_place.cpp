// Where an operator sends a sink: places of the log by name, time or cursor.
#include <fmt/format.h>
#include <time.h>

#include <charconv>
#include <cstring>
#include <map>
#include <string>

#include "storage/log/segment_list.hpp"
#include "storage/log/segment_records.hpp"
#include "tools/ringgate/sinks.hpp"

namespace ringgate::server {

namespace {

std::optional<WallUs> time_of(const std::string& text) {
  double seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error == std::errc{} && end == text.data() + text.size()) {
    if (!(seconds >= 0 && seconds < 1e11)) return {};
    return static_cast<WallUs>(seconds * static_cast<double>(us_per_s));
  }
  for (const char* format : {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ", "%Y-%m-%d"}) {
    tm parts{};
    const char* left = ::strptime(text.c_str(), format, &parts);
    if (left != nullptr && *left == '\0') return WallUs{::timegm(&parts)} * us_per_s;
  }
  return {};
}

// Of one stream's segments, in their order: the first record received at or after the time, else
// behind the last record. Received times never fall within a stream, so it goes from the newest
// segment back.
Position stream_place(io::Sys& sys, const std::string& folder,
                      const std::vector<const log::SegmentEntry*>& segments, WallUs received_us) {
  std::optional<Position> found;
  for (auto it = segments.rbegin(); it != segments.rend(); ++it) {
    log::Wanted wanted;
    wanted.received_from_us = received_us;
    auto records = log::SegmentRecords::open(sys, folder + "/" + (*it)->name, wanted);
    log::Record record;
    if (!records || !(*records)->next(record)) break;
    found = record.header.position;
  }
  if (found) return *found;
  Position end = segments.back()->id.base;
  auto records = log::SegmentRecords::open(sys, folder + "/" + segments.back()->name, {});
  if (!records) return end;
  for (log::Record record; (*records)->next(record);) end = record.end();
  return end;
}

}  // namespace

Result<log::Cursor> Sinks::cursor_at(WallUs received_us) const {
  const std::string folder = scan_.data_dir + "/log";
  std::vector<log::SegmentEntry> entries;
  if (const int listed = log::list_segments(scan_.sys, folder, entries); listed < 0) {
    return errno_error(-listed, folder);
  }
  std::map<log::StreamId, std::vector<const log::SegmentEntry*>> streams;
  for (const log::SegmentEntry& entry : entries) streams[entry.id.stream].push_back(&entry);
  log::Cursor cursor;
  for (const auto& [stream, segments] : streams) {
    cursor.set(stream, stream_place(scan_.sys, folder, segments, received_us));
  }
  return cursor;
}

Result<query::TailStart> Sinks::place(std::string_view text) const {
  using Where = query::TailStart::Where;
  if (text == "beginning") return query::TailStart{Where::beginning, {}};
  if (text == "end") return query::TailStart{Where::end, {}};
  if (const auto time = time_of(std::string(text))) {
    auto cursor = cursor_at(*time);
    if (!cursor) return cursor.error();
    return query::TailStart{Where::cursor, std::move(*cursor)};
  }
  auto cursor = log::cursor_from_text(text);
  if (!cursor) {
    return Error{0, "beginning, end, a time (2026-11-21T05:00:00Z or seconds since 1970) or a "
                    "cursor as 'sink list' shows it is expected"};
  }
  if (cursor->node != node_) {
    return Error{0, fmt::format("the cursor is of node {}, and this is {}",
                                log::to_text(cursor->node), log::to_text(node_))};
  }
  for (const auto& [stream, position] : cursor->cursor.positions()) {
    if (stream.run > run_) {
      return Error{0, fmt::format("the cursor names run {}, and this is run {}", stream.run, run_)};
    }
  }
  if (cursor->cursor.done_runs_below() > run_) {
    return Error{0, "the cursor lies behind this run"};
  }
  return query::TailStart{Where::cursor, std::move(cursor->cursor)};
}

}  // namespace ringgate::server
