#include "protocols/api/origin.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "protocols/api/keys.hpp"
#include "protocols/http/codec/head.hpp"

namespace ringgate::api {

namespace {

bool is_number(std::string_view text) {
  return text.size() <= 5 &&
         std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

// The scheme's own port, which nobody writes; "": a scheme that is none of a browser's page.
std::string_view take_scheme(std::string_view& origin) {
  for (const auto& [scheme, port] : {std::pair<std::string_view, std::string_view>{"http://", "80"},
                                     {"https://", "443"}}) {
    if (origin.size() < scheme.size() ||
        !http::same_word(origin.substr(0, scheme.size()), scheme)) {
      continue;
    }
    origin.remove_prefix(scheme.size());
    return port;
  }
  return {};
}

}  // namespace

bool split_host(std::string_view text, HostPort& out) {
  const std::size_t bracket = text.starts_with('[') ? text.find(']') : 0;
  if (bracket == text.npos) return false;
  const std::size_t colon = text.find(':', bracket);
  out.host = text.substr(0, colon);
  out.port = colon == text.npos ? std::string_view{} : text.substr(colon + 1);
  if (out.host.ends_with('.')) out.host.remove_suffix(1);
  if (bracket > 0 && out.host.size() != bracket + 1) return false;
  return !out.host.empty() && is_number(out.port);
}

Result<void> check_host_name(std::string_view text) {
  HostPort parts;
  const bool plain = text.find_first_of("/@? \t") == text.npos;
  if (plain && split_host(text, parts)) return {};
  return Error{0, "a host is expected, with a port or not: gateway.example.com"};
}

bool is_loopback_host(std::string_view host) {
  HostPort parts;
  if (!split_host(host, parts)) return false;
  if (http::same_word(parts.host, "localhost") || parts.host == "[::1]") return true;
  char text[INET_ADDRSTRLEN] = {};
  if (parts.host.size() >= sizeof text) return false;
  std::memcpy(text, parts.host.data(), parts.host.size());
  std::uint8_t ip[4];
  return inet_pton(AF_INET, text, ip) == 1 && ip[0] == 127;
}

bool is_listed_host(const std::vector<std::string>& list, std::string_view host) {
  HostPort asked;
  if (!split_host(host, asked)) return false;
  return std::ranges::any_of(list, [&](const std::string& entry) {
    HostPort listed;
    return split_host(entry, listed) && http::same_word(listed.host, asked.host) &&
           (listed.port.empty() || listed.port == asked.port);
  });
}

std::string_view host_of_origin(std::string_view origin) {
  return take_scheme(origin).empty() ? std::string_view{} : origin;
}

bool is_same_origin(std::string_view origin, std::string_view host) {
  const std::string_view own_port = take_scheme(origin);
  HostPort from;
  HostPort here;
  if (own_port.empty() || !split_host(origin, from) || !split_host(host, here)) return false;
  if (from.port.empty()) from.port = own_port;
  if (here.port.empty()) here.port = own_port;
  return from.port == here.port && http::same_word(from.host, here.host);
}

std::string_view find_cookie(std::string_view field, std::string_view name, unsigned& count) {
  std::string_view found;
  while (!field.empty()) {
    const std::size_t end = std::min(field.find(';'), field.size());
    std::string_view pair = field.substr(0, end);
    field.remove_prefix(std::min(end + 1, field.size()));
    while (pair.starts_with(' ') || pair.starts_with('\t')) pair.remove_prefix(1);
    const std::size_t equals = pair.find('=');
    if (equals == pair.npos || pair.substr(0, equals) != name) continue;
    found = pair.substr(equals + 1);
    ++count;
  }
  return found;
}

}  // namespace ringgate::api
