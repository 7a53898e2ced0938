#include "protocols/api/front.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "protocols/api/plane.hpp"
#include "protocols/api/stream_room.hpp"

namespace ringgate::api {

namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  });
  return out;
}

CallData copied(const http::Request& request) {
  CallData data;
  data.id = request.id;
  data.method = request.head.method;
  data.path = request.head.path;
  data.query = request.head.query;
  for (std::size_t i = 0; i < request.head.field_count; ++i) {
    data.fields.emplace_back(lower(request.head.fields[i].name), request.head.fields[i].value);
  }
  data.body.assign(request.body.begin(), request.body.end());
  data.peer = request.peer;
  data.secure = request.secure;
  return data;
}

}  // namespace

Front::Front(http::Session& session, Plane& plane, shard::Shard& shard,
             std::unique_ptr<AccessCheck> access)
    : session_(session), plane_(plane), shard_(shard), access_(std::move(access)) {
  plane_.attach(shard_.index(), this);
  shard_.watermark().listen(*this);
}

Front::~Front() { plane_.attach(shard_.index(), nullptr); }

void Front::use_streams(std::unique_ptr<StreamRoom> streams) { streams_ = std::move(streams); }

void Front::on_log_state(flow::LogState state) {
  plane_.note_log(shard_.index(), state == flow::LogState::accepting);
}

std::uint64_t Front::body_bytes_max(const http::Head& head) {
  PathValues values;
  const RouteMatch match = match_route(head.method, head.path, values);
  return match.route == nullptr ? 0 : match.route->body_bytes_max;
}

std::optional<http::Refused> Front::refuse_body(const http::Request& request) {
  PathValues values;
  const RouteMatch match = match_route(request.head.method, request.head.path, values);
  // What is open has bodies of some bytes.
  if (match.route == nullptr || match.route->entry != Entry::by_scope) return {};
  if (access_->knows(request)) return {};
  Verdict verdict = access_->check(request, match.route->scope);
  if (verdict.allowed()) return {};
  return http::Refused{verdict.status, std::move(verdict.detail), std::move(verdict.fields)};
}

// Three questions that an orchestrator asks: whether to kill the process (a shard that answers
// lives), whether to send it devices (all logs take data, and it does not end), and whether it has
// come up (then it is asked the other two).
bool Front::answer_here(const http::Request& request) {
  const std::string_view path = request.head.path;
  if (path == "/livez") {
    probe(request, true, "alive");
  } else if (path == "/readyz") {
    const bool draining = shard_.draining();
    const bool good = plane_.serving() && plane_.logs_take_data() && !draining;
    probe(request, good, good ? "ready" : draining ? "stopping" : "log takes nothing");
  } else if (path == "/startupz") {
    probe(request, plane_.serving(), plane_.serving() ? "started" : "starting");
  } else {
    return page_ != nullptr && page_->answer(session_, request);
  }
  return true;
}

void Front::probe(const http::Request& request, bool good, std::string_view word) {
  char body[64];
  const auto end = fmt::format_to_n(body, sizeof body, "{{\"status\":\"{}\"}}", word);
  session_.answer(request.id, {.status = static_cast<std::uint16_t>(good ? 200 : 503),
                               .type = "application/json",
                               .fields = {},
                               .body = {body, static_cast<std::size_t>(end.out - body)},
                               .shared = nullptr});
}

void Front::on_request(const http::Request& request) {
  if (answer_here(request)) return;
  if (streams_ != nullptr && streams_->take(request, *access_)) return;
  PathValues values;
  const RouteMatch match = match_route(request.head.method, request.head.path, values);
  if (!match.path_known) return session_.problem(request.id, 404, "there is no such path here");
  if (match.route == nullptr) {
    std::string allow = "Allow: ";
    std::string methods;
    allowed_methods(request.head.path, methods);
    allow += methods + "\r\n";
    return session_.problem(request.id, 405, "the path is known, but not with this method", allow);
  }
  if (calls_ >= calls_per_shard_max) {
    return session_.problem(request.id, 503, "too many requests are under way; try later",
                            "Retry-After: 1\r\n");
  }
  Verdict verdict = entry(*match.route, request);
  if (!verdict.allowed()) return refuse(request.id, verdict);
  CallData data = copied(request);
  data.who = std::move(verdict.who);
  ++calls_;
  plane_.submit(std::move(data));
}

// The one place where a route's scope is asked for.
Verdict Front::entry(const Route& route, const http::Request& request) {
  switch (route.entry) {
    case Entry::by_scope: break;
    case Entry::open: return access_->check_open(request);
    case Entry::login: return access_->check_login(request);
  }
  return access_->check(request, route.scope);
}

void Front::refuse(http::ExchangeId id, const Verdict& verdict) {
  session_.problem(id, verdict.status, verdict.detail, verdict.fields);
}

void Front::on_gone(http::ExchangeId id) {
  if (streams_ != nullptr && streams_->gone(id)) return;
  waiting_.erase(id.link.slot);  // goes home as not run: the client is told to have gone
  plane_.gone(id);
}

void Front::on_room(http::ExchangeId id) {
  if (streams_ != nullptr && streams_->room(id)) return;
  const auto found = waiting_.find(id.link.slot);
  if (found == waiting_.end()) return;
  found->second.ticket.done();
  waiting_.erase(found);
}

bool Front::play(http::ExchangeId id, const OutflowStep& step, shard::ErrandTicket& ticket) {
  switch (step.what) {
    case OutflowStep::What::answer:
      call_ended();
      session_.answer(id, {.status = step.status,
                           .type = step.type,
                           .fields = step.fields,
                           .body = {},
                           .shared = step.text});
      return true;
    case OutflowStep::What::begin:
      return session_.begin(id, {.status = step.status,
                                 .type = step.type,
                                 .fields = step.fields,
                                 .length = step.length,
                                 .endless = false});
    case OutflowStep::What::piece:
      if (!session_.write(id, as_bytes(*step.text))) return false;
      if (!session_.room(id)) {
        waiting_.erase(id.link.slot);
        waiting_.try_emplace(id.link.slot, Waiting{id, std::move(ticket)});
      }
      return true;
    case OutflowStep::What::end:
      call_ended();
      session_.end(id);
      return true;
    case OutflowStep::What::cut:
      call_ended();
      session_.cut(id);
      return true;
  }
  return false;
}

}  // namespace ringgate::api
