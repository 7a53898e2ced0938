#include "storage/log/curator.hpp"

#include <fmt/format.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "storage/log/compressor.hpp"
#include "storage/log/index_maker.hpp"
#include "storage/log/segment_file.hpp"

namespace ringgate::log {

namespace {

constexpr std::chrono::seconds look_pause{2};
// A plain file stays so long after its compressed one has its name: whoever lists the directory in
// between sees one of them.
constexpr MonoNs plain_lingers = 2 * ns_per_s;
// After a failure (a full disk): no work for so long.
constexpr MonoNs failure_rest = 60 * ns_per_s;

// Failures that the next segment would meet too.
bool concerns_all(int code) {
  return code == ENOSPC || code == EDQUOT || code == EROFS || code == EMFILE || code == ENFILE ||
         code == ENOMEM || code == EACCES || code == EPERM;
}

// From linux/ioprio.h, which not every system has installed.
constexpr int ioprio_who_process = 1;
constexpr int ioprio_class_idle = 3 << 13;

// Refusals change nothing but how polite the thread is.
void be_idle() {
  sched_param none{};
  static_cast<void>(::pthread_setschedparam(::pthread_self(), SCHED_IDLE, &none));
  static_cast<void>(::syscall(SYS_ioprio_set, ioprio_who_process, 0, ioprio_class_idle));
}

// Of the time that nobody else wants, this part is used: each wake-up of a shard finds its caches
// full of other things where an idle thread has just run, which costs it up to a fifth.
constexpr MonoNs rest_per_work = 3;

MonoNs thread_cpu_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * ns_per_s + now.tv_nsec;
}

std::string plain_name(const SegmentEntry& segment) {
  return segment_file_name(segment.id.stream, segment.id.base);
}

}  // namespace

Curator::Curator(const Parts& parts, const LogOptions& options, Mode mode)
    : parts_(parts), options_(options), mode_(mode) {
  if (parts_.counters != nullptr) {
    observe::CounterGroup& group = *parts_.counters;
    counters_.emplace(Counters{group.counter(indexes_made), group.counter(segments_compressed),
                               group.counter(compressed_from), group.counter(compressed_to),
                               group.counter(curator_failures)});
  }
  if (mode_ == Mode::thread) thread_ = std::thread([this] { work(); });
}

Curator::~Curator() {
  if (!thread_.joinable()) return;
  stop_.store(true, std::memory_order_release);
  // On a busy machine it would hardly come to see it.
  sched_param none{};
  static_cast<void>(::pthread_setschedparam(thread_.native_handle(), SCHED_OTHER, &none));
  wake_.release();
  thread_.join();
}

void Curator::work() {
  be_idle();
  paced_ns_ = thread_cpu_ns();
  while (!stop_.load(std::memory_order_acquire)) {
    if (!look()) static_cast<void>(wake_.try_acquire_for(look_pause));
  }
}

// Called amid the work: rests in proportion to what was done. False: the curator is to end.
bool Curator::pace() {
  if (mode_ == Mode::thread && !stop_.load(std::memory_order_acquire)) {
    const MonoNs worked_ns = thread_cpu_ns() - paced_ns_;
    if (worked_ns < ns_per_ms) return true;
    static_cast<void>(
        wake_.try_acquire_for(std::chrono::nanoseconds(worked_ns * rest_per_work)));
    paced_ns_ = thread_cpu_ns();
  }
  return !stop_.load(std::memory_order_acquire);
}

void Curator::remake_index(const std::string& segment_name) {
  const std::lock_guard lock(mutex_);
  remakes_.insert(segment_name);
}

void Curator::take_remakes() {
  const std::lock_guard lock(mutex_);
  for (const std::string& name : remakes_) {
    parts_.sys.remove(parts_.directory + "/" + index_name_of(name));
    known_[name].index_good = false;
  }
  remakes_.clear();
}

bool Curator::look() {
  take_remakes();
  if (parts_.sys.mono_now() < rest_until_ns_) return false;
  std::vector<SegmentEntry> segments;
  if (list_segments(parts_.sys, parts_.directory, segments) < 0) return false;
  std::map<std::string, Known> kept;
  for (const SegmentEntry& segment : segments) {
    const std::string name = plain_name(segment);
    const auto known = known_.find(name);
    kept[name] = known == known_.end() ? Known{} : known->second;
  }
  known_ = std::move(kept);
  // Queries ask for what came last: the newest first.
  for (auto segment = segments.rbegin(); segment != segments.rend(); ++segment) {
    if (serve(*segment)) return true;
    if (stop_.load(std::memory_order_acquire)) return false;
  }
  return keep_times(segments);
}

// The file of times: checks what an earlier life left, adds what is missing, writes it where
// something changed. Once nothing else is to be done.
bool Curator::keep_times(const std::vector<SegmentEntry>& segments) {
  if (!times_loaded_) {
    std::uint64_t bytes = 0;
    auto table = read_times(parts_.sys, parts_.directory, bytes);
    times_changed_ |= !table;
    // What was learned since is as good.
    if (table) times_.merge(*table);
    times_loaded_ = true;
  }
  std::set<SegmentKey> there;
  for (const SegmentEntry& segment : segments) {
    there.insert({segment.id.stream, segment.id.base});
    Known& known = known_[plain_name(segment)];
    const bool described = segment.indexed || segment.id.compressed;
    if (known.timed || known.unfit || !described) continue;
    known.timed = true;
    learn_times(segment);
    if (!pace()) return false;
  }
  times_changed_ |=
      std::erase_if(times_, [&](const auto& one) { return !there.contains(one.first); }) > 0;
  if (!times_changed_) return false;
  times_changed_ = false;
  if (auto put = write_times(parts_.sys, parts_.directory, times_); !put) {
    times_changed_ = true;
    failed(put.error(), nullptr);
    return false;
  }
  return true;
}

void Curator::learn_times(const SegmentEntry& segment) {
  const SegmentKey key{segment.id.stream, segment.id.base};
  const auto kept = times_.find(key);
  if (kept != times_.end()) {
    const auto file = SegmentFile::open(parts_.sys, parts_.directory + "/" + segment.name,
                                        Access::scattered);
    if (file && (*file)->seal() && kept->second.fits((*file)->header(), *(*file)->seal())) return;
    times_.erase(kept);
    times_changed_ = true;
  }
  auto times = look_up_times(parts_.sys, parts_.directory, segment);
  if (!times) return;  // readers look themselves
  times_[key] = std::move(*times);
  times_changed_ = true;
}

bool Curator::serve(const SegmentEntry& segment) {
  Known& known = known_[plain_name(segment)];
  if (segment.both) return serve_both(segment, known);
  if (!segment.id.compressed) return serve_plain(segment, known);
  if (!segment.indexed) return false;
  // Of a plain file that is gone. Durably, or a power cut would bring it back again and again.
  parts_.sys.remove(parts_.directory + "/" + index_name_of(plain_name(segment)));
  parts_.sys.sync_directory(parts_.directory);
  return true;
}

// Both files are there: one of them goes.
bool Curator::serve_both(const SegmentEntry& segment, Known& known) {
  const std::string name = plain_name(segment);
  const std::string plain = parts_.directory + "/" + name;
  if (known.unfit) return false;
  if (!known.compared) {
    const auto same =
        compare_compressed(parts_.sys, plain, compressed_name_of(plain), [this] { return pace(); });
    if (!same && same.error().code == EINTR) return false;
    if (!same) {
      // The plain one is whole, or else nobody may judge the other by it.
      const auto readable = SegmentFile::open(parts_.sys, plain);
      const bool judge = readable && !(*readable)->compressed() && (*readable)->seal() &&
                         index_is_good(parts_.sys, parts_.directory, name);
      failed(same.error(), &known);
      if (judge) parts_.sys.remove(compressed_name_of(plain));
      known.unfit = !judge;
      return judge;
    }
    known.compared = true;
    known.named_ns = parts_.sys.mono_now();
    return true;
  }
  if (parts_.sys.mono_now() - known.named_ns < plain_lingers) return false;
  if (parts_.supply != nullptr) {
    parts_.supply->give_back(name);
  } else {
    parts_.sys.remove(plain);
  }
  parts_.sys.remove(parts_.directory + "/" + index_name_of(name));
  parts_.sys.sync_directory(parts_.directory);
  // The supply's thread takes it in its own time.
  known.named_ns = parts_.sys.mono_now();
  return true;
}

bool Curator::learn_seal(const SegmentEntry& segment, Known& known) {
  if (known.sealed) return true;
  const auto file = SegmentFile::open(parts_.sys, parts_.directory + "/" + segment.name);
  if (!file || !(*file)->seal()) return false;
  known.sealed = true;
  known.unfit = (*file)->seal()->damaged > 0;
  known.last_received_us = std::max((*file)->seal()->last_received_us,
                                    (*file)->header().created_us);
  return true;
}

bool Curator::serve_plain(const SegmentEntry& segment, Known& known) {
  if (known.unfit || parts_.sys.mono_now() < known.rest_until_ns) return false;
  if (!learn_seal(segment, known) || known.unfit) return false;
  const WallUs age_us = parts_.sys.wall_now() - known.last_received_us;
  if (options_.compress == Compress::zstd && age_us >= options_.compress_after_s * us_per_s) {
    return compress(segment, known);
  }
  // One that was good may have been taken away so that it is made again.
  if (!segment.indexed) known.index_good = false;
  return !known.index_good && index(segment, known);
}

bool Curator::index(const SegmentEntry& segment, Known& known) {
  if (segment.indexed && index_is_good(parts_.sys, parts_.directory, segment.name)) {
    known.index_good = true;
    return true;
  }
  auto made = make_index(parts_.sys, parts_.directory, segment.name, parts_.catalogs,
                               [this] { return pace(); });
  if (!made) {
    failed(made.error(), &known);
    return false;
  }
  if (stop_.load(std::memory_order_acquire)) return false;
  known.unfit = !made->made;
  known.index_good = made->made;
  if (made->made) {
    times_[{segment.id.stream, segment.id.base}] = std::move(made->times);
    known.timed = times_changed_ = true;
  }
  if (made->made && counters_) counters_->indexes.add(1);
  return true;
}

bool Curator::compress(const SegmentEntry& segment, Known& known) {
  CompressOptions options;
  options.pause = [this] { return pace(); };
  const auto done = compress_segment(parts_.sys, parts_.directory, segment.name, parts_.catalogs,
                                     options);
  if (!done) {
    failed(done.error(), &known);
    return false;
  }
  if (stop_.load(std::memory_order_acquire)) return false;
  known.unfit = !done->made;
  if (!done->made) return true;
  known.compared = true;
  known.named_ns = parts_.sys.mono_now();
  if (counters_) {
    counters_->segments.add(1);
    counters_->from.add(done->log_bytes);
    counters_->to.add(done->compressed_bytes);
  }
  return true;
}

// `known`: of the segment that it happened with; null: of none. What has to do with one alone (its
// file can't be read) does not keep the others waiting.
void Curator::failed(const Error& why, Known* known) {
  const MonoNs until = parts_.sys.mono_now() + failure_rest;
  if (known == nullptr || concerns_all(why.code)) {
    rest_until_ns_ = until;
  } else {
    known->rest_until_ns = until;
  }
  if (counters_) counters_->failures.add(1);
  if (parts_.logs == nullptr) return;
  parts_.logs->warn("a segment was not curated", {{"what", why.message}});
}

}  // namespace ringgate::log
