#include "storage/sink/worker.hpp"

#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "storage/sink/batch_buffer.hpp"
#include "storage/sink/counters.hpp"
#include "storage/sink/cursor_file.hpp"

namespace ringgate::sink {

namespace {

// How often a worker without records looks for some: from the first, doubling to the second.
constexpr MonoNs look_first_ns = 5 * ns_per_ms;
constexpr MonoNs look_longest_ns = 40 * ns_per_ms;
// A sync of the cursor's file costs the disk as much as one of the log: not more than one a second.
constexpr MonoNs keep_interval_ns = ns_per_s;
constexpr MonoNs report_interval_ns = 100 * ns_per_ms;
// Target::idle(): below what routers and servers forget connections after.
constexpr MonoNs idle_interval_ns = 10 * ns_per_s;
// Credentials and configurations get better by people: the first wait is so many times longer.
constexpr MonoNs slow_retry_factor = 8;

class Loop final : public Worker {
 public:
  Loop(const WorkerParts& parts, const WorkerOptions& options, MakeTarget make)
      : parts_(parts), options_(options), make_(std::move(make)), counters_(parts.counters),
        file_(parts.sys, parts.data_dir, options.name, parts.node),
        hold_name_(fmt::format("sink.{}", options.name)), start_(options.start),
        retry_ns_(options.retry_first_ns) {
    std::uint8_t seed[8];
    parts_.sys.random_bytes(seed);
    random_ = load_native<std::uint64_t>(seed) | 1;
  }

  Result<void> begin() {
    auto kept = file_.load();
    if (!kept) return kept.error();
    if (*kept) {
      confirmed_ = (*kept)->cursor;
      sought_ = (*kept)->sought;
    }
    // Before the thread knows where it begins: nothing that it may want must go meanwhile.
    if (confirmed_ || start_.where == query::TailStart::Where::beginning) {
      parts_.holds.set(hold_name_, confirmed_.value_or(log::Cursor{}));
    }
    thread_ = std::thread([this] { run(); });
    return {};
  }

  ~Loop() override {
    stop();
    if (thread_.joinable()) thread_.join();
  }

  const std::string& name() const override { return options_.name; }
  void pause() override { command([this] { paused_ = true; }); }
  void resume() override { command([this] { paused_ = false; }); }
  void seek(const query::TailStart& start) override { command([&] { seek_ = start; }); }
  void stop() override {
    command([this] {
      stop_ = true;
      if (target_) target_->stop();
    });
  }

  Status status() const override {
    const std::lock_guard lock(mutex_);
    Status out = status_;
    if (oldest_us_ != 0) {
      const WallUs age_us = std::max<WallUs>(parts_.sys.wall_now() - oldest_us_, 0);
      out.lag_s = static_cast<double>(age_us) / us_per_s;
    }
    return out;
  }

 private:
  template <class Change>
  void command(Change change) {
    const std::lock_guard lock(mutex_);
    change();
    commanded_ = true;
    changed_.notify_all();
  }

  // The thread ------------------------------------------------------------------------------------

  void run();
  bool take_commands();
  void turn();
  void seek_now(const query::TailStart& start);
  bool open_tail();
  bool open_target();
  void adopt(const std::optional<log::Cursor>& kept_there);
  bool fill();
  void send();
  void confirm();
  void skip(const Trouble& trouble);
  void trouble(const Trouble& trouble);
  void local_trouble(std::string_view what, std::string_view why);
  void back_off(MonoNs longest_first);
  bool wait(MonoNs time_ns);
  void keep_cursor(bool now);
  void report(State state, bool now = false);
  void say_problems();
  bool batch_full() const {
    return batch_.records() >= options_.batch_records || batch_.bytes() >= options_.batch_bytes;
  }
  void set_confirmed(const log::Cursor& cursor) {
    if (confirmed_ == cursor) return;
    confirmed_ = cursor;
    dirty_ = true;
  }

  const WorkerParts parts_;
  const WorkerOptions options_;
  const MakeTarget make_;
  Counters counters_;
  CursorFile file_;
  const std::string hold_name_;

  mutable std::mutex mutex_;  // guards these
  std::condition_variable changed_;
  bool commanded_ = false;
  bool stop_ = false;
  bool paused_ = false;
  std::optional<query::TailStart> seek_;
  Status status_;
  WallUs oldest_us_ = 0;
  std::unique_ptr<Target> target_;  // set by the thread; used by it, and by stop()

  std::unique_ptr<query::Tail> tail_;
  query::TailStart start_;  // where the tail opens while nothing is confirmed
  BatchBuffer batch_;
  log::Cursor batch_cursor_;  // behind the batch
  MonoNs batch_since_ = 0;
  std::optional<log::Cursor> confirmed_;  // everything before it is
  bool sought_ = false;  // confirmed_ was set by an operator; the target knows nothing of it yet
  bool dirty_ = false;   // confirmed_ is not in the file yet
  bool pausing_ = false;
  bool open_ = false;  // the target is
  MonoNs kept_at_ = 0;
  MonoNs reported_at_ = 0;
  MonoNs heard_at_ = 0;  // the target, last
  MonoNs look_ns_ = look_first_ns;
  MonoNs retry_ns_;
  bool failing_ = false;
  std::uint64_t rows_seen_ = 0;
  std::size_t problems_said_ = 0;
  std::uint64_t lost_said_ = 0;
  std::uint64_t random_ = 1;
  std::string last_error_;
  WallUs last_confirmed_us_ = 0;
  std::thread thread_;
};

void Loop::run() {
  // Signals are the main thread's.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  pthread_setname_np(pthread_self(), fmt::format("sink-{}", options_.name).substr(0, 15).c_str());
  std::unique_ptr<Target> made = make_();
  {
    const std::lock_guard lock(mutex_);
    target_ = std::move(made);
    if (stop_) target_->stop();
  }
  report(State::starting, true);
  while (take_commands()) turn();
  keep_cursor(true);
  target_->close();
  report(State::stopped, true);
}

// False: it is time to end.
bool Loop::take_commands() {
  std::optional<query::TailStart> seek;
  {
    const std::lock_guard lock(mutex_);
    commanded_ = false;
    if (stop_) return false;
    pausing_ = paused_;
    seek.swap(seek_);
  }
  if (seek) seek_now(*seek);
  return true;
}

void Loop::turn() {
  if (!tail_ && !open_tail()) return;
  if (pausing_) {
    keep_cursor(true);
    if (!tail_->refresh()) tail_.reset();
    report(State::paused);
    wait(ns_per_s);
    return;
  }
  if (!open_ && !open_target()) return;
  if (!fill()) return;
  const MonoNs now = parts_.sys.mono_now();
  report(State::running);
  keep_cursor(false);
  if (batch_.empty()) {
    if (now - heard_at_ >= idle_interval_ns) {
      heard_at_ = now;
      if (auto idle = target_->idle(); !idle) return trouble(idle.error());
    }
    wait(look_ns_);
    look_ns_ = std::min(look_ns_ * 2, look_longest_ns);
    return;
  }
  look_ns_ = look_first_ns;
  const MonoNs left = batch_since_ + options_.batch_delay_ns - now;
  if (!batch_full() && left > 0) {
    wait(left);
    return;
  }
  send();
}

// Where the log is read ---------------------------------------------------------------------------

bool Loop::open_tail() {
  query::TailStart start = start_;
  if (confirmed_) start = {query::TailStart::Where::cursor, *confirmed_};
  auto opened = parts_.open_tail(start);
  if (!opened) {
    local_trouble("the log can't be read", opened.error().message);
    return false;
  }
  tail_ = std::move(*opened);
  batch_.clear();
  if (!confirmed_) {
    set_confirmed(tail_->cursor());
    keep_cursor(true);
  }
  return true;
}

void Loop::seek_now(const query::TailStart& start) {
  batch_.clear();
  sought_ = true;
  confirmed_.reset();
  start_ = start;
  tail_.reset();
  look_ns_ = look_first_ns;
  if (open_tail()) {
    parts_.logs.info("sink sought",
                     {{"sink", options_.name}, {"to", log::to_text(parts_.node, *confirmed_)}});
  }
}

// Takes what there is into the batch; the tail alone moves. False: the log can't be read now.
bool Loop::fill() {
  if (!tail_->refresh()) {
    tail_.reset();
    local_trouble("the log can't be read", "its directory is not there");
    return false;
  }
  if (batch_full()) return true;
  query::Found found;
  bool more = false;
  while (!batch_full() && (more = tail_->next(found))) {
    if (batch_.empty()) batch_since_ = parts_.sys.mono_now();
    batch_.add(found, parts_.catalogs.find(found.record.ns()));
  }
  log::Cursor cursor = tail_->cursor();
  // The record handed out last is not behind the tail's cursor yet, and is in the batch.
  if (more) cursor.set(found.stream, found.record.end());
  say_problems();
  if (batch_.empty()) {
    set_confirmed(cursor);  // what was passed over, nobody wants
  } else {
    batch_cursor_ = std::move(cursor);
  }
  return true;
}

void Loop::say_problems() {
  const auto& problems = tail_->problems();
  for (std::size_t i = std::min(problems_said_, problems.size()); i < problems.size(); ++i) {
    parts_.logs.warn("sink met damage in the log",
                     {{"sink", options_.name}, {"what", problems[i]}});
  }
  problems_said_ = problems.size();
  const std::uint64_t lost = tail_->lost_bytes();
  if (lost > lost_said_) {
    parts_.logs.error("retention took records before the sink had them",
                      {{"sink", options_.name}, {"bytes", lost}});
  }
  lost_said_ = lost;
}

// The target --------------------------------------------------------------------------------------

bool Loop::open_target() {
  auto opened = target_->open();
  if (!opened) {
    trouble(opened.error());
    return false;
  }
  open_ = true;
  heard_at_ = parts_.sys.mono_now();
  if (target_->keeps_cursor() && !sought_) adopt(*opened);
  return true;
}

// The cursor that was stored together with the rows is the truth; ours may be behind it (a batch
// was taken, and the answer lost) or before it (the other side is a backup, or empty).
void Loop::adopt(const std::optional<log::Cursor>& kept_there) {
  if (!kept_there && options_.start.where != query::TailStart::Where::beginning) return;
  const log::Cursor cursor = kept_there.value_or(log::Cursor{});
  if (cursor == confirmed_) return;
  // The batch was taken, and only the answer was lost.
  if (!batch_.empty() && cursor == batch_cursor_) return confirm();
  batch_.clear();
  if (auto sought = tail_->seek({query::TailStart::Where::cursor, cursor}); !sought) {
    tail_.reset();  // opens there in the next turn
  }
  set_confirmed(cursor);
  keep_cursor(true);
  parts_.logs.info("sink goes on from the cursor that its target keeps",
                   {{"sink", options_.name}, {"cursor", log::to_text(parts_.node, cursor)}});
}

void Loop::send() {
  if (batch_.empty()) return;
  const Batch batch{options_.node_name, parts_.node, batch_.items(), batch_cursor_};
  const MonoNs began = parts_.sys.mono_now();
  auto written = target_->write(batch);
  heard_at_ = parts_.sys.mono_now();
  counters_.write_seconds.record(heard_at_ - began);
  if (written) return confirm();
  const Trouble& why = written.error();
  if (why.failure == Failure::bad_record && why.item < batch_.records()) return skip(why);
  trouble(why);
}

// The one place where the cursor passes records: the target has just said that it has them.
void Loop::confirm() {
  RG_CHECK(confirmed_.has_value());
  set_confirmed(batch_cursor_);
  sought_ = false;
  counters_.records.add(batch_.records());
  counters_.batches.add();
  const std::uint64_t rows = target_->rows_written();
  counters_.rows.add(rows - std::min(rows, rows_seen_));
  rows_seen_ = rows;
  batch_.clear();
  last_confirmed_us_ = parts_.sys.wall_now();
  retry_ns_ = options_.retry_first_ns;
  if (failing_) parts_.logs.info("sink works again", {{"sink", options_.name}});
  failing_ = false;
  last_error_.clear();
  keep_cursor(false);
}

void Loop::skip(const Trouble& trouble) {
  const Item& item = batch_.items()[trouble.item];
  counters_.failures.add(Failure::bad_record);
  counters_.skipped.add();
  parts_.logs.error("record skipped: the sink's target will never take it",
                    {{"sink", options_.name},
                     {"record", log::record_id(parts_.node, item.stream, item.position)},
                     {"device", item.view.device},
                     {"why", trouble.message}});
  batch_.remove(trouble.item);
  if (batch_.empty()) confirm();  // nothing is left to be confirmed
}

void Loop::trouble(const Trouble& trouble) {
  {
    const std::lock_guard lock(mutex_);
    if (stop_) return;  // we made it fail
  }
  counters_.failures.add(trouble.failure);
  last_error_ = trouble.message;
  failing_ = true;
  const std::string_view reason = failure_names[static_cast<std::size_t>(trouble.failure)];
  const bool slow = trouble.failure == Failure::refused || trouble.failure == Failure::bad_config ||
                    trouble.failure == Failure::bad_record;  // of no record of ours: its mistake
  if (slow) {
    parts_.logs.error("sink fails",
                      {{"sink", options_.name}, {"reason", reason}, {"why", trouble.message}});
  } else {
    parts_.logs.warn("sink fails",
                     {{"sink", options_.name}, {"reason", reason}, {"why", trouble.message}});
  }
  if (trouble.failure != Failure::overloaded) {
    target_->close();
    open_ = false;
  }
  back_off(slow ? options_.retry_first_ns * slow_retry_factor : 0);
}

void Loop::local_trouble(std::string_view what, std::string_view why) {
  parts_.logs.error(what, {{"sink", options_.name}, {"why", why}});
  last_error_ = fmt::format("{}: {}", what, why);
  failing_ = true;
  back_off(0);
}

// Waits, each time twice as long; a command ends it.
void Loop::back_off(MonoNs shortest_ns) {
  retry_ns_ = std::min(std::max(retry_ns_, shortest_ns), options_.retry_longest_ns);
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  // Between half of it and all: nodes that lost one server do not come back in one moment.
  const MonoNs half = std::max<MonoNs>(retry_ns_ / 2, 1);
  const MonoNs time = half + static_cast<MonoNs>(random_ % static_cast<std::uint64_t>(half));
  retry_ns_ = std::min(retry_ns_ * 2, options_.retry_longest_ns);
  const MonoNs until = parts_.sys.mono_now() + time;
  for (MonoNs now = parts_.sys.mono_now(); now < until; now = parts_.sys.mono_now()) {
    if (tail_ && !tail_->refresh()) tail_.reset();
    report(State::backing_off);
    keep_cursor(false);
    if (wait(std::min(until - now, ns_per_s))) return;
  }
}

// True: somebody wants something.
bool Loop::wait(MonoNs time_ns) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::nanoseconds(time_ns), [this] { return commanded_; });
}

// What stays ------------------------------------------------------------------------------------

void Loop::keep_cursor(bool now) {
  if (!dirty_ || !confirmed_) return;
  const MonoNs clock = parts_.sys.mono_now();
  if (!now && clock - kept_at_ < keep_interval_ns) return;
  kept_at_ = clock;
  if (auto saved = file_.save({*confirmed_, sought_}); !saved) {
    parts_.logs.warn("the sink's cursor can't be kept; a restart would repeat records",
                     {{"sink", options_.name}, {"why", saved.error().message}});
  } else {
    dirty_ = false;
  }
  // Also where the disk is full: then retention is what makes room.
  parts_.holds.set(hold_name_, *confirmed_);
}

void Loop::report(State state, bool now) {
  const MonoNs clock = parts_.sys.mono_now();
  bool same = false;
  {
    const std::lock_guard lock(mutex_);
    same = status_.state == state;
  }
  if (same && !now && clock - reported_at_ < report_interval_ns) return;
  reported_at_ = clock;
  query::Lag lag;
  if (tail_) lag = tail_->lag();
  if (!batch_.empty()) {
    lag.bytes += batch_.bytes() + batch_.records() * log::record_header_size;
    lag.oldest_us = batch_.oldest_us();
  }
  counters_.state.set(static_cast<std::int64_t>(state));
  counters_.lag_bytes.set(static_cast<std::int64_t>(lag.bytes));
  const WallUs age =
      lag.oldest_us == 0 ? 0 : std::max<WallUs>(parts_.sys.wall_now() - lag.oldest_us, 0);
  counters_.lag_seconds.set(age / us_per_s);
  if (tail_) counters_.lost_bytes.set(static_cast<std::int64_t>(tail_->lost_bytes()));
  const std::lock_guard lock(mutex_);
  status_.state = state;
  if (confirmed_) status_.cursor = log::to_text(parts_.node, *confirmed_);
  status_.last_error = last_error_;
  status_.records = counters_.records.value();
  status_.batches = counters_.batches.value();
  status_.skipped = counters_.skipped.value();
  status_.lag_bytes = lag.bytes;
  status_.last_confirmed_us = last_confirmed_us_;
  oldest_us_ = lag.oldest_us;
}

}  // namespace

Result<std::unique_ptr<Worker>> Worker::start(const WorkerParts& parts,
                                              const WorkerOptions& options, MakeTarget make) {
  auto loop = std::make_unique<Loop>(parts, options, std::move(make));
  if (auto begun = loop->begin(); !begun) return begun.error();
  return std::unique_ptr<Worker>(std::move(loop));
}

}  // namespace ringgate::sink
