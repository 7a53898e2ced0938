#include "protocols/api/catch_up.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>

#include "protocols/api/letters.hpp"

namespace ringgate::api {

namespace {

// Steps without a message after which the place is told all the same.
constexpr std::uint32_t silent_steps_max = 64;
// Steps of one reader before another may have its place.
constexpr std::uint32_t steps_in_a_row = 64;
// A reader that found nothing, though something must come, looks again after so long.
constexpr MonoNs look_again = 10 * ns_per_ms;

}  // namespace

// One reader --------------------------------------------------------------------------------------

LogReader::LogReader(std::uint64_t job, std::shared_ptr<const Subscription> wanted,
                     const CatchUps::Start& start, const StreamPlace& until)
    : job_(job), wanted_(std::move(wanted)), id_json_(json_text(wanted_->id)),
      place_(start.place), skips_first_(start.skips_first), until_(until) {}

bool LogReader::open(const query::Scan::Parts& parts, CaughtUp& out) {
  auto opened = query::Tail::open(parts, {}, {query::TailStart::Where::cursor, cursor_of(place_)});
  if (!opened) {
    out.error = opened.error().message;
    return false;
  }
  tail_ = std::move(*opened);
  lost_seen_ = 0;
  return true;
}

void LogReader::take(Event& event) {
  if (!wanted_->wants(event.facts())) return;
  if (count_++ > 0) events_ += ',';
  events_ += event.json(wanted_->decode);
}

void LogReader::cut(const log::NodeId& node, CaughtUp& out) {
  if (count_ == 0) return;
  const std::string cursor = to_text(node, place_);
  out.messages.push_back(events_message(id_json_, events_, 0, cursor));
  out.cursors.push_back(cursor);
  out.events += count_;
  bytes_ += events_.size();
  events_.clear();
  count_ = 0;
}

bool LogReader::beyond(const query::Found& found) const {
  if (found.stream.run != until_.run) return found.stream.run > until_.run;
  return found.record.header.position >= until_.of(found.stream.shard);
}

bool LogReader::has_reached(const StreamPlace& until) const {
  const log::Cursor cursor = tail_->cursor();
  // Runs are read one after the other. While an earlier one goes on, a new run in which nothing was
  // written yet looks as if it had been reached.
  if (cursor.done_runs_below() < until.run) return false;
  for (std::size_t i = 0; i < until.positions.size(); ++i) {
    const auto start = cursor.start_of({until.run, static_cast<ShardIndex>(i)});
    if (start && *start < until.positions[i]) return false;
  }
  return true;
}

void LogReader::read(const query::Found& found, EventSource& source, CaughtUp& out) {
  if (const std::uint64_t lost = tail_->lost_bytes(); lost > lost_seen_) {
    cut(tail_->node(), out);
    out.messages.push_back(gap_message(id_json_, lost - std::exchange(lost_seen_, lost)));
    out.cursors.emplace_back();
  }
  if (beyond(found)) {
    passed_over_ = true;
    return;
  }
  if (!std::exchange(skips_first_, false)) source.read(found, *this);
  place_.pass(found.stream, found.record.end());
  if (count_ >= wanted_->batch_max || events_.size() >= stream_limits::batch_bytes_max) {
    cut(tail_->node(), out);
  }
}

CaughtUp LogReader::step(const query::Scan::Parts& parts, EventSource& source) {
  CaughtUp out;
  out.job = job_;
  bytes_ = 0;
  if (!tail_ && !open(parts, out)) return out;
  if (!tail_->refresh()) {
    out.error = "the log can't be read";
    return out;
  }
  query::Found found;
  bool more = true;
  for (std::uint32_t i = 0;
       i < stream_limits::catch_up_records && bytes_ < stream_limits::catch_up_bytes; ++i) {
    more = tail_->next(found);
    if (!more) break;
    read(found, source, out);
  }
  cut(tail_->node(), out);
  if (!more && tail_->lost_bytes() > lost_seen_) {
    const std::uint64_t lost = tail_->lost_bytes();
    out.messages.push_back(gap_message(id_json_, lost - std::exchange(lost_seen_, lost)));
    out.cursors.emplace_back();
  }
  // That there are no more says nothing: a stream that was not listed yet may have records still.
  out.done = has_reached(until_);
  at_end_ = !more && out.messages.empty() && !out.done;
  silent_steps_ = out.messages.empty() ? silent_steps_ + 1 : 0;
  if (silent_steps_ >= silent_steps_max) {
    silent_steps_ = 0;
    const std::string cursor = to_text(tail_->node(), place_);
    out.messages.push_back(fmt::format(R"({{"cursor":"{}","id":{}}})", cursor, id_json_));
    out.cursors.push_back(cursor);
  }
  return out;
}

// The thread --------------------------------------------------------------------------------------

CatchUpThread::CatchUpThread(const query::Scan::Parts& parts, Namespace ns,
                             const log::NodeId& node, std::function<void(CaughtUp)> tell)
    : parts_(parts), source_(parts.catalogs, ns, node), tell_(std::move(tell)) {}

CatchUpThread::~CatchUpThread() {
  stop_.store(true, std::memory_order_release);
  inbox_.wake();
  if (thread_.joinable()) thread_.join();
}

template <class Work>
void CatchUpThread::post(Work work) {
  inbox_.push(make_letter(std::move(work)));
}

void CatchUpThread::begin(std::uint64_t job, std::shared_ptr<const Subscription> wanted,
                          const Start& start, const StreamPlace& until) {
  post([this, job, wanted = std::move(wanted), start, until] {
    jobs_[job].reader = std::make_unique<LogReader>(job, wanted, start, until);
  });
}

void CatchUpThread::go_on(std::uint64_t job, const StreamPlace& until) {
  post([this, job, until] {
    const auto found = jobs_.find(job);
    if (found == jobs_.end()) return;
    found->second.runs = true;
    found->second.reader->read_until(until);
  });
}

void CatchUpThread::cancel(std::uint64_t job) {
  post([this, job] {
    const auto found = jobs_.find(job);
    if (found == jobs_.end()) return;
    if (found->second.active) --active_;
    jobs_.erase(found);
  });
}

void CatchUpThread::serve() {
  thread_ = std::thread([this] { run(); });
}

void CatchUpThread::run() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  pthread_setname_np(pthread_self(), "stream-log");
  while (!stop_.load(std::memory_order_acquire)) {
    if (turn()) continue;
    pollfd one{.fd = inbox_.fd(), .events = POLLIN, .revents = 0};
    const bool waits = std::ranges::any_of(jobs_, [](const auto& one_job) {
      return one_job.second.runs;
    });
    if (::poll(&one, 1, waits ? look_again / ns_per_ms : -1) < 0 && errno != EINTR) return;
  }
}

// Somebody waits for a place: one that waits for its socket, or has had enough, gives up its own.
void CatchUpThread::make_room() {
  for (auto& [number, job] : jobs_) {
    if (!job.active || (job.runs && job.steps < steps_in_a_row)) continue;
    job.reader->rest();
    job.active = false;
    --active_;
    return;
  }
}

// A step of the next job that may run.
bool CatchUpThread::turn() {
  inbox_.take();
  if (jobs_.empty()) return false;
  auto at = jobs_.upper_bound(last_);
  for (std::size_t i = 0; i < jobs_.size(); ++i, ++at) {
    if (at == jobs_.end()) at = jobs_.begin();
    auto& [number, job] = *at;
    if (!job.runs) continue;
    if (!job.active) {
      if (active_ >= stream_limits::catch_ups_max) make_room();
      if (active_ >= stream_limits::catch_ups_max) continue;
      job.active = true;
      job.steps = 0;
      ++active_;
    }
    if (job.reader->at_end() && parts_.sys.mono_now() - job.looked_ns < look_again) continue;
    last_ = number;
    job.runs = false;
    ++job.steps;
    CaughtUp chunk = job.reader->step(parts_, source_);
    job.looked_ns = parts_.sys.mono_now();
    tell_(std::move(chunk));
    return true;
  }
  return false;
}

}  // namespace ringgate::api
