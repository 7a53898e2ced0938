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
    : parts_(parts),
      stream_(stream),
      segments_(std::move(segments)),
      left_out_(segments_.size()) {}

// ---- Which segments ----

void SourceParts::distrust_times() {
  if (times_lied) return;
  times_lied = true;
  heads.distrust();
  ++stats.indexes_lied;
  report("the list of the segments' times does not fit them; the log was read without it");
}

Result<Source::Head> Source::head(std::size_t index, Trust trust) {
  const log::SegmentKey key{stream_, segments_[index].base};
  const Heads::Times* known = parts_.heads.find(key);
  if (known != nullptr && (known->checked || trust == Trust::told)) return Head{true, true, *known};
  const auto file = parts_.directory.open(stream_, key.second, log::Access::scattered);
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
  if (!seal || !parts_.heads.check(key, (*file)->header(), *seal)) {
    if (known != nullptr) parts_.distrust_times();
  }
  if (!seal) return Head{true, false, {}};
  return Head{true, true, *parts_.heads.find(key)};
}

// The first segment that does not end before what is selected, as far as is known.
Result<std::size_t> Source::first_wanted() {
  std::size_t low = 0;
  std::size_t high = segments_.size();
  while (low < high) {
    const std::size_t middle = low + (high - low) / 2;
    const auto looked = head(middle, Trust::told);
    if (!looked) return looked.error();
    const log::SegmentTimes& times = looked->times.is;
    const bool before = looked->sealed && times.records > 0 &&
                        times.last_received_us < parts_.selection.received_from_us;
    // What was taken away was older than what is left.
    if (before || !looked->there) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

Result<void> Source::begin() {
  if (parts_.selection.received_from_us == log::no_time_before) return {};
  for (;;) {
    const bool lied = parts_.times_lied;
    const auto first = first_wanted();
    if (!first) return first.error();
    // Received times never fall within a stream: where the segment before ends too early, by its
    // own seal, all before it do.
    if (*first > 0) {
      const auto before = head(*first - 1, Trust::checked);
      if (!before) return before.error();
    }
    if (lied != parts_.times_lied) continue;  // once
    while (index_ < *first) next_segment();
    return {};
  }
}

void Source::next_segment() {
  const std::uint64_t bytes = segments_[index_].file_bytes;
  const bool counted = index_ < left_out_;
  if (entered_) parts_.bytes_done += bytes;
  if (entered_ && !counted) parts_.bytes_total += bytes;
  if (!entered_ && counted) parts_.bytes_total -= bytes;
  records_.reset();
  entered_ = false;
  ++index_;
}

void Source::leave_out_late() {
  while (left_out_ > index_) {
    const KnownSegment& segment = segments_[left_out_ - 1];
    const Heads::Times* known = parts_.heads.find({stream_, segment.base});
    if (known == nullptr || known->is.records == 0) return;
    const log::SegmentTimes& times = known->is;
    if (times.first_received_us < parts_.selection.received_to_us) return;
    parts_.bytes_total -= segment.file_bytes;
    --left_out_;
  }
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

// Whether all of its records have other device times than those that are selected.
bool Source::out_of_device_times(const Head& head) const {
  const Selection& wanted = parts_.selection;
  if (wanted.device_from_us == log::no_time_before && wanted.device_to_us == log::no_time_after) {
    return false;
  }
  return head.sealed && head.times.device_times_known &&
         !head.times.is.may_hold(wanted.device_from_us, wanted.device_to_us);
}

// Whether all of the segment at index_ is behind what its stream, which is being written, has
// committed: known without a look at the file, which is read past the page cache while it grows.
bool Source::nothing_committed() const {
  const log::CommitBoard* const board = parts_.board;
  return board != nullptr && board->run() == stream_.run &&
         board->committed(stream_) <= segments_[index_].base;
}

// Looks whether the segment at index_ may hold anything, and sets due_us_. False: it was passed.
Result<bool> Source::enter() {
  const Selection& wanted = parts_.selection;
  if (nothing_committed()) {
    next_segment();
    return false;
  }
  const auto told = head(index_, Trust::told);
  if (!told) return told.error();
  if (out_of_device_times(*told)) {
    next_segment();
    return false;
  }
  // What has no seal nobody has told of: it was looked at just now.
  const auto looked = told->there && told->sealed ? head(index_, Trust::checked) : told;
  if (!looked) return looked.error();
  const log::SegmentTimes& times = looked->times.is;
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

Result<std::unique_ptr<log::SegmentRecords>> Source::open_segment(std::size_t index, Position from,
                                                                  Position to) {
  const Selection& selection = parts_.selection;
  log::Wanted wanted;
  wanted.devices = selection.devices;
  wanted.received_from_us = selection.received_from_us;
  wanted.received_to_us = selection.received_to_us;
  wanted.device_from_us = selection.device_from_us;
  wanted.device_to_us = selection.device_to_us;
  wanted.from = from;
  wanted.to = to;
  return log::SegmentRecords::open(
      parts_.sys, parts_.directory.path_of(stream_, segments_[index].base), wanted);
}

void Source::open_ahead() {
  if (parts_.selection.devices.empty()) return;
  looked_ahead_ = std::max(looked_ahead_, index_);
  while (looked_ahead_ < segments_.size() && ahead_.size() < ahead_segments_max &&
         parts_.opened_ahead < ahead_all_max) {
    // Nothing is decided here: what is wrong with a segment shows when its turn comes.
    const Heads::Times* known = parts_.heads.find({stream_, segments_[looked_ahead_].base});
    const std::size_t index = looked_ahead_;
    if (known == nullptr) return;
    if (known->is.first_received_us >= parts_.selection.received_to_us) return;
    ++looked_ahead_;
    if (known->is.records == 0 ||
        known->is.last_received_us < parts_.selection.received_from_us ||
        out_of_device_times({true, true, *known})) {
      continue;
    }
    auto opened = open_segment(index, 0, ~Position{0});
    if (!opened) return;
    ahead_.push_back({index, std::move(*opened)});
    ++parts_.opened_ahead;
  }
}

// Whether the segment at index_ was opened before.
bool Source::take_ahead() {
  while (!ahead_.empty() && ahead_.front().index <= index_) {
    Ahead one = std::move(ahead_.front());
    ahead_.pop_front();
    --parts_.opened_ahead;
    if (one.index < index_ || passed_ > 0) continue;
    records_ = std::move(one.records);
  }
  return records_ != nullptr;
}

Result<void> Source::open_records(Position to) {
  const bool sealed = to == ~Position{0};
  if (!sealed || !take_ahead()) {
    auto opened = open_segment(index_, passed_, to);
    if (!opened) {
      const bool taken = opened.error().code == ENOENT;
      if (!taken) parts_.report(opened.error().message);
      next_segment();
      return taken ? gone(index_ - 1) : Result<void>{};
    }
    records_ = std::move(*opened);
  }
  ++parts_.stats.segments_opened;
  if (sealed) open_ahead();
  return {};
}

// The segment gives no more.
Result<void> Source::ended() {
  parts_.stats.bytes_read += records_->bytes_read();
  parts_.report(records_->problem());
  if (records_->index_state() >= log::IndexState::damaged) {
    const bool lied = records_->index_state() == log::IndexState::lied;
    ++(lied ? parts_.stats.indexes_lied : parts_.stats.indexes_damaged);
    if (parts_.index_lied) {
      parts_.index_lied(log::segment_file_name(stream_, segments_[index_].base));
    }
  }
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
      const bool look = ++parts_.stats.records_seen % records_between_looks == 0;
      if (look && parts_.keep_going && !parts_.keep_going()) {
        parts_.stopped = true;
        return {};
      }
      if (!parts_.selection.matches(record_.view(), parts_.catalogs)) {
        if (!look || !parts_.pause || !parts_.pause()) continue;
        parts_.paused = true;
        return {};
      }
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
