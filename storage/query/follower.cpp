#include "storage/query/follower.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "storage/log/recovery.hpp"
#include "storage/query/limits.hpp"

namespace ringgate::query {

namespace {

// A place is looked at so often before the next look() may try again.
constexpr std::uint32_t mends_max = 8;

}  // namespace

void FollowerParts::report(std::string problem) {
  if (problems.size() >= problems_max) return;
  if (std::find(problems.begin(), problems.end(), problem) != problems.end()) return;
  problems.push_back(std::move(problem));
}

void FollowerParts::lose(const log::StreamId& stream, Position from, Position to) {
  if (to <= from) return;
  lost_bytes += to - from;
  report(fmt::format("stream {}-{}: positions {} to {} were taken away before they were read",
                     stream.run, stream.shard, from, to));
}

Follower::Follower(FollowerParts& parts, const log::StreamId& stream, Position start,
                   bool counts_loss)
    : parts_(parts), stream_(stream), at_(align_up(start, 8)), counts_loss_(counts_loss) {
  verified_ = start == 0;
}

// ---- Which segment ----

const KnownSegment* Follower::known_after(Position base) const {
  const KnownSegments* known = parts_.directory.find(stream_);
  if (known == nullptr) return nullptr;
  const auto after = std::upper_bound(
      known->begin(), known->end(), base,
      [](Position position, const KnownSegment& one) { return position < one.base; });
  return after == known->end() ? nullptr : &*after;
}

// In one stream a segment ends where the next one begins.
const KnownSegment* Follower::known_for(Position position) const {
  const KnownSegment* after = known_after(position);
  const KnownSegments* known = parts_.directory.find(stream_);
  if (known == nullptr || after == known->data()) return nullptr;
  return after == nullptr ? &known->back() : after - 1;
}

bool Follower::dead() const {
  return stream_.run < parts_.directory.newest_run() || !parts_.directory.held();
}

void Follower::close() {
  RG_CHECK(!loaded_);
  file_.reset();
  ended_ = frontier_ended_ = false;
  dead_end_.reset();
}

void Follower::lose(Position from, Position to) { parts_.lose(stream_, from, to); }

bool Follower::open() {
  // Each round forgets a segment that has gone, or lists once.
  for (bool listed = false;;) {
    const KnownSegment* chosen = known_for(at_);
    const KnownSegment* first = chosen == nullptr ? known_after(at_) : nullptr;
    if (chosen == nullptr && !std::exchange(listed, true)) {
      // The oldest known begins above: is that so?
      if (parts_.directory.list() < 0) return false;
      continue;
    }
    if (chosen == nullptr && first == nullptr) {
      // What is left of it was taken at once. Files end at a block, records before.
      const Position end = parts_.directory.end_of(stream_);
      if (counts_loss_ && end >= at_ + log::block_size) lose(at_, end);
      at_ = std::max(at_, end);
      return false;
    }
    const Position base = chosen != nullptr ? chosen->base : first->base;
    auto file = parts_.directory.open(stream_, base);
    if (!file && file.error().code == ENOENT) {
      parts_.directory.forget(stream_, base);
      continue;
    }
    if (!file) {
      parts_.report(file.error().message);
      const bool for_now = file.error().code != 0 && file.error().code != EIO;
      const KnownSegment* after = known_after(base);
      if (!for_now) unreadable_ = base;
      if (for_now || after == nullptr) return false;
      at_ = std::max(at_, after->base);
      verified_ = true;
      continue;
    }
    if (base > at_) {
      if (counts_loss_) lose(at_, base);
      at_ = base;
      verified_ = true;
    }
    return open_chosen(std::move(*file));
  }
}

bool Follower::open_chosen(std::unique_ptr<log::SegmentFile> file) {
  file_ = std::move(file);
  ended_ = frontier_ended_ = false;
  dead_end_.reset();
  counts_loss_ = true;
  frontier_ = at_;
  proven_ = std::max(proven_, file_->header().committed);
  look_bytes_ = look_window;
  file_->set_window(read_window);
  next_base_changed();
  const auto& seal = file_->seal();
  const Selection& wanted = parts_.selection;
  if (seal && (seal->records == 0 || seal->last_received_us < wanted.received_from_us ||
               seal->first_received_us >= wanted.received_to_us)) {
    at_ = std::max(at_, std::min(seal->end, limit_));
  }
  update_end();
  return true;
}

void Follower::next_base_changed() {
  const log::SegmentHeader& header = file_->header();
  limit_ = header.next_base();
  const KnownSegment* after = known_after(header.base);
  // What the last listing lacks may have been made ahead and then used for another place.
  while (after != nullptr && after->missing) after = known_after(after->base);
  if (after != nullptr) limit_ = std::min(limit_, after->base);
}

void Follower::update_end() {
  const auto& seal = file_->seal();
  Position end = proven_;
  if (seal) {
    end = seal->end;
  } else if (has_board()) {
    end = parts_.board->committed(stream_);
  } else if (dead_end_) {
    end = *dead_end_;
  }
  end_ = ended_ ? at_ : std::min(end, limit_);
  if (seal || has_board()) {
    const std::uint64_t there = end_ > at_ ? end_ - at_ + log::block_size : log::block_size;
    file_->set_window(std::min(there, read_window));
  }
}

// Whether nothing more comes in this segment.
bool Follower::segment_passed() const {
  if (ended_ || at_ >= limit_) return true;
  if (file_->seal()) return at_ >= file_->seal()->end;
  return dead_end_ && at_ >= *dead_end_;
}

// Whether it lies where segments of one size follow one another: its successor then begins right
// after it.
bool Follower::is_regular() const {
  const log::SegmentHeader& header = file_->header();
  return header.base % (header.size_bytes - log::records_offset) == 0;
}

// Goes to the segment after this one. False: it is not there yet.
bool Follower::leave() {
  const log::SegmentHeader& header = file_->header();
  const Position natural = header.next_base();
  const std::optional<log::Seal>& seal = file_->seal();
  const bool full = ended_ || (seal && seal->kind == log::SealKind::full);
  if (full && is_regular() && limit_ == natural && open_at(natural)) return true;
  const Position base = header.base;
  // The successor begins here at the latest; what lies between was taken away.
  const bool replaced = seal && seal->kind == log::SealKind::replaced && !full;
  const Position latest = replaced ? seal->end : natural;
  const Position expected = full ? natural : seal ? seal->end : limit_;
  const KnownSegment* next = known_after(base);
  // Two listings: what both do not show is not there, and what was made ahead may have been used
  // for another place since.
  for (int i = 0; i < 2 && (next == nullptr || next->base != expected); ++i) {
    if (next == nullptr && (i > 0 || dead())) return false;
    if (parts_.directory.list() < 0) return false;
    next = known_after(base);
  }
  next_base_changed();
  update_end();
  if (!segment_passed()) return true;  // what was to come next was made for another place
  if (next == nullptr) return false;
  if (next->base > latest) lose(std::max(latest, at_), next->base);
  at_ = std::max(at_, next->base);
  close();
  return true;
}

// Opens the segment with this base without asking the directory. False: it can't be had so.
bool Follower::open_at(Position base) {
  auto file = parts_.directory.open(stream_, base);
  if (!file) return false;
  parts_.directory.learn(stream_, base, (*file)->file_bytes());
  close();
  at_ = std::max(at_, base);
  return open_chosen(std::move(*file));
}

// ---- How far it may be read ----

// Nothing more may be handed out of this segment as far as was known. Finds out anew.
bool Follower::raise_end() {
  if (has_board()) {
    update_end();
    return at_ < end_;
  }
  if (dead()) {
    if (!dead_end_ && !file_->seal()) {
      if (!look_at_head()) return true;
      if (!file_->seal()) judge_dead();
    }
    update_end();
    return at_ < end_ || segment_passed();
  }
  return raise_proven();
}

// By what the log itself proves.
bool Follower::raise_proven() {
  if (frontier_ < at_) frontier_ = at_;
  const bool at_end = scan_frontier();
  if (proven_ <= at_ && at_end) {
    if (!look_at_head()) return true;
    if (!file_->seal()) prove_by_next();
  }
  update_end();
  return at_ < end_ || segment_passed();
}

// Walks over valid records until one proves something, and on to the window's end. True: no more
// come in this segment.
bool Follower::scan_frontier() {
  bool fresh = false;
  while (!frontier_ended_ && frontier_ < limit_) {
    file_->set_window(look_bytes_);
    const bool held = file_->holds(frontier_);
    if (proven_ > at_ && !held) return false;
    const auto record = file_->record_at(frontier_);
    if (!record || record->end() > limit_) {
      if (fresh) return false;
      // The window may be older than what was written since.
      file_->forget_window();
      fresh = true;
      continue;
    }
    if (!held) look_bytes_ = std::min(look_bytes_ * 2, read_window);
    fresh = fresh || !held;
    proven_ = std::max({proven_, record->proves(), file_->header().base});
    frontier_ = record->end();
    frontier_ended_ = record->is_mark(log::end_mark);
  }
  return true;
}

// A segment that holds a valid record proves everything below its base.
void Follower::prove_by_next() {
  const KnownSegment* after = known_after(file_->header().base);
  const Position base = after != nullptr ? after->base : file_->header().next_base();
  auto next = parts_.directory.open(stream_, base);
  if (!next) return;
  (*next)->set_window(look_window);
  proven_ = std::max(proven_, (*next)->header().committed);
  if (const auto record = (*next)->record_at(base)) {
    proven_ = std::max({proven_, base, record->proves()});
  }
}

// Reads the head again: the seal may have come. False: the file is another one by now, and closed.
bool Follower::look_at_head() {
  file_->release();
  if (file_->refresh()) {
    update_end();
    return true;
  }
  // Where the segment ended, nothing of it is lost.
  const bool over = ended_ || (file_->seal() && at_ >= file_->seal()->end);
  const Position end = file_->seal() ? std::min(file_->seal()->end, limit_) : limit_;
  const Position base = file_->header().base;
  close();
  auto again = parts_.directory.open(stream_, base);
  if (again) {
    // Replaced before it held anything that was committed.
    open_chosen(std::move(*again));
    return false;
  }
  parts_.directory.forget(stream_, base);
  if (!over && known_for(at_) == nullptr) lose(at_, end);
  if (known_for(at_) == nullptr) at_ = std::max(at_, end);
  return false;
}

// Nobody writes this stream any more and nobody sealed the segment: as recovery will.
void Follower::judge_dead() {
  log::Stream stream;
  stream.id = stream_;
  const Position base = file_->header().base;
  const KnownSegments* known = parts_.directory.find(stream_);
  for (std::size_t i = 0; known != nullptr && i < known->size(); ++i) {
    if ((*known)[i].base < base) continue;
    auto file = parts_.directory.open(stream_, (*known)[i].base);
    if (!file) continue;
    log::SegmentState state;
    state.file = std::move(*file);
    stream.segments.push_back(std::move(state));
  }
  if (stream.segments.empty() || stream.segments.front().header().base != base) return;
  log::examine(stream, false, false, {});
  dead_end_ = stream.segments.front().end;
}

// ---- Reading ----

bool Follower::load() {
  while (!loaded_) {
    if (!file_ && !open()) return false;
    if (at_ >= end_) {
      if (segment_passed() ? !leave() : !raise_end()) return false;
      continue;
    }
    const auto record = file_->record_at(at_);
    if (!record || record->end() > end_) {
      if (!mend()) return false;
      continue;
    }
    verified_ = true;
    if (record->is_mark(log::end_mark)) {
      // Nothing comes before the next segment, and where that begins is known mostly.
      ended_ = true;
      at_ = is_regular() ? file_->header().next_base() : record->end();
      end_ = at_;
      continue;
    }
    if (record->is_own()) {
      at_ = record->end();
      continue;
    }
    if (parts_.selection.matches(record->view(), parts_.catalogs)) {
      record_ = *record;
      loaded_ = true;
      return true;
    }
    at_ = record->end();
  }
  return true;
}

void Follower::pass() {
  if (!loaded_) return;
  loaded_ = false;
  at_ = record_.end();
}

// There should be a record and there is none. True: it is worth going on.
bool Follower::mend() {
  const auto valid = [&] {
    const auto record = file_->record_at(at_);
    return record && record->end() <= end_;
  };
  // It may have been written, or rewritten, since the window was read.
  file_->forget_window();
  if (valid()) return true;
  // Whatever is wrong with a disk: no look takes forever.
  if (at_ != mended_at_) mends_ = 0;
  mended_at_ = at_;
  if (++mends_ > mends_max) return false;
  const Position base = file_->header().base;
  if (!look_at_head() || at_ >= end_) return true;
  for (int i = 0; i < 2; ++i) {
    if (parts_.directory.list() < 0) return false;
    const KnownSegment* better = known_for(at_);
    if (better == nullptr || better->base <= base) continue;
    close();  // what failed here was written again there
    return true;
  }
  next_base_changed();
  update_end();
  if (at_ >= end_ || valid()) return true;
  pass_damage();
  return true;
}

void Follower::pass_damage() {
  const Position from = at_;
  const std::string path = file_->path();
  const std::uint64_t offset = file_->header().offset_of(from);
  file_->set_window(read_window);
  const Position found = log::find_record(*file_, at_ + 8, end_);
  // If it was taken away meanwhile it is not damaged.
  if (!look_at_head()) return;
  if (verified_) {
    parts_.report(
        fmt::format("{}: {} bytes at offset {} (positions {} to {}) should hold acknowledged "
                    "records and do not",
                    path, found - from, offset, from, found));
  } else if (found < limit_ || limit_ - from > log::record_size_max) {
    // Else an earlier tail had read up to the end mark.
    parts_.report(
        fmt::format("stream {}-{}: no record begins at position {}; reading goes on at {}",
                    stream_.run, stream_.shard, from, found));
  }
  verified_ = true;
  at_ = found;
  update_end();
}

// ---- Looks ----

void Follower::look(bool listed) {
  if (loaded_) return;
  mends_ = 0;
  if (!file_) return;
  if (listed) {
    const KnownSegment* better = known_for(at_);
    if (better != nullptr && better->base > file_->header().base && better->base <= at_ &&
        !segment_passed()) {
      close();  // what failed was written again there
      return;
    }
    next_base_changed();
    if (!file_->seal() && !has_board()) {
      if (!look_at_head()) return;
      if (!file_->seal() && !dead() && at_ >= end_) prove_by_next();
    }
  }
  if (!file_->seal() && !has_board()) {
    file_->forget_window();
    look_bytes_ = look_window;
  }
  update_end();
}

bool Follower::finished() const {
  if (loaded_ || stream_.run >= parts_.directory.newest_run()) return false;
  if (!file_) {
    const KnownSegment* last = known_for(at_);
    return known_after(at_) == nullptr && (last == nullptr || unreadable_ == last->base);
  }
  return segment_passed() && known_after(file_->header().base) == nullptr;
}

void Follower::pass_all() {
  if (has_board()) {
    at_ = std::max(at_, parts_.board->committed(stream_));
    verified_ = true;
    return;
  }
  const KnownSegments* known = parts_.directory.find(stream_);
  // From the newest segment that holds anything.
  for (std::size_t i = known == nullptr ? 0 : known->size(); i-- > 0;) {
    const Position base = (*known)[i].base;
    auto file = parts_.directory.open(stream_, base);
    if (!file) continue;
    (*file)->set_window(look_window);
    const bool empty = !(*file)->seal() && !(*file)->record_at(base);
    if (empty && i > 0) continue;
    at_ = base;
    verified_ = true;
    open_chosen(std::move(*file));
    break;
  }
  while (load()) pass();
}

std::uint64_t Follower::behind_bytes() const {
  if (has_board()) {
    const Position committed = parts_.board->committed(stream_);
    return committed > at_ ? committed - at_ : 0;
  }
  std::uint64_t bytes = 0;
  const Position from = file_ ? file_->header().base : at_;
  if (file_ && !ended_) {
    const Position end =
        file_->seal() ? std::min(file_->seal()->end, limit_) : std::max(end_, frontier_);
    bytes += end > at_ ? end - at_ : 0;
  }
  // A growing stream's last segment is made ahead and holds nothing yet.
  const bool grows = !dead();
  for (const KnownSegment* one = known_after(from); one != nullptr;) {
    const KnownSegment* after = known_after(one->base);
    const std::uint64_t room =
        one->file_bytes > log::records_offset ? one->file_bytes - log::records_offset : 0;
    if (after != nullptr) {
      const std::uint64_t span = after->base - one->base;
      bytes += one->compressed ? span : std::min(span, room);
    } else if (!grows) {
      bytes += room;
    }
    one = after;
  }
  return bytes;
}

}  // namespace ringgate::query
