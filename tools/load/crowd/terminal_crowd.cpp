#include "tools/load/crowd/terminal_crowd.hpp"

#include <algorithm>

#include "tools/load/crowd/acked.hpp"

namespace ringgate::load {
namespace {

constexpr MonoNs reconnect_delay_ns = ns_per_s;
// What a user that leaves has still to hear, and what a run that ends waits for.
constexpr MonoNs leave_limit_ns = Terminals::leave_limit_ns;
// One that is to come again while it is still leaving is looked at again so much later.
constexpr MonoNs look_again_ns = 20 * ns_per_ms;
constexpr double ns_per_hour = 3600e9;

std::uint64_t draw64(Chance& chance) {
  const std::uint64_t high = chance.next();
  return high << 32 | chance.next();
}

}  // namespace

TerminalCrowd::TerminalCrowd(const CrowdPlace& place, const TerminalCrowdOptions& options)
    : shard_(*place.shard), acked_(place.acked), options_(options),
      terminals_(*place.shard, *place.desk, *place.buffers, options.terminals, *this),
      comers_(options.terminals.devices), chance_(options.terminals.seed) {
  const MonoNs now = shard_.sys().mono_now();
  if (open_model()) {
    schedule_ = ElasticSchedule(now, options.terminals.devices,
                                static_cast<double>(options.interval_ns));
  }
  if (options.alarms_per_hour > 0) {
    alarm_schedule_ = ElasticSchedule(now, options.terminals.devices,
                                      ns_per_hour / options.alarms_per_hour);
  }
}

// ---- aims --------------------------------------------------------------------------------------

void TerminalCrowd::set_aim(const ClassAim& aim) {
  if (stopping_) return;
  take_due();  // at the old rate
  const MonoNs now = shard_.sys().mono_now();
  const std::uint32_t before = comers_.risen();
  comers_.want(now, aim.users);
  for (std::uint32_t i = comers_.risen(); i < before; ++i) leave(i, Terminals::Leaving::close);
  rate_factor_ = aim.rate_factor;
  if (open_model()) schedule_.change(now, comers_.wanted(), rate_factor_);
  if (options_.alarms_per_hour > 0) alarm_schedule_.change(now, comers_.wanted(), rate_factor_);
  if (options_.terminals.closed) terminals_.set_reporting(rate_factor_ > 0);
}

void TerminalCrowd::leave(std::uint32_t index, Terminals::Leaving how) {
  terminals_.leave(index, how);
  if (!terminals_.is_down(index)) leavers_.emplace_back(shard_.now() + leave_limit_ns, index);
}

void TerminalCrowd::connect_comers() {
  const MonoNs now = shard_.now();
  while (terminals_.can_connect()) {
    const std::optional<std::uint32_t> index = comers_.next(now);
    if (!index) return;
    if (terminals_.is_down(*index)) terminals_.connect(*index);
    else if (terminals_.is_going(*index)) comers_.come_back(*index, now + look_again_ns);
  }
}

void TerminalCrowd::on_ready(std::uint32_t index, MonoNs since_ns) {
  connect_.record(since_ns);
  const MonoNs now = shard_.now();
  if (thinks() && !open_model()) {
    for (std::uint32_t i = 0; i < options_.terminals.window; ++i) {
      thoughts_.emplace(now + options_.think.draw(draw64(chance_)), index);
    }
  }
  if (options_.flaps) stays_.emplace(now + options_.stay.draw(draw64(chance_)), index);
}

void TerminalCrowd::on_down(std::uint32_t index, MonoNs away_ns) {
  if (index >= comers_.risen()) {
    ++tally_.left;
    return;
  }
  const MonoNs now = shard_.now();
  if (options_.flaps) away_ns = options_.away.draw(draw64(chance_));
  if (away_ns >= 0) comers_.come_back(index, now + away_ns);
  else if (options_.reconnect) comers_.come_back(index, now + reconnect_delay_ns);
}

// Flapping ones whose stay is over, and those that hang in their leaving.
void TerminalCrowd::send_leavers() {
  const MonoNs now = shard_.now();
  while (!stays_.empty() && stays_.top().first <= now) {
    const std::uint32_t index = stays_.top().second;
    stays_.pop();
    if (!terminals_.is_ready(index) || terminals_.is_going(index)) continue;
    const bool hard =
        options_.leave == Leave::hard || (options_.leave == Leave::either && chance_.hits(0.5));
    ++tally_.notes[hard ? "left_hard" : "left_soft"];
    // Half of those that go in good order say so first.
    const bool says = !hard && chance_.hits(0.5);
    leave(index, hard ? Terminals::Leaving::reset
                      : says ? Terminals::Leaving::logout : Terminals::Leaving::close);
  }
  while (!leavers_.empty() && leavers_.front().first <= now) {
    const std::uint32_t index = leavers_.front().second;
    leavers_.pop_front();
    if (terminals_.is_going(index)) terminals_.give_up(index);
  }
}

// ---- reports -----------------------------------------------------------------------------------

void TerminalCrowd::take_due() {
  if (!open_model()) return;
  const MonoNs now = shard_.sys().mono_now();
  for (; schedule_.next_due() <= now; schedule_.take()) {
    switch (terminals_.report_due(schedule_.next_user(), schedule_.next_due())) {
      case Terminals::Due::taken: ++tally_.due; break;
      case Terminals::Due::missed:
      case Terminals::Due::full: ++tally_.due; ++tally_.dropped; break;
      case Terminals::Due::excused: break;
    }
  }
}

// Closed model with pauses: a report is due when the pause after the last answer is over.
void TerminalCrowd::take_thoughts() {
  const MonoNs now = shard_.now();
  while (rate_factor_ > 0 && !thoughts_.empty() && thoughts_.top().first <= now) {
    const auto [due_ns, index] = thoughts_.top();
    thoughts_.pop();
    if (terminals_.report_due(index, due_ns) == Terminals::Due::taken) ++tally_.due;
  }
}

void TerminalCrowd::on_answered(const Terminals::Answered& report) {
  const MonoNs response_ns = report.answered_ns - report.due_ns;
  if (!report.refused) {
    ++tally_.acknowledged;
    response_.record(response_ns);
    service_.record(response_ns - report.lag_ns);
    if (!options_.terminals.closed) lag_.record(report.lag_ns);
    if (acked_ != nullptr) acked_->add({report.phone, shard_.wall_now(), report.serial});
  }
  if (thinks() && !open_model()) {
    const double pause_ns = static_cast<double>(options_.think.draw(draw64(chance_)));
    const double rate = rate_factor_ > 0 ? rate_factor_ : 1;
    thoughts_.emplace(shard_.now() + static_cast<MonoNs>(pause_ns / rate), report.index);
  }
}

void TerminalCrowd::raise_alarms() {
  if (options_.alarms_per_hour <= 0) return;
  for (; alarm_schedule_.next_due() <= shard_.now(); alarm_schedule_.take()) {
    if (!terminals_.is_ready(alarm_schedule_.next_user())) continue;
    terminals_.raise_alarm(alarm_schedule_.next_user());
    ++tally_.notes["alarms"];
  }
}

// ---- turns -------------------------------------------------------------------------------------

void TerminalCrowd::before_wait() {
  if (closed_) return;
  if (!stopping_) {
    connect_comers();
    take_due();
    take_thoughts();
    raise_alarms();
  }
  send_leavers();
  terminals_.turn();
  if (stopping_) step_stop();
}

MonoNs TerminalCrowd::next_due() const {
  if (closed_) return INT64_MAX;
  MonoNs due = terminals_.next_due();
  if (stopping_) return std::min(due, stop_limit_ns_);
  if (terminals_.can_connect()) due = std::min(due, comers_.next_due());
  if (open_model()) due = std::min(due, schedule_.next_due());
  if (options_.alarms_per_hour > 0) due = std::min(due, alarm_schedule_.next_due());
  if (!thoughts_.empty() && rate_factor_ > 0) due = std::min(due, thoughts_.top().first);
  if (!stays_.empty()) due = std::min(due, stays_.top().first);
  if (!leavers_.empty()) due = std::min(due, leavers_.front().first);
  return due;
}

void TerminalCrowd::stop(bool hard) {
  const MonoNs now = shard_.now();
  if (!stopping_) {
    take_due();
    stopping_ = true;
    comers_.want(now, 0);
    terminals_.set_reporting(false);
  }
  stop_limit_ns_ = hard ? now : now + leave_limit_ns;
}

void TerminalCrowd::step_stop() {
  const MonoNs now = shard_.now();
  if (!closing_) {
    const std::uint64_t left = terminals_.outstanding() + terminals_.held_back();
    if (left > 0 && now < stop_limit_ns_) return;
    terminals_.give_up_all();
    closing_ = true;
    stop_limit_ns_ = now + leave_limit_ns;
    terminals_.close_all();
  }
  closed_ = terminals_.all_closed() || now >= stop_limit_ns_;
}

// ---- figures -----------------------------------------------------------------------------------

void TerminalCrowd::count_failures(Tally& tally, const Counts& now) const {
  for (std::size_t i = 0; i < now.failures.size(); ++i) {
    const std::uint64_t count = now.failures[i] - told_.failures[i];
    if (count == 0) continue;
    const auto failure = static_cast<Failure>(i);
    const bool is_closing = failure == Failure::link_closed || failure == Failure::link_broken;
    if (failure == Failure::missed) tally.dropped += count;
    else if (is_closing && options_.expects_close) tally.notes["closed_by_server"] += count;
    else tally.errors[std::string(name_of(failure))] += count;
  }
  if (now.not_ready > told_.not_ready) {
    tally.errors["not_ready"] += now.not_ready - told_.not_ready;
  }
}

Tally TerminalCrowd::take_tally() {
  const Counts& now = terminals_.counts();
  Tally out = std::exchange(tally_, {});
  out.users_wanted = comers_.wanted();
  out.users = terminals_.open_links();
  out.ready = terminals_.ready();
  out.outstanding = terminals_.outstanding() + terminals_.held_back();
  out.connected = now.connected - told_.connected;
  out.authenticated = now.authenticated - told_.authenticated;
  out.sent = now.sent - told_.sent;
  if (options_.terminals.closed) out.due = out.sent;
  if (now.cut_off > told_.cut_off) out.notes["left_unanswered"] += now.cut_off - told_.cut_off;
  out.sent_bytes = now.sent_bytes - told_.sent_bytes;
  out.received_bytes = now.received_bytes - told_.received_bytes;
  count_failures(out, now);
  if (!out.errors.empty()) out.last_error = terminals_.last_error();
  out.response = response_.take();
  out.service = service_.take();
  out.lag = lag_.take();
  out.connect = connect_.take();
  told_ = now;
  return out;
}

}  // namespace ringgate::load
