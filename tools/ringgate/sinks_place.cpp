// Where an operator sends a sink: places of the log by name, time or cursor.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/time_text.hpp"
#include "storage/log/segment_file.hpp"
#include "storage/log/segment_list.hpp"
#include "storage/log/segment_records.hpp"
#include "storage/log/segment_times.hpp"
#include "tools/ringgate/sinks.hpp"

namespace ringgate::server {

namespace {

using Segments = std::vector<const log::SegmentEntry*>;

// Finds places in one log directory. What it reads of a stream is bounded: heads of some segments
// (their number's logarithm), where the list of their times does not know them, and one segment.
class PlaceFinder {
 public:
  PlaceFinder(const query::Scan::Parts& parts, std::string folder)
      : parts_(parts), folder_(std::move(folder)) {
    std::uint64_t bytes = 0;
    if (auto times = log::read_times(parts_.sys, folder_, bytes)) times_ = std::move(*times);
  }

  // Of one stream's segments, in their order: the first record received at or after the time, else
  // behind the last record. Received times never fall within a stream.
  Position place(const log::StreamId& stream, const Segments& segments, WallUs received_us) {
    std::size_t low = 0;
    std::size_t high = segments.size();
    while (low < high) {
      const std::size_t middle = low + (high - low) / 2;
      if (ends_before(*segments[middle], received_us)) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    for (std::size_t i = low; i < segments.size(); ++i) {
      if (const auto found = first_from(stream, *segments[i], received_us)) return *found;
    }
    return end_of(stream, *segments.back());
  }

 private:
  bool ends_before(const log::SegmentEntry& segment, WallUs received_us) {
    const auto told = times_.find({segment.id.stream, segment.id.base});
    if (told != times_.end()) return told->second.last_received_us < received_us;
    const auto file = log::SegmentFile::open(parts_.sys, folder_ + "/" + segment.name,
                                             log::Access::scattered);
    // What was taken away was older than what is left.
    if (!file) return file.error().code == ENOENT;
    const std::optional<log::Seal>& seal = (*file)->seal();
    return seal && (seal->records == 0 || seal->last_received_us < received_us);
  }

  // Records of this run lie below what is committed; behind it there is nothing to be read.
  Position limit(const log::StreamId& stream) const {
    const log::CommitBoard* board = parts_.board;
    return board != nullptr && board->run() == stream.run ? board->committed(stream)
                                                          : ~Position{0};
  }

  std::unique_ptr<log::SegmentRecords> open(const log::StreamId& stream,
                                            const log::SegmentEntry& segment, WallUs from_us) {
    log::Wanted wanted;
    wanted.received_from_us = from_us;
    wanted.to = limit(stream);
    auto records = log::SegmentRecords::open(parts_.sys, folder_ + "/" + segment.name, wanted);
    return records ? std::move(*records) : nullptr;
  }

  std::optional<Position> first_from(const log::StreamId& stream, const log::SegmentEntry& segment,
                                     WallUs received_us) {
    const auto records = open(stream, segment, received_us);
    log::Record record;
    const bool found = records != nullptr && records->next(record);
    if (records != nullptr && records->index_state() >= log::IndexState::damaged &&
        parts_.index_lied) {
      parts_.index_lied(log::segment_file_name(stream, segment.id.base));
    }
    if (!found) return std::nullopt;
    return record.header.position;
  }

  Position end_of(const log::StreamId& stream, const log::SegmentEntry& segment) {
    const Position base = segment.id.base;
    if (const Position committed = limit(stream); committed != ~Position{0}) {
      return std::max(base, committed);
    }
    const auto file = log::SegmentFile::open(parts_.sys, folder_ + "/" + segment.name);
    if (file && (*file)->seal()) return (*file)->seal()->end;
    Position end = base;
    const auto records = open(stream, segment, log::no_time_before);
    for (log::Record record; records != nullptr && records->next(record);) end = record.end();
    return end;
  }

  const query::Scan::Parts& parts_;
  std::string folder_;
  log::TimesTable times_;
};

}  // namespace

Result<log::Cursor> Sinks::cursor_at(WallUs received_us) const {
  const std::string folder = scan_.data_dir + "/log";
  std::vector<log::SegmentEntry> entries;
  if (const int listed = log::list_segments(scan_.sys, folder, entries); listed < 0) {
    return errno_error(-listed, folder);
  }
  std::map<log::StreamId, Segments> streams;
  for (const log::SegmentEntry& entry : entries) streams[entry.id.stream].push_back(&entry);
  PlaceFinder finder(scan_, folder);
  log::Cursor cursor;
  for (const auto& [stream, segments] : streams) {
    cursor.set(stream, finder.place(stream, segments, received_us));
  }
  return cursor;
}

Result<query::TailStart> Sinks::place(std::string_view text) const {
  using Where = query::TailStart::Where;
  if (text == "beginning") return query::TailStart{Where::beginning, {}};
  if (text == "end") return query::TailStart{Where::end, {}};
  if (const auto time = parse_time(text, scan_.sys.wall_now())) {
    auto cursor = cursor_at(*time);
    if (!cursor) return cursor.error();
    return query::TailStart{Where::cursor, std::move(*cursor)};
  }
  auto cursor = log::cursor_from_text(text);
  if (!cursor) {
    return Error{0, "beginning, end, a time (2026-11-21T05:00:00Z, seconds since 1970 or an age "
                    "like -1h) or a cursor as 'sink list' shows it is expected"};
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
