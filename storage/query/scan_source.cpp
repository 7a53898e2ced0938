#include "storage/query/scan_source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "storage/log/recovery.hpp"
#include "storage/query/limits.hpp"

namespace ringgate::query {

void SourceParts::report(const std::string& problem) {
  if (problem.empty() || problems.size() >= problems_max) return;
  if (std::find(problems.begin(), problems.end(), problem) != problems.end()) return;
  problems.push_back(problem);
}

Source::Source(SourceParts& parts, const log::StreamId& stream, KnownSegments segments)
    : parts_(parts), stream_(stream), segments_(std::move(segments)) {}

// ---- Which segments ----

Result<Source::Head> Source::head(std::size_t index) {
  const Position base = segments_[index].base;
  if (const Heads::Times* known = parts_.heads.find({stream_, base})) {
    return Head{true, true, *known};
  }
  auto file = parts_.directory.open(stream_, base, log::Access::scattered);
  if (!file && file.error().code == ENOENT) {
    if (auto told = gone(index); !told) return told.error();
    return Head{};
  }
  if (!file) {
    parts_.report(file.error().message);
    return Head{};
  }
  parts_.stats.bytes_read += (*file)->bytes_read();
  const std::optional<log::Seal>& seal = (*file)->seal();
  if (!seal) return Head{true, false, {}};
  const Heads::Times times{seal->records, seal->first_received_us, seal->last_received_us};
  return Head{true, true, parts_.heads.put({stream_, base}, times)};
}

Result<void> Source::begin() {
  const WallUs from = parts_.selection.received_from_us;
  if (from == log::no_time_before) return {};
  // Received times never fall within a stream.
  std::size_t low = 0;
  std::size_t high = segments_.size();
  while (low < high) {
    const std::size_t middle = low + (high - low) / 2;
    const auto looked = head(middle);
    if (!looked) return looked.error();
    const bool before =
        looked->sealed && looked->times.records > 0 && looked->times.last_received_us < from;
    // What was taken away was older than what is left.
    if (before || !looked->there) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  while (index_ < low) next_segment();
  return {};
}

void Source::next_segment() {
  records_.reset();
  entered_ = false;
  parts_.bytes_done += segments_[index_].file_bytes;
  ++index_;
}

void Source::finish() {
  while (index_ < segments_.size()) next_segment();
}

// Retention took a segment away.
Result<void> Source::gone(std::size_t index) {
  // Not what went before the scan began, nor what was made ahead and then used for another place.
  const bool last = index + 1 == segments_.size() && stream_.run == parts_.directory.newest_run();
  if (segments_[index].missing || last) return {};
  ++parts_.stats.segments_gone;
  if (parts_.on_gone == OnGone::skip) return {};
  return Error{ESTALE,
               fmt::format("{} was taken away by retention while it was read; ask again for what "
                           "is left",
                           parts_.directory.path_of(stream_, segments_[index].base))};
}

// Looks whether the segment at index_ may hold anything, and sets due_us_. False: it was passed.
Result<bool> Source::enter() {
  const Selection& wanted = parts_.selection;
  const auto looked = head(index_);
  if (!looked) return looked.error();
  const Heads::Times& times = looked->times;
  if (!looked->there || (looked->sealed && times.records == 0) ||
      (looked->sealed && times.last_received_us < wanted.received_from_us)) {
    next_segment();
    return false;
  }
  if (!looked->sealed) return enter_growing();
  if (times.first_received_us >= wanted.received_to_us) {
    finish();
    return false;
  }
  entered_ = true;
  passed_ = 0;
  to_ = ~Position{0};
  due_us_ = std::max({due_us_, times.first_received_us, wanted.received_from_us});
  return true;
}

Result<bool> Source::enter_growing() {
  const Position base = segments_[index_].base;
  auto file = parts_.directory.open(stream_, base);
  if (!file) {
    next_segment();
    return false;
  }
  (*file)->set_window(look_window);
  const auto first = (*file)->record_at(base);
  if (first && first->header.received_us >= parts_.selection.received_to_us) {
    finish();
    return false;
  }
  to_ = first ? growing_end(**file) : base;
  parts_.stats.bytes_read += (*file)->bytes_read();
  if (to_ <= base) {
    next_segment();
    return false;
  }
  entered_ = true;
  passed_ = 0;
  due_us_ = std::max(due_us_, first->header.received_us);
  return true;
}

// How far the records of a segment without a seal are committed.
Position Source::growing_end(const log::SegmentFile& file) {
  const log::SegmentHeader& header = file.header();
  Position limit = header.next_base();
  if (index_ + 1 < segments_.size()) limit = std::min(limit, segments_[index_ + 1].base);
  const log::CommitBoard* board = parts_.board;
  if (board != nullptr && board->run() == stream_.run) {
    const Position committed = board->committed(stream_);
    if (committed < limit) return committed;
  }
  const auto known = growing_ends_.find(header.base);
  if (known != growing_ends_.end()) return known->second;
  log::Stream stream;
  stream.id = stream_;
  for (std::size_t i = index_; i < segments_.size(); ++i) {
    auto one = parts_.directory.open(stream_, segments_[i].base);
    if (!one) continue;
    log::SegmentState state;
    state.file = std::move(*one);
    stream.segments.push_back(std::move(state));
  }
  const bool dead = stream_.run < parts_.directory.newest_run() || !parts_.directory.held();
  log::examine(stream, !dead, false, {});
  for (const log::SegmentState& state : stream.segments) {
    parts_.stats.bytes_read += state.file->bytes_read();
    growing_ends_[state.header().base] = state.end;
  }
  return growing_ends_[header.base];
}

// ---- Reading ----

Result<void> Source::open_records(Position to) {
  const Selection& selection = parts_.selection;
  log::Wanted wanted;
  wanted.devices = selection.devices;
  wanted.received_from_us = selection.received_from_us;
  wanted.received_to_us = selection.received_to_us;
  wanted.device_from_us = selection.device_from_us;
  wanted.device_to_us = selection.device_to_us;
  wanted.from = passed_;
  wanted.to = to;
  const Position base = segments_[index_].base;
  auto opened =
      log::SegmentRecords::open(parts_.sys, parts_.directory.path_of(stream_, base), wanted);
  if (opened) {
    records_ = std::move(*opened);
    ++parts_.stats.segments_opened;
    return {};
  }
  const bool taken = opened.error().code == ENOENT;
  if (!taken) parts_.report(opened.error().message);
  next_segment();
  return taken ? gone(index_ - 1) : Result<void>{};
}

// The segment gives no more.
Result<void> Source::ended() {
  parts_.stats.bytes_read += records_->bytes_read();
  parts_.report(records_->problem());
  const bool taken = records_->gone();
  next_segment();
  return taken ? gone(index_ - 1) : Result<void>{};
}

Result<void> Source::load() {
  loaded_ = false;
  while (index_ < segments_.size()) {
    if (!entered_) {
      const WallUs due = due_us_;
      const auto entered = enter();
      if (!entered) return entered.error();
      if (*entered && due_us_ > due) return {};  // others may be due before
      continue;
    }
    if (!records_) {
      if (auto opened = open_records(to_); !opened) return opened.error();
      continue;
    }
    while (records_->next(record_)) {
      passed_ = record_.end();
      if (++parts_.stats.records_seen % records_between_looks == 0 && parts_.keep_going &&
          !parts_.keep_going()) {
        parts_.stopped = true;
        return {};
      }
      if (!parts_.selection.matches(record_.view(), parts_.catalogs)) continue;
      due_us_ = record_.header.received_us;
      loaded_ = true;
      ++parts_.stats.records_found;
      return {};
    }
    if (auto over = ended(); !over) return over.error();
  }
  return {};
}

}  // namespace ringgate::query
