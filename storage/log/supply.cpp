#include "storage/log/supply.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <utility>

#include "engine/base/check.hpp"

namespace ringgate::log {

namespace {

constexpr std::chrono::seconds retention_pause{60};
// A file system with less room than this many segments gets its blocks step by step.
constexpr std::uint64_t roomy_segments = 8;
// The last part of log.retention_hard_bytes, in which holders are told that their holds may break.
constexpr std::uint64_t near_share = 8;

Error supply_error(std::int64_t result, const std::string& what) {
  return errno_error(static_cast<int>(-result), what);
}

}  // namespace

SegmentSupply::SegmentSupply(io::Sys& sys, const LogOptions& options, std::string directory,
                             const NodeId& node, std::uint32_t run, Mode mode,
                             Retention retention)
    : sys_(sys),
      options_(options),
      directory_(std::move(directory)),
      node_(node),
      run_(run),
      mode_(mode),
      zeros_(aligned_memory(zero_step)),
      retention_due_(retention.holds == nullptr),
      retention_(std::move(retention)) {
  std::memset(zeros_.get(), 0, zero_step);
  std::vector<io::DirectoryEntry> entries;
  sys_.list_directory(directory_, entries);
  for (const io::DirectoryEntry& entry : entries) {
    if (entry.name.starts_with("new-")) sys_.remove(directory_ + "/" + entry.name);
    if (entry.name.starts_with("spare-")) {
      next_spare_ = std::max<std::uint64_t>(next_spare_,
                                            std::strtoull(entry.name.c_str() + 6, nullptr, 10) + 1);
    }
  }
  if (mode_ == Mode::thread) thread_ = std::thread([this] { work(); });
}

SegmentSupply::~SegmentSupply() {
  if (mode_ == Mode::thread) {
    stop_.store(true, std::memory_order_release);
    work_.release();
    thread_.join();
  }
  while (serve_retired()) {
  }
  for (Slot& slot : slots_) {
    if (slot.segment.fd >= 0) abandon(slot.segment);
  }
}

void SegmentSupply::abandon() {
  RG_CHECK(mode_ == Mode::inline_now);
  live_.clear();
  for (Slot& slot : slots_) slot.segment = {};
}

void SegmentSupply::notify() {
  if (mode_ == Mode::thread) {
    work_.release();
    return;
  }
  while (step()) {
  }
}

void SegmentSupply::request(ShardIndex shard, Position base, Position committed) {
  Slot& slot = slots_[shard];
  slot.base.store(base, std::memory_order_relaxed);
  slot.committed.store(committed, std::memory_order_relaxed);
  slot.open = true;
  slot.asked.store(slot.asked.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  notify();
}

SegmentSupply::Answer SegmentSupply::poll(ShardIndex shard) {
  const Slot& slot = slots_[shard];
  if (!slot.open) return Answer::none;
  if (slot.answered.load(std::memory_order_acquire) != slot.asked.load(std::memory_order_relaxed)) {
    return Answer::working;
  }
  return slot.ok ? Answer::ready : Answer::failed;
}

SegmentSupply::Answer SegmentSupply::wait(ShardIndex shard) {
  Slot& slot = slots_[shard];
  const std::uint64_t asked = slot.asked.load(std::memory_order_relaxed);
  for (;;) {
    const std::uint64_t answered = slot.answered.load(std::memory_order_acquire);
    if (answered == asked) return poll(shard);
    slot.answered.wait(answered, std::memory_order_acquire);
  }
}

ReadySegment SegmentSupply::take(ShardIndex shard) {
  RG_CHECK(poll(shard) == Answer::ready);
  slots_[shard].open = false;
  return std::exchange(slots_[shard].segment, {});
}

Error SegmentSupply::failure(ShardIndex shard) {
  RG_CHECK(poll(shard) == Answer::failed);
  slots_[shard].open = false;
  return std::exchange(slots_[shard].error, {});
}

void SegmentSupply::hurry() { notify(); }

void SegmentSupply::retire(ReadySegment segment, const Seal& seal) {
  auto* retired = new Retired{std::move(segment), seal, retired_.load(std::memory_order_relaxed)};
  while (!retired_.compare_exchange_weak(retired->next, retired, std::memory_order_release,
                                         std::memory_order_relaxed)) {
  }
  notify();
}

void SegmentSupply::work() {
  while (!stop_.load(std::memory_order_acquire)) {
    if (step()) continue;
    // Whatever comes after step() looked has released the semaphore.
    // Ages grow and holds move meanwhile; where something holds, the first look waits, so that all
    // who hold have said so.
    if (!work_.try_acquire_for(retention_pause)) retention_due_ = true;
  }
}

// One piece of work, most urgent first. False: nothing to do.
bool SegmentSupply::step() {
  if (serve_request()) return true;
  if (initialise_more()) return true;
  if (serve_retired()) return true;
  if (serve_given_back()) return true;
  if (!retention_due_) return false;
  retention_due_ = false;
  apply_retention();
  return true;
}

bool SegmentSupply::serve_request() {
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    const std::uint64_t asked = slot.asked.load(std::memory_order_acquire);
    if (asked == slot.answered.load(std::memory_order_relaxed)) continue;
    auto made = make(std::exchange(slot.segment, {}), static_cast<ShardIndex>(i),
                     slot.base.load(std::memory_order_relaxed),
                     slot.committed.load(std::memory_order_relaxed));
    slot.ok = made.ok();
    if (made) {
      slot.segment = std::move(*made);
    } else {
      counters_.failures.fetch_add(1, std::memory_order_relaxed);
      slot.error = made.error();
    }
    slot.answered.store(asked, std::memory_order_release);
    slot.answered.notify_all();
    return true;
  }
  return false;
}

Result<ReadySegment> SegmentSupply::make(ReadySegment reuse, ShardIndex shard, Position base,
                                         Position committed) {
  ReadySegment segment = std::move(reuse);
  const bool known = segment.fd >= 0;
  if (!known) {
    auto opened = open_file(shard);
    if (!opened) return opened.error();
    segment = std::move(*opened);
  } else {
    // Under its old name a crash would leave a header that contradicts the name.
    const std::string path = new_path(shard);
    std::int64_t moved = sys_.rename(segment.path, path);
    if (moved >= 0) segment.path = path;
    if (moved >= 0) moved = sys_.sync_directory(directory_);
    if (moved < 0) {
      abandon(segment);
      return supply_error(moved, "cannot rename a log segment to " + path);
    }
  }
  std::uint8_t epoch[8];
  sys_.random_bytes(epoch);
  SegmentHeader& header = segment.header;
  header.node = node_;
  header.stream = {run_, shard};
  header.epoch = load_native<std::uint64_t>(epoch);
  header.base = base;
  header.size_bytes = options_.segment_size;
  header.created_us = sys_.wall_now();
  header.committed = committed;
  // Through the page cache all at once: zeroing syncs the file, and of two that sync one file only
  // one is told of an error.
  const bool stepwise = mode_ == Mode::thread && segment.direct;
  const std::uint64_t first =
      stepwise ? std::min(initialise_first, options_.segment_size) : options_.segment_size;
  Result<void> done = zero_to(segment, first);
  if (done) done = put_header(segment);
  if (!done) {
    abandon(segment);
    return done.error();
  }
  const std::string path = directory_ + "/" + segment_file_name(header.stream, base);
  std::int64_t result = path == segment.path ? 0 : sys_.rename(segment.path, path);
  if (result >= 0) segment.path = path;
  if (result >= 0) result = sys_.sync_directory(directory_);
  if (result < 0) {
    abandon(segment);
    return supply_error(result, "cannot put the log segment " + path + " in place");
  }
  if (!known) live_.push_back({segment.fd, header.size_bytes, segment.progress});
  return segment;
}

std::string SegmentSupply::new_path(ShardIndex shard) const {
  return fmt::format("{}/new-{}-{}", directory_, run_, shard);
}

Result<ReadySegment> SegmentSupply::open_file(ShardIndex shard) {
  ReadySegment segment;
  segment.progress = std::make_shared<SegmentProgress>();
  const bool want_direct = options_.direct == Direct::automatic;
  if (open_spare(segment) >= 0) {
    counters_.segments_recycled.fetch_add(1, std::memory_order_relaxed);
    segment.progress->initialised_bytes = options_.segment_size;
    return segment;
  }
  segment.path = new_path(shard);
  constexpr int flags = O_RDWR | O_CREAT | O_TRUNC;
  if (want_direct) {
    segment.fd = open_maybe_direct(sys_, segment.path, flags, 0640, segment.direct);
  } else {
    segment.fd = sys_.open(segment.path, flags, 0640);
  }
  if (segment.fd < 0) {
    return supply_error(segment.fd, "cannot make a log segment in " + directory_);
  }
  counters_.segments_made.fetch_add(1, std::memory_order_relaxed);
  if (sys_.free_bytes(directory_) >=
      static_cast<std::int64_t>(roomy_segments * options_.segment_size)) {
    // Size and extents at once, so that no later write changes them. Where it is refused, zeros do
    // it.
    sys_.fallocate(segment.fd, 0, options_.segment_size);
  }
  return segment;
}

// Opens the spare with the lowest number that has the right size. fd or -ENOENT.
int SegmentSupply::open_spare(ReadySegment& segment) {
  std::vector<io::DirectoryEntry> entries;
  if (!names_synced_ && !sync_names()) return -ENOENT;
  if (sys_.list_directory(directory_, entries) < 0) return -ENOENT;
  const io::DirectoryEntry* best = nullptr;
  for (const io::DirectoryEntry& entry : entries) {
    if (!entry.name.starts_with("spare-")) continue;
    if (entry.size_bytes != options_.segment_size) {
      sys_.remove(directory_ + "/" + entry.name);
    } else if (best == nullptr || entry.name < best->name) {
      best = &entry;
    }
  }
  if (best == nullptr) return -ENOENT;
  segment.path = directory_ + "/" + best->name;
  if (options_.direct == Direct::automatic) {
    segment.fd = open_maybe_direct(sys_, segment.path, O_RDWR, 0, segment.direct);
  } else {
    segment.fd = sys_.open(segment.path, O_RDWR, 0);
  }
  if (segment.fd >= 0 && sys_.is_only_ours(segment.fd) == 0) {
    // A backup has it under another name, or a reader has it open: its content must stay.
    sys_.close(segment.fd);
    segment.fd = -1;
    return sys_.remove(segment.path) < 0 ? -ENOENT : open_spare(segment);
  }
  return segment.fd;
}

Result<void> SegmentSupply::zero_to(ReadySegment& segment, std::uint64_t to) {
  std::uint64_t at = segment.progress->initialised_bytes.load(std::memory_order_relaxed);
  while (at < to) {
    const std::uint64_t size = std::min<std::uint64_t>(zero_step, to - at);
    std::int64_t result = sys_.pwrite(segment.fd, {zeros_.get(), size}, at);
    if (result >= 0 && result != static_cast<std::int64_t>(size)) result = -ENOSPC;
    if (result >= 0 && options_.sync) result = sys_.data_sync(segment.fd);
    if (result < 0) return supply_error(result, "cannot write to the log segment " + segment.path);
    counters_.zero_bytes_written.fetch_add(size, std::memory_order_relaxed);
    at += size;
    segment.progress->initialised_bytes.store(at, std::memory_order_release);
  }
  return {};
}

Result<void> SegmentSupply::put_header(ReadySegment& segment) {
  const AlignedMemory head = aligned_memory(records_offset);
  std::memset(head.get(), 0, records_offset);
  encode_header(segment.header, {head.get(), block_size});
  std::int64_t result = sys_.pwrite(segment.fd, {head.get(), records_offset}, 0);
  if (result >= 0 && result != static_cast<std::int64_t>(records_offset)) result = -EIO;
  if (result >= 0) result = sys_.data_sync(segment.fd);
  if (result < 0) return supply_error(result, "cannot write to the log segment " + segment.path);
  return {};
}

bool SegmentSupply::initialise_more() {
  std::erase_if(live_, [](const Live& live) {
    return live.progress->failed.load(std::memory_order_relaxed) ||
           live.progress->initialised_bytes.load(std::memory_order_relaxed) >= live.size_bytes;
  });
  for (const Live& live : live_) {
    SegmentProgress& progress = *live.progress;
    const std::uint64_t wanted = progress.wanted_bytes.load(std::memory_order_acquire);
    const std::uint64_t goal = std::min(live.size_bytes, wanted + initialise_ahead);
    const std::uint64_t at = progress.initialised_bytes.load(std::memory_order_relaxed);
    if (wanted == 0 || at >= goal) continue;
    ReadySegment segment;
    segment.fd = live.fd;
    segment.progress = live.progress;
    if (!zero_to(segment, std::min(live.size_bytes, at + zero_step))) {
      counters_.failures.fetch_add(1, std::memory_order_relaxed);
      progress.failed.store(true, std::memory_order_release);
    }
    return true;
  }
  return false;
}

bool SegmentSupply::serve_retired() {
  Retired* newest = retired_.exchange(nullptr, std::memory_order_acquire);
  const auto place = retiring_.end() - retiring_.begin();
  while (newest != nullptr) {
    const std::unique_ptr<Retired> owned(newest);
    newest = owned->next;
    retiring_.insert(retiring_.begin() + place, std::move(*owned));
  }
  if (retiring_.empty()) return false;
  Retired job = std::move(retiring_.front());
  retiring_.pop_front();
  std::erase_if(live_, [&](const Live& live) { return live.progress == job.segment.progress; });
  seal_and_close(std::move(job));
  retention_due_ = true;
  return true;
}

void SegmentSupply::seal_and_close(Retired retired) {
  ReadySegment& segment = retired.segment;
  const SegmentHeader& header = segment.header;
  // A full segment may be recycled, so all of it must be initialised.
  if (retired.seal.kind == SealKind::full) static_cast<void>(zero_to(segment, header.size_bytes));
  const AlignedMemory block = aligned_memory(block_size);
  encode_seal(retired.seal, header.epoch, {block.get(), block_size});
  std::int64_t result = sys_.pwrite(segment.fd, {block.get(), block_size}, seal_offset);
  if (result >= 0 && result != block_size) result = -EIO;
  if (result >= 0) result = sys_.data_sync(segment.fd);
  if (result >= 0 && retired.seal.kind != SealKind::full) {
    sys_.truncate(segment.fd, align_up(header.offset_of(retired.seal.end), block_size));
  }
  if (result < 0) counters_.failures.fetch_add(1, std::memory_order_relaxed);
  sys_.close(segment.fd);
  counters_.segments_retired.fetch_add(1, std::memory_order_relaxed);
}

void SegmentSupply::give_back(const std::string& name) {
  {
    const std::lock_guard lock(given_mutex_);
    given_back_.push_back(name);
  }
  if (mode_ == Mode::thread) {
    work_.release();
  } else {
    serve_given_back();
  }
}

bool SegmentSupply::serve_given_back() {
  std::vector<std::string> names;
  {
    const std::lock_guard lock(given_mutex_);
    names.swap(given_back_);
  }
  if (names.empty()) return false;
  for (const std::string& name : names) take_away(name);
  sync_names();
  return true;
}

void SegmentSupply::apply_retention() {
  if (options_.retention_bytes == 0 && options_.retention_age_s == 0) return;
  near_before_.swap(near_);
  near_.clear();
  const std::vector<SegmentEntry> expired = expired_segments();
  for (const SegmentEntry& segment : expired) {
    const std::string plain = segment_file_name(segment.id.stream, segment.id.base);
    if (segment.both || segment.id.compressed) {
      sys_.remove(directory_ + "/" + compressed_name_of(plain));
    }
    if (!segment.id.compressed) take_away(plain);
    if (segment.indexed) sys_.remove(directory_ + "/" + index_name_of(plain));
    counters_.segments_removed.fetch_add(1, std::memory_order_relaxed);
  }
  if (!expired.empty()) sync_names();
}

// A spare must not be written to while a crash could bring its old name back: under that, recovery
// would find the header of another segment.
bool SegmentSupply::sync_names() {
  names_synced_ = sys_.sync_directory(directory_) >= 0;
  return names_synced_;
}

// A plain segment that nobody needs any more: a spare, or gone.
void SegmentSupply::take_away(const std::string& name) {
  const auto file = SegmentFile::open(sys_, directory_ + "/" + name);
  const bool reusable = file && !(*file)->compressed() && (*file)->seal() &&
                        (*file)->seal()->kind == SealKind::full && (*file)->seal()->damaged == 0;
  recycle_or_remove(name, reusable ? (*file)->file_bytes() : 0);
}

// Tells them that the hard limit is near. Whether all knew.
bool SegmentSupply::told_before(const std::vector<std::string>& holders) {
  if (!retention_.on_near) return true;
  bool all = true;
  for (const std::string& holder : holders) {
    all &= near_before_.contains(holder);
    if (near_.insert(holder).second) retention_.on_near(holder);
  }
  return all;
}

// Whether retention may take a segment although the log is `total` bytes long; tells of holds that
// it breaks.
bool SegmentSupply::may_take(const SegmentEntry& segment, const Seal& seal, std::uint64_t total) {
  if (retention_.holds == nullptr) return true;
  const auto holders = retention_.holds->holders(segment.id.stream, seal.end);
  if (holders.empty()) return true;
  const std::uint64_t hard = options_.retention_hard_bytes;
  if (hard == 0 || total <= hard - hard / near_share) return false;
  const bool told = told_before(holders);
  if (total <= hard || !told) return false;
  counters_.holds_broken.fetch_add(1, std::memory_order_relaxed);
  for (const std::string& holder : holders) {
    const bool first = broken_.insert(holder).second;
    if (retention_.on_broken) retention_.on_broken(holder, segment.name, first);
  }
  return true;
}

// Sealed segments beyond the limits, oldest first; never one that follows an unsealed segment.
std::vector<SegmentEntry> SegmentSupply::expired_segments() {
  std::vector<SegmentEntry> entries;
  if (list_segments(sys_, directory_, entries) < 0) return {};
  std::map<StreamId, std::deque<SegmentEntry>> streams;  // by base
  std::uint64_t total = 0;
  for (const SegmentEntry& entry : entries) {
    streams[entry.id.stream].push_back(entry);
    total += entry.disk_bytes;
  }
  const WallUs oldest_kept = sys_.wall_now() - options_.retention_age_s * us_per_s;
  std::vector<SegmentEntry> expired;
  // Runs follow one another in time; within a run the stream whose head was written last waits
  // longest.
  while (!streams.empty()) {
    const std::uint32_t run = streams.begin()->first.run;
    auto best = streams.end();
    std::optional<Seal> best_seal;
    for (auto at = streams.begin(); at != streams.end() && at->first.run == run;) {
      const auto file = SegmentFile::open(sys_, directory_ + "/" + at->second.front().name);
      if (!file || !(*file)->seal()) {
        at = streams.erase(at);
        continue;
      }
      const Seal& seal = *(*file)->seal();
      if (!best_seal || seal.last_received_us < best_seal->last_received_us) {
        best = at;
        best_seal = seal;
      }
      ++at;
    }
    if (!best_seal) continue;
    const bool too_much = options_.retention_bytes > 0 && total > options_.retention_bytes;
    const bool too_old = options_.retention_age_s > 0 && best_seal->last_received_us < oldest_kept;
    if (!too_much && !too_old) break;
    const SegmentEntry& oldest = best->second.front();
    if (!may_take(oldest, *best_seal, total)) {
      streams.erase(best);  // what follows in its stream is held too
      continue;
    }
    total -= oldest.disk_bytes;
    expired.push_back(oldest);
    best->second.pop_front();
    if (best->second.empty()) streams.erase(best);
  }
  return expired;
}

void SegmentSupply::recycle_or_remove(const std::string& name, std::uint64_t size_bytes) {
  std::vector<io::DirectoryEntry> entries;
  sys_.list_directory(directory_, entries);
  const auto spares = std::count_if(
      entries.begin(), entries.end(),
      [](const io::DirectoryEntry& entry) { return entry.name.starts_with("spare-"); });
  const std::string path = directory_ + "/" + name;
  if (size_bytes == options_.segment_size && spares < static_cast<std::ptrdiff_t>(spare_max)) {
    sys_.rename(path, fmt::format("{}/spare-{}", directory_, next_spare_++));
  } else {
    sys_.remove(path);
  }
}

void SegmentSupply::abandon(ReadySegment& segment) {
  std::erase_if(live_, [&](const Live& live) { return live.progress == segment.progress; });
  sys_.close(segment.fd);
  sys_.remove(segment.path);
  segment.fd = -1;
}

}  // namespace ringgate::log
