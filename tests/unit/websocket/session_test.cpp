// WebSocket over links: what the applicable cases of the Autobahn test suite ask (framing, pings,
// reserved bits, opcodes, fragmentation, UTF-8, closing, limits, deflate), on the real ring and on
// rough simulated ones.
#include "protocols/websocket/session.hpp"

#include <fmt/format.h>

#include <optional>

#include "protocols/websocket/handshake.hpp"
#include "tests/unit/http/web.hpp"

using namespace ringgate;
using namespace ringgate::unit;
using websocket::CloseCode;
using websocket::Failure;
using websocket::Opcode;

namespace {

constexpr std::string_view sub_protocols[] = {"v2", "v1"};
const std::string origins[] = {"https://friend.example"};

// Echoes every message; "/ws" is the path.
class Echo final : public http::Handler, public websocket::Handler {
 public:
  Echo(http::Session& http, websocket::Session& sockets) : http_(http), sockets_(sockets) {}
  void on_request(const http::Request& request) override {
    if (request.head.path != "/ws") return http_.problem(request.id, 404, "");
    const auto socket = sockets_.accept(http_, request, *this,
                                        {.protocols = sub_protocols, .origins = origins});
    if (socket) last = *socket;
  }
  void on_message(LinkId socket, Opcode kind, Bytes message) override {
    ++messages;
    sockets_.send(socket, kind, message);
  }
  void on_closed(LinkId, CloseCode code) override { closed.push_back(code); }

  LinkId last;
  int messages = 0;
  std::vector<CloseCode> closed;

 private:
  http::Session& http_;
  websocket::Session& sockets_;
};

class SocketWeb : public Web {
 public:
  explicit SocketWeb(std::unique_ptr<Ground> ground)
      : Web(std::move(ground)),
        sockets(*links, group, {.ping_interval_ns = 30 * ns_per_s, .pong_wait_ns = 10 * ns_per_s,
                                .message_bytes_max = 70'000}) {
    sockets.use_number(links->add_protocol(sockets));
    auto handler = std::make_unique<Echo>(*session, sockets);
    echo = handler.get();
    session->use_handler(std::move(handler));
  }
  ~SocketWeb() { stop(); }

  websocket::Session sockets;
  Echo* echo = nullptr;
};

constexpr std::string_view handshake =
    "GET /ws HTTP/1.1\r\nHost: here\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

// A frame of a client.
std::string frame(Opcode opcode, std::string_view payload, bool fin = true,
                  bool compressed = false) {
  const std::array<std::uint8_t, 4> mask = {0x12, 0x34, 0x56, 0x78};
  std::uint8_t head[websocket::frame_head_max];
  const std::size_t size =
      websocket::write_frame_head(head, opcode, payload.size(), fin, compressed, &mask);
  std::string out(reinterpret_cast<const char*>(head), size);
  out.resize(size + payload.size());
  websocket::unmask(as_bytes(payload).data(), payload.size(), mask, 0,
                    reinterpret_cast<std::uint8_t*>(out.data()) + size);
  return out;
}

// What a server's frames say: "text:hello|ping:|close:1000". Nothing: not whole yet.
std::optional<std::string> read_frames(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    websocket::FrameHead head;
    const auto parsed = websocket::parse_frame_head(as_bytes(text), true, head);
    REQUIRE(parsed.error == websocket::FrameError::none);
    if (!parsed.complete || text.size() < head.size + head.payload_bytes) return {};
    REQUIRE_FALSE(head.masked);
    const std::string_view payload = text.substr(head.size, head.payload_bytes);
    if (!out.empty()) out += '|';
    switch (head.opcode) {
      case Opcode::text:
        out += fmt::format("text{}:{}", head.compressed ? "*" : "", payload);
        break;
      case Opcode::binary: out += fmt::format("binary:{}", payload); break;
      case Opcode::ping: out += fmt::format("ping:{}", payload); break;
      case Opcode::pong: out += fmt::format("pong:{}", payload); break;
      case Opcode::close:
        out += payload.empty() ? "close"
                               : fmt::format("close:{}", load_be16(as_bytes(payload).data()));
        break;
      case Opcode::continuation: out += "continuation"; break;
    }
    text.remove_prefix(head.size + head.payload_bytes);
  }
  return out;
}

// Opens a socket; the answer's head.
std::string open(SocketWeb& web, Far& far, std::string_view fields = {}) {
  far.send(std::string(handshake) + std::string(fields) + "\r\n");
  std::string text;
  web.hear(far, text, "\r\n\r\n");
  return text;
}

void hears(SocketWeb& web, Far& far, std::string_view expected) {
  std::string text;
  std::string got;
  CHECK(web.until([&] {
    text += far.take();
    const auto read = read_frames(text);
    if (read) got = *read;
    return got.size() >= expected.size() || far.was_reset();
  }));
  CHECK(got == expected);
}

// Sends and expects frames and then the end.
void ends_with(SocketWeb& web, std::string_view bytes, std::string_view expected,
               std::string_view fields = {}) {
  CAPTURE(expected);
  Far& far = web.connect();
  open(web, far, fields);
  far.send(bytes);
  std::string text;
  CHECK(web.ends(far, text));
  CHECK(read_frames(text) == expected);
}

std::string closing(std::uint16_t code, std::string_view reason = {}) {
  std::string payload = {static_cast<char>(code >> 8), static_cast<char>(code & 0xff)};
  payload += reason;
  return frame(Opcode::close, payload);
}

void play(const std::function<void(SocketWeb&)>& scene) {
  on_all_grounds([&](std::unique_ptr<Ground> ground) {
    SocketWeb web(std::move(ground));
    scene(web);
  });
}

TEST_CASE("the key of RFC 6455 1.3") {
  CHECK(websocket::accept_value("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST_CASE("handshakes that are taken, and those that are not") {
  play([](SocketWeb& web) {
    const std::string head = open(web, web.connect(), "Sec-WebSocket-Protocol: v0, v1\r\n"
                                                      "Origin: https://FRIEND.example\r\n");
    CHECK(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"));
    CHECK(head.find("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") != std::string::npos);
    CHECK(head.find("Sec-WebSocket-Protocol: v1\r\n") != std::string::npos);
    CHECK(head.find("Extensions") == std::string::npos);
    CHECK(open(web, web.connect(), "Origin: http://here\r\n").starts_with("HTTP/1.1 101"));
    CHECK(open(web, web.connect(), "Origin: http://elsewhere\r\n").starts_with("HTTP/1.1 403"));
    Far& old = web.connect();
    old.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
             "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    std::string text;
    web.hear(old, text, "\r\n\r\n");
    CHECK(text.starts_with("HTTP/1.1 426"));
    CHECK(text.find("Sec-WebSocket-Version: 13\r\n") != std::string::npos);
    old.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n");
    text.clear();
    web.hear(old, text, "Key must be");
    CHECK(web.sockets.counters().refused.value() == 3);
    CHECK(web.sockets.counters().open.value() == 2);
  });
}

TEST_CASE("messages of every length come back, also those behind the handshake") {
  play([](SocketWeb& web) {
    Far& far = web.connect();
    std::string sent = std::string(handshake) + "\r\n";
    std::string expected;
    for (const std::size_t size : {0, 1, 125, 126, 127, 128, 5000, 65'535, 65'536}) {
      const std::string payload(size, '*');
      sent += frame(size % 2 == 0 ? Opcode::text : Opcode::binary, payload);
      expected += fmt::format("{}{}:{}", expected.empty() ? "" : "|",
                              size % 2 == 0 ? "text" : "binary", payload);
    }
    far.send(sent);
    std::string text;
    web.hear(far, text, "\r\n\r\n");
    std::string frames = text.substr(text.find("\r\n\r\n") + 4);
    CHECK(web.until([&] {
      frames += far.take();
      return read_frames(frames) == expected;
    }));
  });
}

TEST_CASE("fragments, with control frames between") {
  play([](SocketWeb& web) {
    Far& far = web.connect();
    open(web, far);
    far.send(frame(Opcode::text, "one ", false) + frame(Opcode::ping, "p") +
             frame(Opcode::continuation, "", false) + frame(Opcode::pong, "stray") +
             frame(Opcode::continuation, "two"));
    hears(web, far, "pong:p|text:one two");
    // A character may be cut between fragments.
    far.send(frame(Opcode::text, "\xe4\xbd", false) + frame(Opcode::continuation, "\xa0"));
    hears(web, far, "text:\xe4\xbd\xa0");
    far.send(frame(Opcode::ping, std::string(125, 'x')));
    hears(web, far, "pong:" + std::string(125, 'x'));
  });
}

TEST_CASE("what breaks the protocol ends the socket with its code") {
  play([](SocketWeb& web) {
    using enum Opcode;
    ends_with(web, frame(continuation, "x"), "close:1002");
    ends_with(web, frame(text, "x", false) + frame(text, "y"), "close:1002");
    ends_with(web, frame(ping, std::string(126, 'x')), "close:1002");
    ends_with(web, frame(ping, "x", false), "close:1002");
    ends_with(web, frame(text, "x", true, true), "close:1002");
    ends_with(web, "\x83\x80" "abcd", "close:1002");
    ends_with(web, "\x81\x01x", "close:1002");  // not masked
    ends_with(web, frame(text, "a\xffz"), "close:1007");
    ends_with(web, frame(text, "\xed\xa0\x80"), "close:1007");
    ends_with(web, frame(text, "\xe4\xbd"), "close:1007");
    ends_with(web, frame(text, "\xce\xba\xff", false), "close:1007");  // before its end
    ends_with(web, frame(binary, std::string(70'001, 'x')), "close:1009");
    ends_with(web, frame(binary, std::string(40'000, 'x'), false) +
                       frame(continuation, std::string(40'000, 'x')),
              "close:1009");
    CHECK(web.echo->messages == 0);
    CHECK(web.sockets.counters().open.value() == 0);
    CHECK(web.sockets.counters().failed.value(Failure::not_masked) == 1);
    CHECK(web.sockets.counters().failed.value(Failure::bad_text) == 4);
    CHECK(web.sockets.counters().failed.value(Failure::too_big) == 2);
  });
}

TEST_CASE("closing") {
  play([](SocketWeb& web) {
    ends_with(web, closing(1000, "bye"), "close:1000");
    ends_with(web, frame(Opcode::close, ""), "close");
    ends_with(web, closing(4999), "close:4999");
    ends_with(web, closing(1005), "close:1002");
    ends_with(web, closing(1000, "\xff"), "close:1002");
    ends_with(web, frame(Opcode::close, "x"), "close:1002");
    ends_with(web, closing(1000) + frame(Opcode::text, "late"), "close:1000");
    CHECK(web.echo->messages == 0);
    CHECK(web.echo->closed.size() == 7);
    // Ours first: the peer's frame is waited for, and no longer than that.
    Far& far = web.connect();
    open(web, far);
    web.sockets.close(web.echo->last, CloseCode::going_away, "later");
    CHECK_FALSE(web.sockets.send(web.echo->last, Opcode::text, as_bytes("no")));
    hears(web, far, "close:1001");
    far.send(closing(1001));
    std::string text;
    CHECK(web.ends(far, text));
    Far& silent = web.connect();
    open(web, silent);
    web.sockets.close(web.echo->last, CloseCode::normal, "");
    web.pass(5 * ns_per_s);
    text.clear();
    CHECK(web.ends(silent, text));
    CHECK(web.echo->closed.size() == 9);
  });
}

TEST_CASE("deflate, where it is agreed on") {
  play([](SocketWeb& web) {
    Far& far = web.connect();
    const std::string_view offer =
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    const std::string head = open(web, far, offer);
    CHECK(head.find("Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
                    "client_no_context_takeover\r\n") != std::string::npos);
    websocket::Deflater deflater;
    const std::string message(3000, 'a');
    const std::string packed(as_text(deflater.deflate(as_bytes(message))));
    far.send(frame(Opcode::text, packed.substr(0, 5), false, true) +
             frame(Opcode::continuation, packed.substr(5)));
    hears(web, far, "text*:" + packed);
    // Short ones are not worth it; plain ones may come too.
    far.send(frame(Opcode::text, "plain"));
    hears(web, far, "text:plain");
    ends_with(web, frame(Opcode::text, "\xff\xff\xff", true, true), "close:1007", offer);
    const std::string bomb(as_text(deflater.deflate(as_bytes(std::string(1 << 20, '0')))));
    ends_with(web, frame(Opcode::text, bomb, true, true), "close:1009", offer);
    const std::string bad_text(as_text(deflater.deflate(as_bytes("a\xff"))));
    ends_with(web, frame(Opcode::text, bad_text, true, true), "close:1007", offer);
  });
}

TEST_CASE("silence is asked about, and no answer ends it; a drain says that it goes") {
  play([](SocketWeb& web) {
    Far& answers = web.connect();
    Far& silent = web.connect();
    open(web, answers);
    open(web, silent);
    web.pass(33 * ns_per_s);
    hears(web, answers, "ping:");
    answers.send(frame(Opcode::pong, ""));
    web.pass(15 * ns_per_s);
    std::string text;
    CHECK(web.ends(silent, text));
    CHECK(read_frames(text) == "ping:");
    CHECK(web.sockets.counters().failed.value(Failure::silent) == 1);
    CHECK(web.sockets.counters().open.value() == 1);
    web.shard->request_drain(web.shard->now() + 60 * ns_per_s);
    hears(web, answers, "close:1001");
  });
}

}  // namespace
