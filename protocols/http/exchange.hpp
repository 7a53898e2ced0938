// What a handler of requests sees of HTTP: a request, and how to answer it, now or later.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "engine/base/bytes.hpp"
#include "engine/base/ids.hpp"
#include "engine/net/filter.hpp"
#include "engine/net/link.hpp"
#include "protocols/http/codec/head.hpp"

namespace ringgate::http {

// One request of one link: what answers name. Trivially copyable; may travel to other threads and
// back. Stale when the link has gone: then answering does nothing.
struct ExchangeId {
  LinkId link;
  std::uint32_t serial = 0;  // of the request on its link
};

// Views; valid until the handler's call returns.
struct Request {
  ExchangeId id;
  const Head& head;
  Bytes body;               // whole, without the chunked coding
  const net::PeerAddress& peer;
  std::uint16_t listener = 0;
  bool secure = false;      // came through TLS
  // Who sent it, where `verified`: by a client certificate. Null without TLS.
  const net::SecurePeer* client = nullptr;
};

// A whole answer. `type`, `fields`: no line breaks from outside may be in them.
struct Answer {
  std::uint16_t status = 200;
  std::string_view type = "application/json";  // empty: no Content-Type
  std::string_view fields;  // further field lines, each with its CR LF; limits::fields_bytes_max
  std::string_view body;    // is copied
  // Instead of `body`, for what is large: sent piece by piece as the peer takes it.
  std::shared_ptr<const std::string> shared;
};

// The head of an answer whose body comes in pieces.
struct StreamHead {
  static constexpr std::uint64_t unknown_length = ~std::uint64_t{0};
  std::uint16_t status = 200;
  std::string_view type;
  std::string_view fields;
  std::uint64_t length = unknown_length;  // unknown: chunked, or until the connection closes
  bool endless = false;  // events as they happen: input is discarded, the peer's end is noticed
};

// Why a request is not read to its end. `fields`: whole lines.
struct Refused {
  std::uint16_t status = 0;
  std::string detail;
  std::string fields;
};

class Handler {
 public:
  virtual ~Handler() = default;

  // The head is there: how long a body it may have. A longer one is refused with 413.
  virtual std::uint64_t body_bytes_max(const Head& head) {
    static_cast<void>(head);
    return 0;
  }
  // The head is there, its body is still coming (`request.body` is empty): nothing takes it.
  // Otherwise what is answered instead; then the connection ends.
  virtual std::optional<Refused> refuse_body(const Request& request) {
    static_cast<void>(request);
    return {};
  }
  // The whole request. Answer through the session, here or later; the link's next request is read
  // when the answer is complete.
  virtual void on_request(const Request& request) = 0;
  // The link went before the answer was complete.
  virtual void on_gone(ExchangeId id) { static_cast<void>(id); }
  // What write() has left is less than half of what may wait: after room() said false.
  virtual void on_room(ExchangeId id) { static_cast<void>(id); }
};

}  // namespace ringgate::http
