#include "protocols/api/call.hpp"

#include <fmt/format.h>

#include <charconv>

#include "engine/base/utf8.hpp"
#include "protocols/api/body.hpp"
#include "protocols/api/gzip.hpp"
#include "protocols/api/plane.hpp"
#include "protocols/http/codec/response.hpp"
#include "protocols/http/codec/target.hpp"

namespace ringgate::api {

Call::~Call() {
  if (!answered_) problem(500, "the request was dropped; the gateway's log may say why");
  plane_.call_over(data_.id);
}

std::string_view Call::field(std::string_view lower_name) const {
  for (const auto& [name, value] : data_.fields) {
    if (name == lower_name) return value;
  }
  return {};
}

std::string Call::wrong_in_query() const {
  std::string_view query = data_.query;
  std::string_view key;
  std::string_view value;
  std::uint64_t seen = 0;
  static_assert(parameters_max <= 64);
  while (http::next_parameter(query, key, value)) {
    const auto name = http::percent_decoded(key, true);
    const auto text = http::percent_decoded(value, true);
    if (!name || !text || !is_utf8(*name) || !is_utf8(*text)) {
      return "the query has a % without two hex digits, or no UTF-8";
    }
    std::string known;
    std::size_t at = 0;
    for (; at < route_.parameters.size(); ++at) {
      const Parameter& one = route_.parameters[at];
      if (one.in != Parameter::In::query) continue;
      if (one.name == *name) break;
      known.append(known.empty() ? "" : ", ").append(one.name);
    }
    if (at == route_.parameters.size()) {
      return fmt::format("there is no parameter \"{}\" here; {}{}", cut_utf8(*name, 64),
                         known.empty() ? "there are none" : "known are: ", known);
    }
    if ((seen >> at & 1) != 0) return fmt::format("{} stands twice in the query", *name);
    seen |= std::uint64_t{1} << at;
  }
  return {};
}

std::optional<std::string> Call::parameter(std::string_view name) const {
  std::string_view query = data_.query;
  std::string_view key;
  std::string_view value;
  while (http::next_parameter(query, key, value)) {
    if (http::percent_decoded(key, true) == name) return http::percent_decoded(value, true);
  }
  return {};
}

std::optional<std::uint64_t> Call::number(std::string_view name, std::uint64_t otherwise,
                                          std::uint64_t least, std::uint64_t most) {
  const auto text = parameter(name);
  if (!text) return otherwise;
  std::uint64_t value = 0;
  const char* const last = text->data() + text->size();
  const auto [end, error] = std::from_chars(text->data(), last, value);
  if (text->empty() || error != std::errc() || end != last || value < least || value > most) {
    problem(400, fmt::format("{} must be a whole number from {} to {}", name, least, most));
    return {};
  }
  return value;
}

std::optional<Json> Call::json() {
  if (data_.body.empty()) return Json::object();
  auto json = read_json(as_text(data_.body));
  if (!json) {
    problem(400, json.error().message);
  } else if (!json->is_object()) {
    problem(400, "the body must be a JSON object");
  } else {
    return std::move(*json);
  }
  return {};
}

Principal& Call::set_who(const LoginPtr& login) {
  data_.who.how = Principal::How::cookie;
  data_.who.scopes = login->token->scopes;
  data_.who.token = login->token;
  data_.who.login = login;
  return data_.who;
}

void Call::answer(std::string body, std::uint16_t status, std::string_view type,
                  std::string_view fields) {
  if (answered_) return;
  answered_ = true;
  plane_.audit(*this, status);
  std::string lines(fields);
  if (body.size() >= gzip_bytes_min && worth_gzip(type)) {
    const bool zip = http::takes_gzip(field("accept-encoding"));
    lines = zip ? gzip_fields(fields) : plain_fields(fields);
    if (zip) body = gzipped(body);
  }
  plane_.send({data_.id, status, std::string(type), std::move(lines),
               std::make_shared<const std::string>(std::move(body))});
}

void Call::problem(std::uint16_t status, std::string_view detail, std::string_view fields) {
  answer(http::problem_body(status, detail), status, "application/problem+json", fields);
}

std::shared_ptr<Outflow> Call::detach() {
  if (over()) return nullptr;
  auto flow = plane_.add_flow(data_.id, route_);
  if (flow == nullptr) {
    problem(503, "too many answers are under way; try later", "Retry-After: 2\r\n");
    return nullptr;
  }
  answered_ = true;
  return std::make_shared<Outflow>(plane_, std::move(flow),
                                   data_.method == http::Method::head);
}

}  // namespace ringgate::api
