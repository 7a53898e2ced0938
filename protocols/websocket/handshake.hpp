// The opening handshake of a WebSocket (RFC 6455 section 4). Any thread.
#pragma once

#include <string>
#include <string_view>

#include "protocols/http/codec/head.hpp"

namespace ringgate::websocket {

// Sec-WebSocket-Accept for a Sec-WebSocket-Key. RFC 6455 4.2.2.
std::string accept_value(std::string_view key);

struct Handshake {
  std::uint16_t status = 101;  // else what to refuse with
  std::string_view detail;     // and why
  std::string_view key;
};
// What RFC 6455 4.2.1 asks of a request.
Handshake check_handshake(const http::Head& head);

// Whether a page of this origin may speak to this host: its own, or one of `allowed`; a client
// without Origin is no browser, and may. RFC 6455 10.2.
template <class Allowed>
bool origin_allowed(const http::Head& head, const Allowed& allowed) {
  const http::Field* const origin = head.find("origin");
  if (origin == nullptr) return true;
  const std::size_t scheme = origin->value.find("://");
  if (scheme != std::string_view::npos &&
      http::same_word(origin->value.substr(scheme + 3), head.host)) {
    return true;
  }
  for (const auto& one : allowed) {
    if (http::same_word(one, origin->value)) return true;
  }
  return false;
}

}  // namespace ringgate::websocket
