#include "protocols/api/front.hpp"

#include <algorithm>

#include "protocols/api/plane.hpp"

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

Front::Front(http::Session& session, Plane& plane, ShardIndex shard)
    : session_(session), plane_(plane), shard_(shard) {
  plane_.attach(shard_, this);
}

Front::~Front() { plane_.attach(shard_, nullptr); }

std::uint64_t Front::body_bytes_max(const http::Head& head) {
  PathValues values;
  const RouteMatch match = match_route(head.method, head.path, values);
  return match.route == nullptr ? 0 : match.route->body_bytes_max;
}

// Probes look at the process, not at what it serves: a shard that answers lives.
bool Front::answer_here(const http::Request& request) {
  if (request.head.path != "/livez") return false;
  session_.answer(request.id, {.type = "application/json", .fields = {},
                               .body = R"({"status":"alive"})", .shared = nullptr});
  return true;
}

void Front::on_request(const http::Request& request) {
  if (answer_here(request)) return;
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
  ++calls_;
  plane_.submit(copied(request));
}

void Front::on_gone(http::ExchangeId id) { plane_.gone(id); }

}  // namespace ringgate::api
