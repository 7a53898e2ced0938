#include "tools/chaos/control.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include "protocols/api/origin.hpp"
#include "protocols/http/codec/response.hpp"
#include "tools/chaos/counters.hpp"
#include "tools/chaos/limits.hpp"

namespace ringgate::chaos {

namespace {

// Nobody can make a browser look up an address: only names can be made to lead here.
bool is_address(std::string_view host) {
  api::HostPort parts;
  if (!api::split_host(host, parts)) return false;
  if (parts.host.starts_with('[')) return true;
  const std::string text(parts.host);
  in_addr v4{};
  return inet_pton(AF_INET, text.c_str(), &v4) == 1;
}

std::vector<std::string_view> split(std::string_view path) {
  std::vector<std::string_view> parts;
  while (path.starts_with('/')) {
    path.remove_prefix(1);
    const std::size_t end = std::min(path.find('/'), path.size());
    parts.push_back(path.substr(0, end));
    path.remove_prefix(end);
  }
  return parts;
}

// RFC 9457, with each mistake as its own member of `errors`.
std::string problem(std::uint16_t status, std::string_view detail, const Problems& errors = {}) {
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  json.key("title").text(http::reason_phrase(status));
  json.key("status").integer(status);
  json.key("detail").text(detail);
  if (!errors.empty()) {
    json.key("errors").begin_array();
    for (const Problem& error : errors) {
      json.begin_object();
      json.key("pointer").text(error.pointer);
      json.key("detail").text(error.message);
      if (error.line > 0) {
        json.key("line").integer(error.line);
        json.key("column").integer(error.column);
      }
      json.end_object();
    }
    json.end_array();
  }
  json.end_object();
  return out;
}

template <class Value>
std::string json_of(const Value& value) {
  std::string out;
  JsonWriter json(out);
  write(json, value);
  return out;
}

bool is_json(std::string_view type) {
  const std::string_view media = type.substr(0, type.find(';'));
  return http::same_word(media.substr(0, media.find_last_not_of(" \t") + 1), "application/json");
}

enum class Place : std::uint8_t { unknown, proxies, proxy, rules, rule, status, metrics };
Place place_of(const std::vector<std::string_view>& path) {
  if (path.empty()) return Place::unknown;
  if (path.size() == 1 && path[0] == "status") return Place::status;
  if (path.size() == 1 && path[0] == "metrics") return Place::metrics;
  if (path[0] != "proxies") return Place::unknown;
  if (path.size() == 1) return Place::proxies;
  if (path.size() == 2) return Place::proxy;
  if (path[2] != "rules" || path.size() > 4) return Place::unknown;
  return path.size() == 3 ? Place::rules : Place::rule;
}

std::string_view methods_of(Place place) {
  switch (place) {
    case Place::proxy:
    case Place::rule: return "GET, HEAD, PUT, DELETE";
    case Place::rules: return "GET, HEAD, DELETE";
    default: return "GET, HEAD";
  }
}

}  // namespace

std::string foreign(std::string_view host, const http::Field* origin,
                    const std::vector<std::string>& hosts) {
  if (!host.empty() && !is_address(host) && !api::is_loopback_host(host) &&
      !api::is_listed_host(hosts, host)) {
    return fmt::format("Host {} is no name of this proxy: use its address, or put the name into "
                       "control.hosts", host);
  }
  if (origin != nullptr && !api::is_same_origin(origin->value, host)) {
    return "requests of other sites' pages are not taken (Origin)";
  }
  return {};
}

std::uint64_t Control::body_bytes_max(const http::Head& head) {
  return head.method == http::Method::put ? limits::body_bytes_max : 0;
}

void Control::on_request(const http::Request& request) {
  Reply reply = answer(request);
  if (proxies_.settled()) return send(request.id, reply);
  unsettled_.emplace_back(request.id, std::move(reply));
}

void Control::answer_settled() {
  if (unsettled_.empty() || !proxies_.settled()) return;
  for (const auto& [id, reply] : unsettled_) send(id, reply);
  unsettled_.clear();
}

void Control::send(http::ExchangeId id, const Reply& reply) {
  session_.answer(id, {.status = reply.status,
                       .type = reply.status == 204 ? std::string_view{} : reply.type,
                       .fields = reply.fields,
                       .body = reply.body});
}

Control::Reply Control::answer(const http::Request& request) {
  const auto failed = [](std::uint16_t status, std::string_view detail) {
    return Reply{status, problem(status, detail), "application/problem+json", {}};
  };
  const http::Head& head = request.head;
  const std::string why = foreign(head.host, head.find("Origin"), hosts_);
  if (!why.empty()) return failed(403, why);
  const std::vector<std::string_view> path = split(head.path);
  const Place place = place_of(path);
  if (place == Place::unknown) {
    return failed(404, "there are /proxies, /status and /metrics");
  }
  const std::string_view methods = methods_of(place);
  const bool changes = head.method == http::Method::put || head.method == http::Method::del;
  if (head.method != http::Method::get && head.method != http::Method::head &&
      (!changes || methods.find(name_of(head.method)) == std::string_view::npos)) {
    Reply reply = failed(405, fmt::format("here are {}", methods));
    reply.fields = fmt::format("Allow: {}\r\n", methods);
    return reply;
  }
  if (place == Place::status) return {200, status_json(proxies_) + "\n", "application/json", {}};
  if (place == Place::metrics) {
    return {200, metrics_text(proxies_), "text/plain; version=0.0.4", {}};
  }
  if (place != Place::proxies && proxies_.find(path[1]) == nullptr &&
      !(place == Place::proxy && head.method == http::Method::put)) {
    return failed(404, "there is no such proxy");
  }
  if (head.method == http::Method::put) return put(path, request);
  return head.method == http::Method::del ? remove(path) : get(path);
}

Control::Reply Control::get(const std::vector<std::string_view>& path) {
  std::string out;
  JsonWriter json(out);
  if (path.size() == 1) {
    json.begin_object().key("proxies").begin_object();
    for (const auto& [name, proxy] : proxies_.all()) write(json.key(name), proxy->plan);
    json.end_object().end_object();
    return {200, std::move(out), "application/json", {}};
  }
  const Proxy& proxy = *proxies_.find(path[1]);
  if (path.size() == 2) return {200, json_of(proxy.plan), "application/json", {}};
  if (path.size() == 3) {
    json.begin_object().key("rules").begin_object();
    for (const NamedRule& named : proxy.plan.rules) write(json.key(named.name), named.rule);
    json.end_object().end_object();
    return {200, std::move(out), "application/json", {}};
  }
  const NamedRule* const rule = proxy.find(path[3]);
  if (rule == nullptr) {
    return {404, problem(404, "there is no such rule"), "application/problem+json", {}};
  }
  return {200, json_of(rule->rule), "application/json", {}};
}

Control::Reply Control::put(const std::vector<std::string_view>& path,
                            const http::Request& request) {
  const auto failed = [](std::uint16_t status, std::string_view detail) {
    return Reply{status, problem(status, detail), "application/problem+json", {}};
  };
  if (!is_json(request.head.value("Content-Type"))) {
    return failed(415, "a body is Content-Type: application/json");
  }
  const std::string_view name = path.back();
  if (const auto fine = check_name(name); !fine) return failed(400, fine.error().message);
  const std::string_view body(reinterpret_cast<const char*>(request.body.data()),
                              request.body.size());
  return path.size() == 2 ? put_proxy(name, body) : put_rule(path[1], name, body);
}

Control::Reply Control::put_proxy(std::string_view name, std::string_view body) {
  const auto plan = read_proxy(body, name);
  if (!plan) {
    return {400, problem(400, "this is no proxy", plan.error()), "application/problem+json", {}};
  }
  if (proxies_.find(name) == nullptr && proxies_.all().size() >= limits::proxies_max) {
    return {409, problem(409, "there are as many proxies as may be"), "application/problem+json",
            {}};
  }
  const auto done = proxies_.put(*plan);
  if (!done) {
    return {409, problem(409, done.error().message), "application/problem+json", {}};
  }
  const std::uint16_t status = *done == Proxies::Put::made ? 201 : 200;
  return {status, json_of(proxies_.find(name)->plan), "application/json", {}};
}

Control::Reply Control::put_rule(std::string_view proxy, std::string_view name,
                                 std::string_view body) {
  Proxy& of = *proxies_.find(proxy);
  const auto rule = read_rule(body, of.plan.transport);
  if (!rule) {
    return {400, problem(400, "this is no rule", rule.error()), "application/problem+json", {}};
  }
  if (of.find(name) == nullptr && of.plan.rules.size() >= limits::rules_max) {
    return {409, problem(409, fmt::format("a proxy has at most {} rules", limits::rules_max)),
            "application/problem+json", {}};
  }
  const Proxies::Put done = proxies_.put_rule(of, name, *rule);
  return {static_cast<std::uint16_t>(done == Proxies::Put::made ? 201 : 200), json_of(*rule),
          "application/json", {}};
}

Control::Reply Control::remove(const std::vector<std::string_view>& path) {
  const Reply done{204, {}, {}, {}};
  if (path.size() == 2) {
    proxies_.remove(path[1]);
    return done;
  }
  Proxy& proxy = *proxies_.find(path[1]);
  if (path.size() == 3) {
    proxies_.remove_rules(proxy);
    return done;
  }
  if (proxies_.remove_rule(proxy, path[3])) return done;
  return {404, problem(404, "there is no such rule"), "application/problem+json", {}};
}

}  // namespace ringgate::chaos
