#include "protocols/api/plane.hpp"

#include <poll.h>
#include <pthread.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "engine/io/sys.hpp"
#include "protocols/api/fleet.hpp"
#include "protocols/api/front.hpp"
#include "protocols/api/query_pool.hpp"
#include "protocols/http/codec/target.hpp"

namespace ringgate::api {

Plane::Plane(const PlaneParts& parts)
    : parts_(parts), post_(parts.errands, parts.producer), deeds_(post_, parts.logs),
      fronts_(parts.shards, nullptr), fleet_(std::make_unique<Fleet>(*this)) {}

Plane::~Plane() {
  stop_.store(true, std::memory_order_release);
  post_.inbox().wake();
  if (thread_.joinable()) thread_.join();
  timers_.clear();
  commands_.clear();
  queries_.reset();
  // What still comes home finds a plane that answers nobody.
  full_.clear();
  while (post_.outstanding() > 0) post_.poll();
}

void Plane::serve() {
  serving_.store(true, std::memory_order_release);
  thread_ = std::thread([this] { run(); });
}

void Plane::run() {
  pthread_setname_np(pthread_self(), "api");
  while (!stop_.load(std::memory_order_acquire)) turn(-1);
}

void Plane::turn(int longest_ms) {
  pollfd one{.fd = post_.fd(), .events = POLLIN, .revents = 0};
  if (::poll(&one, 1, wait_ms(longest_ms)) < 0 && errno != EINTR) return;
  post_.poll();
  run_timers();
  send_waiting();
}

int Plane::wait_ms(int longest_ms) const {
  constexpr int retry_ms = 2;
  if (!replies_.empty() || !full_.empty()) return retry_ms;
  if (timers_.empty()) return longest_ms;
  const MonoNs left = timers_.begin()->first.first - io::real_sys().mono_now();
  constexpr MonoNs most_ms = 60'000;
  const auto ms = static_cast<int>(std::clamp<MonoNs>(left / ns_per_ms + 1, 0, most_ms));
  return longest_ms < 0 ? ms : std::min(ms, longest_ms);
}

void Plane::run_timers() {
  const MonoNs now = io::real_sys().mono_now();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    const auto what = std::move(timers_.extract(timers_.begin()).mapped());
    what();
  }
}

Plane::TimerId Plane::after(MonoNs delay, std::function<void()> what) {
  const TimerId timer{io::real_sys().mono_now() + delay, ++timers_made_};
  timers_.emplace(timer, std::move(what));
  return timer;
}

void Plane::note_log(ShardIndex shard, bool takes_data) {
  const std::uint64_t bit = std::uint64_t{1} << shard;
  if (takes_data) {
    logs_closed_.fetch_and(~bit, std::memory_order_relaxed);
  } else {
    logs_closed_.fetch_or(bit, std::memory_order_relaxed);
  }
}

void Plane::attach(ShardIndex shard, Front* front) { fronts_[shard] = front; }

void Plane::submit(CallData data) {
  letter([this, data = std::move(data)]() mutable { begin(std::move(data)); });
}

void Plane::gone(http::ExchangeId id) {
  letter([this, id] { client_gone(id); });
}

void Plane::client_gone(http::ExchangeId id) {
  if (const auto flow = flows_.find(key_of(id));
      flow != flows_.end() && flow->second->id().serial == id.serial) {
    const std::shared_ptr<Flow> one = flow->second;  // it may end meanwhile
    one->client_gone();
  }
  const auto found = calls_.find(key_of(id));
  if (found == calls_.end()) return;
  const CallPtr call = found->second.lock();
  if (call != nullptr && call->data().id.serial == id.serial) call->set_gone();
  calls_.erase(found);
}

void Plane::use_queries(const QueryPoolParts& parts) {
  queries_ = std::make_unique<QueryPool>(parts, *this);
}

void Plane::ask_log(const CallPtr& call, std::unique_ptr<Query> query) {
  if (queries_ == nullptr) return call->problem(503, "there is no log to ask here");
  queries_->ask(call, std::move(query));
}

void Plane::call_over(http::ExchangeId id) {
  const auto found = calls_.find(key_of(id));
  // Not the one that came after it on the same link.
  if (found != calls_.end() && found->second.expired()) calls_.erase(found);
}

std::shared_ptr<Flow> Plane::add_flow(http::ExchangeId id, const Route& route) {
  if (flows_.size() >= flows_max) return nullptr;
  auto flow = std::make_shared<Flow>(*this, id, route);
  flows_[key_of(id)] = flow;
  return flow;
}

void Plane::flow_over(const Flow& flow) {
  const auto found = flows_.find(key_of(flow.id()));
  if (found != flows_.end() && found->second.get() == &flow) flows_.erase(found);
}

void Plane::begin(CallData data) {
  PathValues values;
  const RouteMatch match = match_route(data.method, data.path, values);
  RG_CHECK(match.route != nullptr);  // its Front has looked
  std::vector<std::string> decoded;
  bool readable = true;
  for (std::size_t i = 0; i < values.count; ++i) {
    auto one = http::percent_decoded(values.at[i]);
    readable &= one.has_value();
    decoded.push_back(one.value_or(""));
  }
  const http::ExchangeId id = data.id;
  const auto call =
      std::make_shared<Call>(*this, std::move(data), *match.route, std::move(decoded));
  if (!readable) return call->problem(400, "the path has a % without two hex digits");
  // Who asks for metrics adds to the path what other exporters want.
  if (match.route->path.starts_with("/api/")) {
    if (const std::string wrong = call->wrong_in_query(); !wrong.empty()) {
      return call->problem(400, wrong);
    }
  }
  calls_[key_of(id)] = call;
  match.route->run(*this, call);
}

std::optional<DeviceKey> Plane::device_of(const CallPtr& call) const {
  auto key = parts_.devices.parse_device(call->value(0));
  if (key) return *key;
  call->problem(400, key.error().message);
  return {};
}

void Plane::ask(const CallPtr& call, ShardIndex shard, Work work, Then then) {
  ask_host(
      call, shard,
      [ns = parts_.devices.ns(), work = std::move(work)](state::ShardHost& host,
                                                         ShardAnswer& answer) {
        event::DeviceGate* const gate = host.find(ns);
        if (gate != nullptr) work(*gate, answer);
      },
      std::move(then));
}

void Plane::ask_host(const CallPtr& call, ShardIndex shard, HostWork work, Then then) {
  const auto answer = std::make_shared<ShardAnswer>();
  auto errand = shard::make_errand(
      [work = std::move(work), answer](shard::ErrandHost& host, shard::ErrandTicket ticket) {
        state::ShardHost& rooms = state::ShardHost::of(host);
        work(rooms, *answer);
        if (!answer->durably) return ticket.done();
        // The ticket is shared only because a function must be able to be copied.
        auto kept = std::make_shared<shard::ErrandTicket>(std::move(ticket));
        rooms.waits().wait(rooms.appended(), [kept] { kept->done(); });
      },
      [call, then = std::move(then), answer](bool ran) {
        if (call->over()) return;
        if (!ran) return call->problem(503, "the gateway is stopping");
        then(*answer);
      });
  refuse(call, post_.send(shard, errand));
}

void Plane::refuse(const CallPtr& call, shard::Posted posted) {
  switch (posted) {
    case shard::Posted::ok: return;
    case shard::Posted::busy:
      return call->problem(503, "the gateway is busy; try again", "Retry-After: 1\r\n");
    case shard::Posted::stopped: return call->problem(503, "the gateway is stopping");
  }
}

void Plane::ask_all(const CallPtr& call, Work work,
                    std::function<void(std::vector<ShardAnswer>& answers)> then) {
  struct Gathered {
    std::vector<ShardAnswer> answers;
    std::size_t missing = 0;
  };
  const auto gathered = std::make_shared<Gathered>();
  gathered->answers.resize(parts_.shards);
  gathered->missing = parts_.shards;
  for (ShardIndex i = 0; i < parts_.shards && !call->over(); ++i) {
    ask(call, i, work, [gathered, i, then](ShardAnswer& answer) {
      gathered->answers[i] = std::move(answer);
      if (--gathered->missing == 0) then(gathered->answers);
    });
  }
}

// What changes something leaves a line in the log, whatever came of it: who, from where, and what.
// What concerns a device leaves a record besides (DeviceGate), and what else has an effect too
// (note_deed).
void Plane::audit(const Call& call, std::uint16_t status) {
  failures_.note(call.route(), status, io::real_sys().wall_now());
  if (call.route().method == http::Method::get || !call.route().noted) return;
  parts_.logs.info("http", {{"action", http::name_of(call.route().method)},
                            {"path", call.data().path},
                            {"status", status},
                            {"by", call.who()}});
}

void Plane::note_deed(const Call& call, std::string_view action,
                      std::vector<std::pair<std::string, std::string>> details) {
  deeds_.note({.action = std::string(action), .by = call.who(), .details = std::move(details)});
  send_deeds();
}

void Plane::send_deeds() {
  constexpr MonoNs retry_after = 10 * ns_per_ms;  // the shard is busy
  if (!deeds_.pump()) after(retry_after, [this] { send_deeds(); });
}

// Answers ---------------------------------------------------------------------------------------

void Plane::send(Reply reply) {
  replies_.push_back(std::move(reply));
  if (replies_.size() == 1) send_waiting();
}

void Plane::send_waiting() {
  std::vector<std::shared_ptr<Flow>> full;
  full.swap(full_);
  for (std::shared_ptr<Flow>& flow : full) {
    if (!flow->pump()) full_.push_back(std::move(flow));
  }
  while (!replies_.empty()) {
    const ShardIndex shard = replies_.front().id.link.shard;
    const auto reply = std::make_shared<Reply>(std::move(replies_.front()));
    auto errand = shard::make_errand(
        [this, shard, reply](shard::ErrandHost&, shard::ErrandTicket ticket) {
          if (Front* const front = fronts_[shard]; front != nullptr) {
            front->call_ended();
            front->session().answer(reply->id, {.status = reply->status,
                                                .type = reply->type,
                                                .fields = reply->fields,
                                                .body = {},
                                                .shared = reply->body});
          }
          ticket.done();
        },
        [](bool) {});
    const shard::Posted posted = post_.send(shard, errand);
    if (posted == shard::Posted::busy) {
      replies_.front() = std::move(*reply);
      return;
    }
    replies_.pop_front();
  }
}

}  // namespace ringgate::api
