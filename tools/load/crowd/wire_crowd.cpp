#include "tools/load/crowd/wire_crowd.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace ringgate::load {

WireCrowd::WireCrowd(const CrowdPlace& place, std::vector<in_addr> sources)
    : shard_(*place.shard), place_(place), class_(place.scenario->classes[place.class_index]),
      sources_(std::move(sources)),
      wires_(*place.shard, *place.desk, *place.buffers, place.users_max, *this),
      comers_(place.users_max), chance_(seed_of(place)), since_ns_(place.users_max),
      coming_(place.users_max) {}

void WireCrowd::set_aim(const ClassAim& aim) {
  if (stopping_) return;
  act();  // what is due at the old rate
  const std::uint32_t before = comers_.risen();
  comers_.want(shard_.sys().mono_now(), aim.users);
  rate_ = aim.rate_factor;
  for (std::uint32_t user = comers_.risen(); user < before; ++user) {
    judge_coming(user);
    if (!wires_.is_down(user)) go(user);
  }
  aim_changed();
}

void WireCrowd::connect_comers() {
  while (wires_.can_connect()) {
    const std::optional<std::uint32_t> user = comers_.next(now());
    if (!user) return;
    if (!wires_.is_down(*user)) continue;  // it is still leaving: on_end() sees that it is wanted
    since_ns_[*user] = shard_.sys().mono_now();
    coming_[*user] = true;
    come(*user);
  }
}

void WireCrowd::before_wait() {
  if (closed_) return;
  if (!stopping_) connect_comers();
  act();
  wires_.turn();
  if (stopping_) step_stop();
}

MonoNs WireCrowd::next_due() const {
  if (closed_) return INT64_MAX;
  MonoNs due = next_act();
  if (stopping_) return std::min(due, stop_limit_ns_);
  return wires_.can_connect() ? std::min(due, comers_.next_due()) : due;
}

void WireCrowd::stop(bool hard) {
  if (!stopping_) {
    act();
    stopping_ = true;
    end_requests();
  }
  stop_limit_ns_ = hard ? now() : now() + leave_limit_ns;
}

void WireCrowd::step_stop() {
  if (!closing_) {
    if (outstanding() > 0 && now() < stop_limit_ns_) return;
    const std::uint64_t owed = overdue();
    if (owed > 0) tally_.errors["unanswered"] += owed;
    if (outstanding() > owed) tally_.notes["left_unanswered"] += outstanding() - owed;
    closing_ = true;
    stop_limit_ns_ = now() + leave_limit_ns;
    for (std::uint32_t user = 0; user < users_max(); ++user) {
      judge_coming(user);
      wires_.close(user, false);
    }
  }
  closed_ = wires_.open() == 0 || now() >= stop_limit_ns_;
}

void WireCrowd::judge_coming(std::uint32_t user) {
  if (!coming_[user] || class_.slow) return;  // one that is slow on purpose may well be so here
  coming_[user] = false;
  const MonoNs waited_ns = now() - since_ns_[user];
  if (waited_ns < (was_anybody_ready_ ? leave_limit_ns : leave_limit_ns / 4)) return;
  fail("not_ready", fmt::format("not_ready: no {} in {:.1f} s",
                                wires_.is_open(user) ? "answer" : "connection",
                                static_cast<double>(waited_ns) / static_cast<double>(ns_per_s)));
}

void WireCrowd::on_end(std::uint32_t user, Wires::End end, int error) {
  coming_[user] = false;
  const MonoNs delay_ns = gone(user, end, error);
  if (stopping_) return;
  if (!is_wanted(user)) {
    ++tally_.left;
    return;
  }
  if (delay_ns >= 0) comers_.come_back(user, now() + delay_ns);
}

void WireCrowd::ready(std::uint32_t user) {
  ++ready_;
  coming_[user] = false;
  was_anybody_ready_ = true;
  ++tally_.authenticated;
  connect_.record(now() - since_ns_[user]);
}

void WireCrowd::fail(std::string_view kind, std::string sentence) {
  ++tally_.errors[std::string(kind)];
  tally_.last_error = std::move(sentence);
}

void WireCrowd::fail_end(Wires::End end, int error) {
  if (closing_ || end == Wires::End::ours) return;
  std::string_view kind = "link_broken";
  if (end == Wires::End::failed) kind = "connect_failed";
  if (end == Wires::End::closed) kind = "link_closed";
  std::string sentence(kind);
  if (error != 0) {
    sentence += ": ";
    sentence += std::strerror(error);
  }
  if (error == EADDRNOTAVAIL) sentence += " (no free port: give the class more sources)";
  if (error == EMFILE) sentence += " (raise the limit of open files: ulimit -n)";
  fail(kind, std::move(sentence));
}

Tally WireCrowd::take_tally() {
  fill(tally_);
  Tally out = std::exchange(tally_, {});
  out.users_wanted = comers_.wanted();
  out.users = wires_.open();
  out.ready = ready_;
  out.outstanding = outstanding();
  out.sent_bytes = wires_.sent_bytes() - std::exchange(sent_told_, wires_.sent_bytes());
  out.received_bytes =
      wires_.received_bytes() - std::exchange(received_told_, wires_.received_bytes());
  out.response = response_.take();
  out.service = service_.take();
  out.lag = lag_.take();
  out.connect = connect_.take();
  out.delivery = delivery_.take();
  return out;
}

}  // namespace ringgate::load
