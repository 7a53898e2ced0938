// HTTP/1.1 on the links of one shard: requests in order, keep-alive and pipelining, bodies with a
// length or chunked, answers now or later. Which answer is a Handler's business. One per shard;
// lives on it, every call on its thread.
//
// An idle connection costs its Link and nothing else. A request that is answered at once is parsed
// in the receive buffer; one whose body is not there yet, or whose answer does not fit what may
// wait for a peer, has an entry of its own until it is done.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "engine/net/links.hpp"
#include "engine/net/listener.hpp"
#include "engine/observe/counter.hpp"
#include "protocols/http/codec/chunked.hpp"
#include "protocols/http/codec/response.hpp"
#include "protocols/http/counters.hpp"
#include "protocols/http/exchange.hpp"
#include "protocols/http/limits.hpp"

namespace ringgate::http {

struct SessionOptions {
  HeadLimits head;
  MonoNs head_timeout_ns = 10 * ns_per_s;  // for what is no body; the listener's frame time-out
};
// Of section `http`.
inline SessionOptions session_options(const config::Settings& settings) {
  SessionOptions options;
  options.head_timeout_ns = settings.duration_ns("http.frame_timeout");
  return options;
}

class Session final : public net::Protocol {
 public:
  Session(net::Links& links, observe::CounterGroup& counters, const SessionOptions& options)
      : links_(links), counters_(counters), options_(options) {}

  // Before the first turn.
  void use_handler(std::unique_ptr<Handler> handler) { handler_ = std::move(handler); }

  // Answers; nothing happens where the exchange is stale or has its answer ---------------------

  void answer(ExchangeId id, const Answer& answer);
  // RFC 9457: application/problem+json with title, status and detail.
  void problem(ExchangeId id, std::uint16_t status, std::string_view detail,
               std::string_view fields = {});
  // False: stale. Then pieces, and end(): without it the peer sees that the answer is cut.
  bool begin(ExchangeId id, const StreamHead& head);
  // False: stale. Ask room() before what is large.
  bool write(ExchangeId id, Bytes piece);
  // Whether so much should be written now; if not, Handler::on_room follows.
  bool room(ExchangeId id);
  // What the peer has not taken of it; 0 where it is stale.
  std::uint32_t unsent_bytes(ExchangeId id);
  void end(ExchangeId id);
  // The answer can't go on: the connection ends where the peer sees it.
  void cut(ExchangeId id);
  // 101, and the link speaks `protocol` (of Links) from the next byte on. `fields`: whole lines.
  // The new protocol's on_open has not been called: the caller makes its session bytes.
  net::Link* upgrade(ExchangeId id, std::uint8_t protocol, std::string_view fields);

  const Counters& counters() const { return counters_; }

  // Called by Links -----------------------------------------------------------------------------

  std::string_view name() const override { return "http"; }
  void on_settings(const config::Settings& settings) override {
    options_ = session_options(settings);
  }
  void on_open(net::Link&) override {}
  std::size_t on_bytes(net::Link& link, Bytes bytes) override;
  void on_close(net::Link& link, net::CloseReason reason) override;
  void on_writable(net::Link& link) override;

 private:
  enum class Phase : std::uint8_t {
    head,       // of the next request
    body,       // comes into `arriving_`
    answering,  // the handler has it; the link is held
    streaming,  // a body in pieces; the link is held
    endless,    // likewise, and input is discarded
    finishing,  // the last answer leaves, then the link ends
  };
  struct State {
    std::uint32_t serial;
    std::uint32_t seen;  // bytes of an incomplete head that were looked at
    Phase phase;
    std::uint8_t minor;
    bool keep_alive;
    bool head_only;   // HEAD: no body leaves
    bool chunked;     // our body is
    bool held;
    bool has_rest;    // in rests_
    std::uint64_t body_left;  // of ours; StreamHead::unknown_length: nobody knows
    MonoNs since_ns;  // the request's first body byte, or its dispatch
  };
  static_assert(std::is_trivially_copyable_v<State> &&
                sizeof(State) <= ringgate::limits::session_state_bytes);
  // A request whose body is still coming.
  struct Arriving {
    std::vector<std::uint8_t> head;
    std::vector<std::uint8_t> body;
    ChunkedDecoder decoder;
    std::uint64_t left = 0;  // with a length
    std::uint64_t max = 0;
    bool chunked = false;
  };
  // A body that is written as the peer takes it.
  struct Rest {
    std::shared_ptr<const std::string> body;
    std::size_t at = 0;
  };

  std::size_t take_request(net::Link& link, Bytes bytes);
  std::size_t begin_body(net::Link& link, Bytes bytes, std::size_t head_size, std::uint64_t max);
  std::size_t take_body(net::Link& link, Bytes bytes);
  void dispatch(net::Link& link, const Head& head, Bytes body);
  Request request_of(net::Link& link, const Head& head, Bytes body);
  void refuse(net::Link& link, std::uint16_t status, std::string_view detail,
              std::string_view fields = {});
  // The link of an exchange that has no answer yet, or is at its body; null: stale.
  net::Link* find(ExchangeId id, Phase phase);
  void write_head(net::Link& link, std::uint16_t status, std::string_view type,
                  std::string_view fields, std::uint64_t length, std::string_view body);
  void write_rest(net::Link& link);
  void complete(net::Link& link);
  void hold(net::Link& link);
  bool body_allowed(const State& state, std::uint16_t status) const;
  bool too_slow(const net::Link& link, const Arriving& arriving) const;
  void forget(net::Link& link);
  void say_stopping(net::Link& link);

  net::Links& links_;
  Counters counters_;
  SessionOptions options_;
  std::unique_ptr<Handler> handler_;
  DateLine date_;
  Head head_;
  std::unordered_map<std::uint32_t, Arriving> arriving_;  // by slot
  std::unordered_map<std::uint32_t, Rest> rests_;
};

}  // namespace ringgate::http
