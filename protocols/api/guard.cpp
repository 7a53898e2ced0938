#include "protocols/api/guard.hpp"

namespace ringgate::api {

namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

bool same_text(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

bool is_json(std::string_view type) {
  type = type.substr(0, type.find(';'));
  while (!type.empty() && (type.back() == ' ' || type.back() == '\t')) type.remove_suffix(1);
  return same_text(type, "application/json");
}

std::string_view field(const CallData& request, std::string_view lower_name) {
  for (const auto& [name, value] : request.fields) {
    if (name == lower_name) return value;
  }
  return {};
}

// RFC 6454 7.1: "https://host:port", or "null", which is nobody's.
bool foreign(std::string_view origin, std::string_view host) {
  if (origin.empty()) return false;
  const std::size_t scheme = origin.find("://");
  return scheme == std::string_view::npos || !same_text(origin.substr(scheme + 3), host);
}

}  // namespace

std::optional<Refusal> refuse_change(const CallData& request) {
  using http::Method;
  const Method method = request.method;
  const bool changes = method == Method::post || method == Method::put ||
                       method == Method::patch || method == Method::del;
  if (!changes) return {};
  if (foreign(field(request, "origin"), field(request, "host"))) {
    return Refusal{403, "a page of another origin may not change anything here"};
  }
  const bool bare = method == Method::del && request.body.empty();
  if (!bare && !is_json(field(request, "content-type"))) {
    return Refusal{415, "the Content-Type must be application/json"};
  }
  return {};
}

}  // namespace ringgate::api
