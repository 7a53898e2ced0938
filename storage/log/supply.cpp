#include "storage/log/supply.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "engine/base/check.hpp"

namespace ringgate::log {

namespace {

constexpr std::chrono::seconds retention_pause{60};
// A file system with less room than this many segments gets its blocks step by step.
constexpr std::uint64_t roomy_segments = 8;

Error supply_error(std::int64_t result, const std::string& what) {
  return errno_error(static_cast<int>(-result), what);
}

}  // namespace

SegmentSupply::SegmentSupply(io::Sys& sys, const LogOptions& options, std::string directory,
                             const NodeId& node, std::uint32_t run, Mode mode)
    : sys_(sys),
      options_(options),
      directory_(std::move(directory)),
      node_(node),
      run_(run),
      mode_(mode),
      zeros_(aligned_memory(zero_step)) {
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
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }
  while (serve_retired()) {
  }
  for (auto& [shard, slot] : slots_) {
    if (slot.segment.fd >= 0) abandon(slot.segment);
  }
}

void SegmentSupply::request(ShardIndex shard, Position base, Position committed) {
  {
    const std::lock_guard lock(mutex_);
    Slot& slot = slots_[shard];
    slot.wanted = ++serial_;
    slot.base = base;
    slot.committed = committed;
  }
  if (mode_ == Mode::inline_now) {
    while (step()) {
    }
  } else {
    wake_.notify_one();
  }
}

SegmentSupply::Answer SegmentSupply::poll(ShardIndex shard) {
  const std::lock_guard lock(mutex_);
  const auto found = slots_.find(shard);
  if (found == slots_.end() || found->second.wanted == 0) return Answer::none;
  const Slot& slot = found->second;
  if (slot.done != slot.wanted) return Answer::working;
  return slot.ok ? Answer::ready : Answer::failed;
}

ReadySegment SegmentSupply::take(ShardIndex shard) {
  const std::lock_guard lock(mutex_);
  Slot& slot = slots_[shard];
  RG_CHECK(slot.wanted != 0 && slot.done == slot.wanted && slot.ok);
  slot.wanted = 0;
  ReadySegment segment = std::exchange(slot.segment, {});
  if (segment.progress->initialised_bytes.load() < segment.header.size_bytes) {
    live_.push_back({segment.fd, segment.header.size_bytes, segment.progress});
  }
  return segment;
}

Error SegmentSupply::failure(ShardIndex shard) {
  const std::lock_guard lock(mutex_);
  Slot& slot = slots_[shard];
  RG_CHECK(slot.wanted != 0 && slot.done == slot.wanted && !slot.ok);
  slot.wanted = 0;
  return std::exchange(slot.error, {});
}

void SegmentSupply::hurry() {
  if (mode_ == Mode::inline_now) {
    while (step()) {
    }
    return;
  }
  { const std::lock_guard lock(mutex_); }  // so that the thread is either before its look or asleep
  wake_.notify_one();
}

void SegmentSupply::retire(ReadySegment segment, const Seal& seal) {
  {
    const std::lock_guard lock(mutex_);
    retired_.push_back({std::move(segment), seal});
  }
  if (mode_ == Mode::inline_now) {
    while (step()) {
    }
  } else {
    wake_.notify_one();
  }
}

void SegmentSupply::work() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    lock.unlock();
    const bool did = step();
    lock.lock();
    if (did || stop_) continue;
    // Work that came since step() looked is seen here, with the lock held.
    const bool due =
        !retired_.empty() || std::any_of(slots_.begin(), slots_.end(), [](const auto& entry) {
          return entry.second.wanted != entry.second.done && entry.second.wanted != 0;
        });
    if (due) continue;
    if (wake_.wait_for(lock, retention_pause) == std::cv_status::timeout) {
      retention_due_ = options_.retention_age_s > 0;
    }
  }
}

// One piece of work, most urgent first. False: nothing to do.
bool SegmentSupply::step() {
  if (serve_request()) return true;
  if (initialise_more()) return true;
  if (serve_retired()) return true;
  if (!retention_due_) return false;
  retention_due_ = false;
  apply_retention();
  return true;
}

bool SegmentSupply::serve_request() {
  ShardIndex shard = 0;
  Slot job;
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(slots_.begin(), slots_.end(), [](const auto& entry) {
      return entry.second.wanted != 0 && entry.second.wanted != entry.second.done;
    });
    if (found == slots_.end()) return false;
    shard = found->first;
    job = std::exchange(found->second, {});
    found->second.wanted = job.wanted;
    found->second.base = job.base;
    found->second.committed = job.committed;
    found->second.done = job.done;
  }
  auto made = make(std::move(job.segment), shard, job.base, job.committed);
  if (!made) counters_.failures.fetch_add(1, std::memory_order_relaxed);
  const std::lock_guard lock(mutex_);
  Slot& slot = slots_[shard];
  slot.done = job.wanted;
  slot.ok = made.ok();
  if (made) {
    slot.segment = std::move(*made);
  } else {
    slot.error = made.error();
  }
  return true;
}

Result<ReadySegment> SegmentSupply::make(ReadySegment reuse, ShardIndex shard, Position base,
                                         Position committed) {
  ReadySegment segment = std::move(reuse);
  if (segment.fd < 0) {
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
  const std::uint64_t first = mode_ == Mode::inline_now
                                  ? options_.segment_size
                                  : std::min(initialise_first, options_.segment_size);
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
  Live job{-1, 0, nullptr};
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(live_, [](const Live& live) {
      return live.progress->failed.load() ||
             live.progress->initialised_bytes.load() >= live.size_bytes;
    });
    for (const Live& live : live_) {
      const std::uint64_t wanted = live.progress->wanted_bytes.load(std::memory_order_acquire);
      const std::uint64_t goal = std::min(live.size_bytes, wanted + initialise_ahead);
      if (live.progress->initialised_bytes.load() < goal) job = live;
    }
  }
  if (job.fd < 0) return false;
  ReadySegment segment;
  segment.fd = job.fd;
  segment.progress = job.progress;
  const std::uint64_t at = job.progress->initialised_bytes.load();
  if (!zero_to(segment, std::min(job.size_bytes, at + zero_step))) {
    counters_.failures.fetch_add(1, std::memory_order_relaxed);
    job.progress->failed.store(true, std::memory_order_release);
  }
  return true;
}

bool SegmentSupply::serve_retired() {
  Retired job;
  {
    const std::lock_guard lock(mutex_);
    if (retired_.empty()) return false;
    job = std::move(retired_.front());
    retired_.pop_front();
    std::erase_if(live_, [&](const Live& live) { return live.progress == job.segment.progress; });
  }
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

void SegmentSupply::apply_retention() {
  if (options_.retention_bytes == 0 && options_.retention_age_s == 0) return;
  const std::vector<std::string> expired = expired_segments();
  for (const std::string& name : expired) {
    const std::string path = directory_ + "/" + name;
    const auto file = SegmentFile::open(sys_, path);
    const bool reusable = file && (*file)->seal() && (*file)->seal()->kind == SealKind::full &&
                          (*file)->seal()->damaged == 0;
    recycle_or_remove(name, reusable ? (*file)->file_bytes() : 0);
    counters_.segments_removed.fetch_add(1, std::memory_order_relaxed);
  }
  if (!expired.empty()) sys_.sync_directory(directory_);
}

// Sealed segments beyond the limits, oldest first; never one that follows an unsealed segment.
std::vector<std::string> SegmentSupply::expired_segments() {
  struct Candidate {
    std::string name;
    SegmentName id;
    std::uint64_t size_bytes;
  };
  std::vector<io::DirectoryEntry> entries;
  if (sys_.list_directory(directory_, entries) < 0) return {};
  std::map<StreamId, std::deque<Candidate>> streams;
  std::uint64_t total = 0;
  for (const io::DirectoryEntry& entry : entries) {
    const auto name = parse_segment_file_name(entry.name);
    if (!name) continue;
    streams[name->stream].push_back({entry.name, *name, entry.size_bytes});
    total += entry.size_bytes;
  }
  for (auto& [id, list] : streams) {
    std::sort(list.begin(), list.end(),
              [](const Candidate& a, const Candidate& b) { return a.id.base < b.id.base; });
  }
  const WallUs oldest_kept = sys_.wall_now() - options_.retention_age_s * us_per_s;
  std::vector<std::string> expired;
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
    total -= best->second.front().size_bytes;
    expired.push_back(best->second.front().name);
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
  sys_.close(segment.fd);
  sys_.remove(segment.path);
  segment.fd = -1;
}

}  // namespace ringgate::log
