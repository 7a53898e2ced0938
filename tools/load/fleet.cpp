#include "tools/load/fleet.hpp"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace ringgate::load {
namespace {

constexpr MonoNs drain_limit_ns = 5 * ns_per_s;
constexpr MonoNs sleep_ns_max = 100 * ns_per_ms;
constexpr MonoNs reconnect_delay_ns = ns_per_s;
constexpr MonoNs silence_limit_ns = 10 * ns_per_s;

std::int64_t own_cpu_ns() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return time.tv_sec * ns_per_s + time.tv_nsec;
}

Counts minus(Counts a, const Counts& b) {
  a.connected -= b.connected;
  a.registered -= b.registered;
  a.authenticated -= b.authenticated;
  a.sent -= b.sent;
  a.acknowledged -= b.acknowledged;
  a.sent_bytes -= b.sent_bytes;
  a.received_bytes -= b.received_bytes;
  for (std::size_t i = 0; i < a.failures.size(); ++i) a.failures[i] -= b.failures[i];
  return a;
}

TerminalsOptions terminals_of(const FleetOptions& options) {
  const bool open = options.rate > 0;
  TerminalsOptions out;
  out.target = options.target;
  out.target_bytes = options.target_bytes;
  out.sources = options.sources;
  out.version = options.version;
  out.devices = options.devices;
  out.phone_base = options.phone_base;
  out.window = open ? open_window : options.in_flight;
  out.frames_per_send = open ? 4 : options.in_flight;
  out.closed = !open;
  out.drive = options.drive;
  out.udp = options.udp;
  out.tls = options.tls;
  out.loss = options.loss;
  out.seed = options.seed;
  out.events = options.events_fd >= 0;
  out.files_dir = options.files_dir;
  return out;
}

}  // namespace

Fleet::Fleet(shard::Shard& shard, std::unique_ptr<io::BufferRing> buffers,
             const FleetOptions& options)
    : shard_(shard), buffers_(std::move(buffers)), options_(options), desk_(shard),
      terminals_(shard, desk_, *buffers_, terminals_of(options), *this),
      started_ns_(shard.sys().mono_now()), pace_(started_ns_, options.connect_rate) {
  shard.add_hook(*this);
}

void Fleet::before_wait() {
  take_counts();
  step_phase();
  if (phase_ == Phase::finished) return;
  if (phase_ < Phase::draining) start_connects();
  if (reporting_ && options_.rate > 0) take_due();
  for (; alarms_run() && alarm_schedule_.next_due() <= shard_.now(); alarm_schedule_.take()) {
    terminals_.raise_alarm(alarm_schedule_.next_device());
  }
  buffers_->publish();
  terminals_.turn();
  if (terminals_.file_failed()) stop_asked_ = true;
  write_acked_log();
  std::string& events = terminals_.event_lines();
  if (!events.empty()) write_all(options_.events_fd, events, "--events");
  take_counts();
}

MonoNs Fleet::sleep_budget() const {
  const MonoNs now = shard_.now();
  MonoNs until = now + sleep_ns_max;
  if (phase_ != Phase::connecting) until = std::min(until, phase_end_ns_);
  if (phase_ < Phase::draining) {
    if (connects_started_ < options_.devices) until = std::min(until, pace_.due(connects_started_));
    if (!reconnects_.empty()) until = std::min(until, reconnects_.front().first);
  }
  if (reporting_ && options_.rate > 0) until = std::min(until, schedule_.next_due());
  if (alarms_run()) until = std::min(until, alarm_schedule_.next_due());
  until = std::min(until, terminals_.next_due());
  // Something already due that could not be started waits for a completion, not for the clock.
  return std::max<MonoNs>(until - now, terminals_.handshakes() > 0 ? 50 * ns_per_us : 0);
}

const std::string& Fleet::last_error() const {
  return write_error_.empty() ? terminals_.last_error() : write_error_;
}

// ---- links -------------------------------------------------------------------------------------

void Fleet::start_connects() {
  const MonoNs now = shard_.now();
  const std::uint64_t allowed = pace_.allowed(now);
  while (connects_started_ < options_.devices && connects_started_ < allowed &&
         terminals_.can_connect()) {
    terminals_.connect(static_cast<std::uint32_t>(connects_started_++));
  }
  while (!reconnects_.empty() && reconnects_.front().first <= now && terminals_.can_connect()) {
    const std::uint32_t index = reconnects_.front().second;
    reconnects_.pop_front();
    terminals_.connect(index);
  }
}

void Fleet::on_ready(std::uint32_t, MonoNs) {}

void Fleet::on_down(std::uint32_t index, MonoNs away_ns) {
  if (phase_ >= Phase::draining || (away_ns < 0 && !options_.reconnect)) return;
  const MonoNs back_ns = shard_.now() + (away_ns < 0 ? reconnect_delay_ns : away_ns);
  const auto later = [](MonoNs due, const auto& other) { return due < other.first; };
  reconnects_.emplace(std::upper_bound(reconnects_.begin(), reconnects_.end(), back_ns, later),
                      back_ns, index);
}

// A server that neither answers nor closes must not hold up the run for ever.
void Fleet::give_up_on_silent() {
  const MonoNs quiet_ns = shard_.now() - terminals_.progress_ns();
  if (terminals_.handshakes() == 0 || quiet_ns < silence_limit_ns) return;
  if (connects_started_ < options_.devices && terminals_.can_connect()) return;  // slow pace
  terminals_.give_up_handshakes();
}

// ---- phases ------------------------------------------------------------------------------------

std::string_view Fleet::phase_name() const {
  constexpr std::string_view names[] = {"connecting", "warming up", "measuring",
                                        "waiting for answers", "closing", "finished"};
  return names[static_cast<std::size_t>(phase_)];
}

void Fleet::step_phase() {
  const MonoNs now = shard_.now();
  if (phase_ == Phase::connecting) {
    give_up_on_silent();
    if (terminals_.settled() == options_.devices) start_load();
  }
  if (phase_ == Phase::warming && now >= phase_end_ns_) start_window();
  const bool nobody_left = terminals_.open_links() == 0 && terminals_.handshakes() == 0 &&
                           !options_.reconnect && reconnects_.empty() &&
                           connects_started_ == options_.devices;
  const bool over = phase_ == Phase::measuring && now >= phase_end_ns_;
  const bool ends = stop_asked_ || over || (nobody_left && phase_ != Phase::connecting);
  if (phase_ < Phase::draining && ends) {
    interrupted_ = !over;
    if (phase_ == Phase::measuring) end_window();
    reporting_ = false;
    terminals_.set_reporting(false);
    phase_ = Phase::draining;
    phase_end_ns_ = now + drain_limit_ns;
  }
  const std::uint64_t left = terminals_.outstanding() + terminals_.held_back();
  if (phase_ == Phase::draining && (left == 0 || now >= phase_end_ns_)) {
    terminals_.fail(Failure::unanswered, left);
    terminals_.close_all();
    phase_ = Phase::closing;
    phase_end_ns_ = now + drain_limit_ns;
  }
  if (phase_ == Phase::closing && (terminals_.all_closed() || now >= phase_end_ns_)) {
    phase_ = Phase::finished;
    take_counts();
  }
}

// Everybody is there, or has failed.
void Fleet::start_load() {
  const MonoNs now = shard_.now();
  connected_ns_ = now;
  phase_ = Phase::warming;
  phase_end_ns_ = now + options_.warmup_ns;
  reporting_ = !options_.idle;
  if (options_.alarms > 0) alarm_schedule_ = OpenSchedule(now, options_.devices, options_.alarms);
  if (options_.rate > 0) schedule_ = OpenSchedule(now, options_.devices, options_.rate);
  else terminals_.set_reporting(reporting_);
}

void Fleet::start_window() {
  phase_ = Phase::measuring;
  phase_end_ns_ = options_.duration_ns > 0 ? shard_.now() + options_.duration_ns : INT64_MAX;
  window_start_ns_ = shard_.now();
  window_start_counts_ = counts_;
  own_cpu_start_ns_ = own_cpu_ns();
  if (options_.server_pid != 0) {
    const Result<std::int64_t> ns = server_cpu_ns(options_.server_pid);
    if (ns.ok()) server_cpu_start_ns_ = ns.value();
    else write_error_ = ns.error().message;
  }
}

void Fleet::end_window() {
  window_end_ns_ = shard_.now();
  window_end_counts_ = counts_;
  own_cpu_end_ns_ = own_cpu_ns();
  if (options_.server_pid != 0) {
    const Result<std::int64_t> ns = server_cpu_ns(options_.server_pid);
    // A server that is gone has no figure.
    server_cpu_end_ns_ = ns.ok() ? ns.value() : server_cpu_start_ns_;
    const Result<ServerUse> use = server_use(options_.server_pid);
    if (use.ok()) server_end_ = use.value();
  }
}

void Fleet::fill(Report& report) const {
  report.interrupted = interrupted_;
  report.total = counts_;
  const MonoNs settled_ns = connected_ns_ > 0 ? connected_ns_ : shard_.now();
  report.connect_s = static_cast<double>(settled_ns - started_ns_) / static_cast<double>(ns_per_s);
  if (window_end_ns_ == 0) return;
  report.window = minus(window_end_counts_, window_start_counts_);
  const double window_ns = static_cast<double>(window_end_ns_ - window_start_ns_);
  if (window_ns <= 0) return;
  report.window_s = window_ns / static_cast<double>(ns_per_s);
  report.response = response_.snapshot();
  report.service = service_.snapshot();
  report.lag = lag_.snapshot();
  report.own_cpu_share = static_cast<double>(own_cpu_end_ns_ - own_cpu_start_ns_) / window_ns;
  report.server_end = server_end_;
  report.server_cpu_ns = server_cpu_end_ns_ - server_cpu_start_ns_;
}

// ---- reports -----------------------------------------------------------------------------------

void Fleet::take_due() {
  const MonoNs now = shard_.sys().mono_now();
  for (; schedule_.next_due() <= now; schedule_.take()) {
    if (terminals_.report_due(schedule_.next_device(), schedule_.next_due()) ==
        Terminals::Due::missed) {
      terminals_.fail(Failure::missed);
    }
  }
}

void Fleet::on_answered(const Terminals::Answered& report) {
  if (report.refused) return;
  ++acked_now_;
  if (options_.acked_log_fd >= 0) {
    acked_lines_ += std::to_string(report.phone);
    acked_lines_ += ',';
    acked_lines_ += std::to_string(report.serial);
    acked_lines_ += '\n';
  }
  const bool in_window = phase_ == Phase::measuring || window_end_ns_ > 0;
  if (!in_window || report.due_ns < window_start_ns_ ||
      (window_end_ns_ != 0 && report.due_ns >= window_end_ns_)) {
    return;
  }
  const MonoNs response_ns = report.answered_ns - report.due_ns;
  response_.record(response_ns);
  if (options_.rate > 0) {
    service_.record(response_ns - report.lag_ns);
    lag_.record(report.lag_ns);
  }
}

// The terminals' own, beside those acknowledgements that are in the log.
void Fleet::take_counts() {
  const std::uint64_t acknowledged = counts_.acknowledged;
  counts_ = terminals_.counts();
  counts_.acknowledged = acknowledged;
}

// False, and the run ends, when it can't.
bool Fleet::write_all(int fd, std::string& text, std::string_view option) {
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t wrote = ::write(fd, text.data() + done, text.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) {
      write_error_ = std::string(option);
      write_error_ += ": ";
      write_error_ += std::strerror(errno);
      stop_asked_ = true;
      return false;
    }
    done += static_cast<std::size_t>(wrote);
  }
  text.clear();
  return true;
}

// What is counted as acknowledged is in the log first, so that a kill of this tool loses none of
// it.
void Fleet::write_acked_log() {
  if (!write_all(options_.acked_log_fd, acked_lines_, "--acked-log")) return;
  counts_.acknowledged += acked_now_;
  acked_now_ = 0;
}

}  // namespace ringgate::load
