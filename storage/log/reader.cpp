#include "storage/log/reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "storage/log/data_dir.hpp"
#include "storage/log/node_file.hpp"
#include "storage/log/segment_list.hpp"

namespace ringgate::log {

namespace {

// Earliest first, for std heaps.
constexpr auto later = [](const auto* a, const auto* b) {
  if (a->due_us != b->due_us) return a->due_us > b->due_us;
  return a->stream.id > b->stream.id;
};

}  // namespace

Reader::Reader(io::Sys& sys, std::string data_dir, const ReaderOptions& options)
    : sys_(sys), data_dir_(std::move(data_dir)), options_(options) {}

Reader::~Reader() = default;

Result<std::unique_ptr<Reader>> Reader::open(io::Sys& sys, const std::string& data_dir,
                                             const ReaderOptions& options) {
  const auto node = read_node(sys, data_dir);
  if (!node) return node.error();
  std::unique_ptr<Reader> reader(new Reader(sys, data_dir, options));
  reader->node_ = *node;
  auto inventory = take_inventory(sys, data_dir);
  if (!inventory) return inventory.error();
  for (const Unreadable& file : inventory->unreadable) reader->report(file.reason);
  reader->live_ = is_held(sys, data_dir);
  reader->take_new_segments(*inventory);
  for (auto& [id, cursor] : reader->cursors_) reader->settle(*cursor);
  return reader;
}

void Reader::report(std::string problem) {
  if (std::find(problems_.begin(), problems_.end(), problem) == problems_.end()) {
    problems_.push_back(std::move(problem));
  }
}

void Reader::take_new_segments(Inventory& fresh) {
  for (auto& [id, stream] : fresh.streams) {
    auto& cursor = cursors_[id];
    if (!cursor) cursor = std::make_unique<Cursor>();
    cursor->stream.id = id;
    for (SegmentState& segment : stream.segments) {
      bytes_total_ += segment.file->file_bytes();
      cursor->stream.segments.push_back(std::move(segment));
    }
    // New ones come last, except where one replaced a failed one.
    std::sort(cursor->stream.segments.begin() + static_cast<std::ptrdiff_t>(cursor->index),
              cursor->stream.segments.end(), [](const SegmentState& a, const SegmentState& b) {
                return a.header().base < b.header().base;
              });
  }
}

// Segments that are gone: taken by retention, or made ahead and then used for another base.
void Reader::forget_missing(const std::vector<io::DirectoryEntry>& entries) {
  // A segment may have been compressed meanwhile: it is known by its stream and base.
  std::set<std::pair<StreamId, Position>> there;
  for (const io::DirectoryEntry& entry : entries) {
    if (const auto name = parse_segment_file_name(entry.name)) {
      there.insert({name->stream, name->base});
    }
  }
  for (auto& [id, cursor] : cursors_) {
    std::vector<SegmentState>& segments = cursor->stream.segments;
    // The one being read stays: it is known how far, and what can't be read is passed over.
    std::size_t keep = cursor->index + (cursor->at > 0 ? 1 : 0);
    keep = std::min(keep, segments.size());
    segments.erase(
        std::remove_if(segments.begin() + static_cast<std::ptrdiff_t>(keep), segments.end(),
                       [&](const SegmentState& s) {
                         return !there.contains({s.header().stream, s.header().base});
                       }),
        segments.end());
  }
}

// Finds out how far a stream may be read, and puts it in the queue.
void Reader::settle(Cursor& cursor) {
  cursor.loaded = false;
  const bool live = live_;
  examine(cursor.stream, live, false, {});
  for (const SegmentState& segment : cursor.stream.segments) {
    for (const Damage& damage : segment.damage) report(describe(segment, damage));
  }
  queue(cursor);
}

bool Reader::unwanted(const SegmentState& segment) const {
  // What is unsealed may grow.
  if (!segment.file->seal() || segment.records == 0) return false;
  return segment.last_received_us < options_.from_us || segment.first_received_us > options_.to_us;
}

void Reader::leave_segment(Cursor& cursor) {
  SegmentState& segment = cursor.stream.segments[cursor.index];
  bytes_done_ += segment.file->file_bytes();
  segment.file->release();
  ++cursor.index;
  cursor.at = 0;
}

// Puts the stream where its next record belongs, as far as that is known without reading it.
void Reader::queue(Cursor& cursor) {
  if (cursor.queued) return;
  std::vector<SegmentState>& segments = cursor.stream.segments;
  while (cursor.index < segments.size()) {
    SegmentState& segment = segments[cursor.index];
    const Position at = std::max(cursor.at, segment.header().base);
    const bool last = cursor.index + 1 == segments.size();
    const bool finished = segment.file->seal() || segment.end_marked || !live_ ||
                          (!last && segments[cursor.index + 1].header().base <= at);
    if (unwanted(segment) || (at >= segment.end && finished && !last)) {
      leave_segment(cursor);
      continue;
    }
    if (at >= segment.end) return;  // nothing there now
    cursor.due_us = std::max(cursor.due_us, segment.first_received_us);
    cursor.queued = true;
    heap_.push_back(&cursor);
    std::push_heap(heap_.begin(), heap_.end(), later);
    return;
  }
}

// Reads the record at the cursor, passing over marks and damaged places. False: none in this
// segment.
bool Reader::load(Cursor& cursor) {
  SegmentState& segment = cursor.stream.segments[cursor.index];
  Position at = std::max(cursor.at, segment.header().base);
  while (at < segment.end) {
    const auto record = segment.file->record_at(at);
    if (record && record->end() <= segment.end) {
      cursor.at = at;
      if (!record->is_own()) {
        cursor.record = *record;
        cursor.loaded = true;
        cursor.due_us = record->header.received_us;
        return true;
      }
      at = record->end();
      continue;
    }
    if (!segment.file->refresh()) {
      at = segment.end;  // retention took it meanwhile
      break;
    }
    if (segment.file->record_at(at)) continue;  // it was being rewritten as it was read
    const Position found = find_record(*segment.file, at + 8, segment.end);
    report(describe(segment, {at, found, segment.header().offset_of(at)}));
    at = found;
  }
  cursor.at = at;
  return false;
}

bool Reader::next(Entry& entry) {
  if (last_ != nullptr) {
    Cursor& cursor = *std::exchange(last_, nullptr);
    cursor.at = cursor.record.end();
    cursor.loaded = false;
    const bool more = load(cursor);
    if (more && (heap_.empty() || !later(&cursor, heap_.front()))) {
      entry = {cursor.stream.id, cursor.record};
      last_ = &cursor;
      return true;
    }
    queue(cursor);
  }
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    Cursor& cursor = *heap_.back();
    heap_.pop_back();
    cursor.queued = false;
    const WallUs due = cursor.due_us;
    if (!cursor.loaded && !load(cursor)) {
      queue(cursor);
      continue;
    }
    if (cursor.due_us != due && !heap_.empty() && later(&cursor, heap_.front())) {
      queue(cursor);
      continue;
    }
    entry = {cursor.stream.id, cursor.record};
    last_ = &cursor;
    return true;
  }
  return false;
}

bool Reader::refresh() {
  if (last_ != nullptr) {
    Cursor& cursor = *std::exchange(last_, nullptr);
    cursor.at = cursor.record.end();
  }
  std::vector<io::DirectoryEntry> entries;
  const std::string path = data_dir_ + "/log";
  // Asked after the listing: a writer that starts later makes segments that are not in it. One that
  // went meanwhile may have left more than is in it: then once more.
  const bool was_live = live_;
  for (int i = 0; i < 2; ++i) {
    if (sys_.list_directory(path, entries) < 0) return false;
    live_ = is_held(sys_, data_dir_);
    if (live_ || !was_live) break;
  }
  forget_missing(entries);
  Inventory fresh;
  for (const SegmentEntry& entry : segments_of(entries)) {
    const auto cursor = cursors_.find(entry.id.stream);
    if (cursor != cursors_.end()) {
      std::vector<SegmentState>& known = cursor->second->stream.segments;
      const auto same = std::find_if(known.begin(), known.end(), [&](const SegmentState& segment) {
        return segment.header().base == entry.id.base;
      });
      if (same != known.end()) {
        if (same->file->seal() || same->file->refresh()) continue;
        known.erase(same);  // replaced before it held anything
      }
    }
    auto file = SegmentFile::open(sys_, path + "/" + entry.name);
    if (!file) continue;  // vanished, or in the making: the next look tells
    SegmentState state;
    state.name = entry.name;
    state.file = std::move(*file);
    Stream& stream = fresh.streams[entry.id.stream];
    stream.id = entry.id.stream;
    stream.segments.push_back(std::move(state));
  }
  take_new_segments(fresh);
  heap_.clear();
  for (auto& [id, cursor] : cursors_) {
    cursor->queued = false;
    settle(*cursor);
  }
  return true;
}

}  // namespace ringgate::log
