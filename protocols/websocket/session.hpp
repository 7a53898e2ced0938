// WebSocket (RFC 6455, 7692) on the links of one shard. A link comes from HTTP by an upgrade and
// stays on its shard. What is said is a Handler's business; one per upgraded path.
//
// Frames to clients carry no mask, so a message for many is framed (and deflated) once and copied.
// One per shard; lives on it, every call on its thread.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/net/links.hpp"
#include "engine/observe/counter.hpp"
#include "protocols/http/session.hpp"
#include "protocols/websocket/codec/frame.hpp"
#include "protocols/websocket/counters.hpp"
#include "protocols/websocket/deflate.hpp"
#include "protocols/websocket/limits.hpp"

namespace ringgate::websocket {

class Handler {
 public:
  virtual ~Handler() = default;
  // A whole message, UTF-8 where it is text; valid until the call returns.
  virtual void on_message(LinkId socket, Opcode kind, Bytes message) = 0;
  // After Session::room() said false: it would say true now.
  virtual void on_room(LinkId socket) { static_cast<void>(socket); }
  // The socket ends, or has ended: exactly once, and nothing follows.
  virtual void on_closed(LinkId socket, CloseCode code) = 0;
};

struct SessionOptions {
  MonoNs ping_interval_ns = 30 * ns_per_s;  // of silence, then a ping; 0: none
  MonoNs pong_wait_ns = 30 * ns_per_s;      // silence after the ping that ends a socket
  std::size_t message_bytes_max = limits::message_bytes_max;
};

// What an upgrade agrees on.
struct Acceptance {
  std::span<const std::string_view> protocols;  // sub-protocols, best first; empty: none
  std::span<const std::string> origins;  // allowed Origin values besides the Host's own
  bool deflate = true;
};

class Session final : public net::Protocol, public shard::TimerHandler {
 public:
  Session(net::Links& links, observe::CounterGroup& counters, const SessionOptions& options);
  ~Session() override;

  // As Links::add_protocol returned; before the first turn.
  void use_number(std::uint8_t number) { number_ = number; }

  // Answers a request with 101, or with what is wrong (400, 403, 426). Nothing: it was refused.
  // RFC 6455 4.2.
  std::optional<LinkId> accept(http::Session& http, const http::Request& request, Handler& handler,
                               const Acceptance& acceptance);

  // A whole message. False: the socket has gone or is closing.
  bool send(LinkId socket, Opcode kind, Bytes message);
  // One message for many: frames as send() would make them for sockets with and without deflate.
  struct Framed {
    std::vector<std::uint8_t> plain;
    std::vector<std::uint8_t> deflated;  // same as plain where that is shorter
  };
  void frame(Opcode kind, Bytes message, Framed& out);
  bool send(LinkId socket, const Framed& framed);
  // A frame as frame() makes it, for a socket that takes it so; what is unsent then. Nothing: the
  // socket has gone or is closing.
  std::optional<std::uint32_t> send_frame(LinkId socket, Bytes frame);
  // Whether permessage-deflate was agreed on.
  bool deflates(LinkId socket);
  // Bytes that the peer has not taken; 0 where the socket has gone.
  std::uint32_t unsent_bytes(LinkId socket);
  // Whether no more than `most` are unsent; if not, Handler::on_room follows.
  bool room(LinkId socket, std::uint32_t most);
  // Begins the closing handshake. RFC 6455 7.
  void close(LinkId socket, CloseCode code, std::string_view reason);

  const Counters& counters() const { return counters_; }

  // Called by Links and the loop ----------------------------------------------------------------

  std::string_view name() const override { return "websocket"; }
  void on_open(net::Link&) override { RG_CHECK(false); }  // has no listener
  std::size_t on_bytes(net::Link& link, Bytes bytes) override;
  void on_close(net::Link& link, net::CloseReason reason) override;
  void on_writable(net::Link& link) override;
  bool is_partial_frame(Bytes) const override { return false; }  // pings find the dead
  void on_timer() override;

 private:
  struct State {
    Handler* handler;
    MonoNs heard_ns;     // last byte of the peer
    MonoNs pinged_ns;    // 0: no ping is out
    std::uint64_t left;  // payload of the present frame that is to come
    std::uint64_t offset;  // of the payload's next byte, for the mask
    FrameHead frame;
    Utf8Stream text;
    bool in_frame;
    bool in_message;     // its first frame was seen, its last was not
    bool is_text;
    bool compressed;
    bool deflates;       // agreed
    bool close_sent;
    bool close_heard;
  };
  static_assert(std::is_trivially_copyable_v<State> &&
                sizeof(State) <= ringgate::limits::session_state_bytes);

  net::Link* find(LinkId socket);
  std::size_t begin_frame(net::Link& link, Bytes bytes);
  std::size_t take_payload(net::Link& link, Bytes bytes);
  bool check_order(net::Link& link, const FrameHead& head);
  bool take_piece(net::Link& link, Bytes piece);
  void end_frame(net::Link& link);
  void end_message(net::Link& link);
  void control(net::Link& link, Opcode opcode, Bytes payload);
  void heard_close(net::Link& link, Bytes payload);
  void write(net::Link& link, Opcode opcode, Bytes payload);
  void fail(net::Link& link, CloseCode code, std::string_view reason);
  void begin_close(net::Link& link, CloseCode code, std::string_view reason);
  void told(net::Link& link, CloseCode code);
  void look_at(net::Link& link, MonoNs now);
  void forget(net::Link& link);

  net::Links& links_;
  Counters counters_;
  SessionOptions options_;
  std::uint8_t number_ = 0xff;
  Deflater deflater_;
  std::vector<std::uint8_t> scratch_;    // a frame's payload, unmasked
  std::vector<std::uint8_t> inflated_;
  std::unordered_map<std::uint32_t, std::vector<std::uint8_t>> messages_;  // by slot, in pieces
  std::vector<LinkId> sockets_;
  std::size_t next_look_ = 0;
  shard::Timer timer_{*this};
};

}  // namespace ringgate::websocket
