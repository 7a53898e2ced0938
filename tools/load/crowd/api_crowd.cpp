#include "tools/load/crowd/api_crowd.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

namespace ringgate::load {
namespace {

using Answer = tool::HttpAnswerReader::Step;

// Open model: requests of a user that may wait for the one under way. More are dropped.
constexpr std::size_t waiting_max = 64;

}  // namespace

ApiCrowd::ApiCrowd(const CrowdPlace& place, TargetAddress target, std::vector<in_addr> sources)
    : WireCrowd(place, std::move(sources)), target_(std::move(target)), users_(place.users_max) {
  if (open_model()) {
    schedule_ = ElasticSchedule(shard().sys().mono_now(), place.users_max,
                                static_cast<double>(class_of().interval_ns));
  }
  for (const Route& route : class_of().routes) weights_ += route.weight;
  if (place.tokens != nullptr) tokens_ = *place.tokens;
  const std::vector<std::uint32_t> counts = place.scenario->users_max_by_class();
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const UserClass& other = place.scenario->classes[i];
    if (other.kind != UserKind::terminal || counts[i] == 0) continue;
    phones_.emplace_back(other.phone_base, counts[i]);
  }
}

// ---- coming and going --------------------------------------------------------------------------

void ApiCrowd::come(std::uint32_t user) {
  users_[user].leaving = false;
  wires().connect(user, {.target = &target_, .source = source_of(user)});
}

void ApiCrowd::on_open(std::uint32_t user) {
  User& who = users_[user];
  ++tally().connected;
  ready(user);
  const bool comes_back = who.has_been_ready;
  who.is_ready = who.has_been_ready = true;
  if (who.waiting != nullptr && !who.waiting->empty()) {
    const MonoNs due_ns = who.waiting->front();
    who.waiting->pop_front();
    --outstanding_;
    return request(user, due_ns);
  }
  if (open_model()) return;
  if (comes_back) return think(user);
  // Those that come together do not ask together.
  const double whole = static_cast<double>(class_of().think.draw(draw()));
  const double part = static_cast<double>(chance().next()) / 4294967296.0;
  thoughts_.emplace(now() + static_cast<MonoNs>(whole * part), user);
}

void ApiCrowd::go(std::uint32_t user) {
  users_[user].leaving = true;
  users_[user].has_been_ready = false;
  if (users_[user].request == nullptr) wires().close(user, false);
}

MonoNs ApiCrowd::gone(std::uint32_t user, Wires::End end, int error) {
  User& who = users_[user];
  if (who.is_ready) not_ready();
  who.is_ready = false;
  if (!is_wanted(user)) who.has_been_ready = false;
  if (who.request != nullptr && end == Wires::End::closed &&
      who.request->answer.closed() == Answer::done) {
    end_answer(user);  // whose end was this
  }
  // A server may end a connection that is at rest (RFC 9112 9.3): the user comes again.
  const bool at_rest = who.request == nullptr && end != Wires::End::failed;
  if (at_rest && end != Wires::End::ours) note("closed_at_rest");
  if (!at_rest) fail_end(end, error);
  drop(user);
  if (at_rest && end == Wires::End::closed) return 0;
  if (end == Wires::End::ours && is_wanted(user)) return 0;  // the server has said so
  return class_of().reconnect ? reconnect_delay_ns : -1;
}

void ApiCrowd::drop(std::uint32_t user) {
  User& who = users_[user];
  if (who.request != nullptr) --outstanding_;
  who.request.reset();
  if (!is_wanted(user)) drop_waiting(who);
}

void ApiCrowd::drop_waiting(User& who) {
  if (who.waiting == nullptr) return;
  tally().dropped += who.waiting->size();
  outstanding_ -= who.waiting->size();
  who.waiting.reset();
}

void ApiCrowd::end_requests() {
  while (!thoughts_.empty()) thoughts_.pop();
  for (std::uint32_t user = 0; user < users_max(); ++user) {
    if (wires().is_down(user)) drop(user);
    drop_waiting(users_[user]);  // nobody will ask
  }
}

std::uint64_t ApiCrowd::overdue() const {
  std::uint64_t out = 0;
  for (const User& who : users_) {
    if (who.request != nullptr && now() - who.request->sent_ns >= leave_limit_ns) ++out;
  }
  return out;
}

// ---- requests ----------------------------------------------------------------------------------

void ApiCrowd::aim_changed() {
  if (open_model()) schedule_.change(shard().sys().mono_now(), wanted(), rate());
}

void ApiCrowd::act() {
  look_for_silence();
  if (!stopping()) take_due();
}

MonoNs ApiCrowd::next_act() const {
  MonoNs until = limits_.empty() ? INT64_MAX : limits_.front().limit_ns;
  if (stopping()) return until;
  if (open_model()) until = std::min(until, schedule_.next_due());
  if (!thoughts_.empty() && rate() > 0) until = std::min(until, thoughts_.top().first);
  return until;
}

void ApiCrowd::take_due() {
  if (open_model()) {
    const MonoNs time = shard().sys().mono_now();
    for (; schedule_.next_due() <= time; schedule_.take()) {
      due(schedule_.next_user(), schedule_.next_due());
    }
  }
  while (rate() > 0 && !thoughts_.empty() && thoughts_.top().first <= now()) {
    const auto [due_ns, user] = thoughts_.top();
    thoughts_.pop();
    const User& who = users_[user];
    if (!who.is_ready || who.request != nullptr || !wires().is_open(user)) continue;
    ++tally().due;
    request(user, due_ns);
  }
}

// Open model.
void ApiCrowd::due(std::uint32_t user, MonoNs due_ns) {
  User& who = users_[user];
  if (!is_wanted(user) || !who.has_been_ready || who.leaving) return;  // it is still coming
  ++tally().due;
  if (who.is_ready && who.request == nullptr && wires().is_open(user)) {
    return request(user, due_ns);
  }
  if (who.waiting == nullptr) who.waiting = std::make_unique<std::deque<MonoNs>>();
  if (who.waiting->size() >= waiting_max) {
    ++tally().dropped;
    return;
  }
  who.waiting->push_back(due_ns);
  ++outstanding_;
}

void ApiCrowd::request(std::uint32_t user, MonoNs due_ns) {
  User& who = users_[user];
  if (who.waiting != nullptr && who.waiting->empty()) who.waiting.reset();
  who.request = std::make_unique<Request>();
  who.request->due_ns = due_ns;
  ++outstanding_;
  const std::string text = text_of(user);
  who.request->sent_ns = shard().sys().mono_now();
  wires().send(user, text);
  ++tally().sent;
  limits_.push_back({who.request->sent_ns + patience_ns, user, who.request->sent_ns});
}

std::string ApiCrowd::path_of(const Route& route) {
  constexpr std::string_view mark = "{phone}";
  std::string path = route.path;
  for (std::size_t at = 0; (at = path.find(mark, at)) != std::string::npos;) {
    std::string phone = "13800000000";
    if (!phones_.empty()) {
      const auto& [first, count] = phones_[chance().below(
          static_cast<std::uint32_t>(phones_.size()))];
      phone = std::to_string(first + chance().below(count));
    }
    path.replace(at, mark.size(), phone);
    at += phone.size();
  }
  return path;
}

std::string ApiCrowd::text_of(std::uint32_t user) {
  double at = static_cast<double>(chance().next()) / 4294967296.0 * weights_;
  const Route* route = &class_of().routes.front();
  for (const Route& one : class_of().routes) {
    if (one.weight <= 0) continue;
    route = &one;
    at -= one.weight;
    if (at < 0) break;
  }
  users_[user].request->answer.begin(route->method == "HEAD");
  std::string text = fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: ringgate-load\r\n"
                                 "Accept: */*\r\n",
                                 route->method, path_of(*route), target_.text);
  if (!tokens_.empty()) {
    text += "Authorization: Bearer ";
    text += tokens_[global(user) % tokens_.size()];
    text += "\r\n";
  }
  if (!route->body.empty()) {
    text += fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n",
                        route->body.size());
  }
  text += "\r\n";
  text += route->body;
  return text;
}

// ---- answers -----------------------------------------------------------------------------------

void ApiCrowd::on_bytes(std::uint32_t user, Bytes bytes) {
  User& who = users_[user];
  if (who.request == nullptr) {
    fail("bad_answer", "bad_answer: bytes that nobody asked for");
    return wires().close(user, false);
  }
  const Answer step = who.request->answer.feed(bytes, nullptr);
  if (step == Answer::more) return;
  if (step == Answer::done && bytes.empty()) return end_answer(user);
  std::string sentence = "bad_answer: ";
  sentence += step == Answer::bad ? who.request->answer.problem()
                                            : "more than one answer, or an upgrade";
  fail("bad_answer", std::move(sentence));
  drop(user);
  wires().close(user, false);
}

void ApiCrowd::end_answer(std::uint32_t user) {
  User& who = users_[user];
  const std::uint16_t status = who.request->answer.status();
  const bool keeps_alive = who.request->answer.keeps_alive();
  if (status >= 400) {
    fail(fmt::format("http_{}", status), fmt::format("http_{}: the answer of {}", status,
                                                     target_.text));
  } else {
    ++tally().acknowledged;
    const Request& done = *who.request;
    response().record(now() - done.due_ns);
    service().record(now() - done.sent_ns);
    lag().record(done.sent_ns - done.due_ns);
  }
  who.request.reset();
  --outstanding_;
  if (who.leaving || !keeps_alive) return wires().close(user, false);
  if (who.waiting != nullptr && !who.waiting->empty() && !stopping()) {
    const MonoNs due_ns = who.waiting->front();
    who.waiting->pop_front();
    --outstanding_;
    return request(user, due_ns);
  }
  if (!open_model()) think(user);
}

void ApiCrowd::think(std::uint32_t user) {
  if (stopping()) return;
  const double pause_ns = static_cast<double>(class_of().think.draw(draw()));
  thoughts_.emplace(now() + static_cast<MonoNs>(pause_ns / (rate() > 0 ? rate() : 1)), user);
}

void ApiCrowd::look_for_silence() {
  while (!limits_.empty() && limits_.front().limit_ns <= now()) {
    const Waiting one = limits_.front();
    limits_.pop_front();
    const User& who = users_[one.user];
    if (who.request == nullptr || who.request->sent_ns != one.sent_ns) continue;
    fail("timeout", "timeout: a request without an answer");
    drop(one.user);
    wires().close(one.user, true);
  }
}

}  // namespace ringgate::load
