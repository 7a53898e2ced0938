// HTTP over links, on the simulated ring with all its roughness and on the real one: requests in
// order, bodies in pieces, answers that come late, are large, or never end.
#include "protocols/http/session.hpp"

#include <fmt/format.h>

#include "tests/unit/http/web.hpp"

using namespace ringgate;
using namespace ringgate::unit;
using http::ExchangeId;

namespace {

// Answers by path: what each does is in on_request.
class Paths final : public http::Handler {
 public:
  explicit Paths(http::Session& session) : session_(session) {}

  std::uint64_t body_bytes_max(const http::Head& head) override {
    return head.path == "/small" ? 10 : 1 << 20;
  }
  std::optional<http::Refused> refuse_body(const http::Request& request) override {
    if (request.head.path != "/guarded") return {};
    return http::Refused{401, "nobody asks", "WWW-Authenticate: Bearer\r\n"};
  }
  void on_request(const http::Request& request) override {
    ++requests;
    const std::string_view path = request.head.path;
    if (path == "/late") {
      late.push_back(request.id);
    } else if (path == "/large") {
      session_.answer(request.id, {.type = "text/plain", .fields = {}, .body = {},
                                   .shared = large});
    } else if (path == "/stream" || path == "/events") {
      stream = request.id;
      session_.begin(request.id, {.type = "text/plain", .fields = {},
                                  .endless = path == "/events"});
    } else if (path == "/up") {
      session_.upgrade(request.id, upgraded, "Connection: upgrade\r\nUpgrade: echo\r\n");
    } else if (path == "/none") {
      session_.answer(request.id, {.status = 204, .type = {}, .fields = {}, .body = {},
                                   .shared = nullptr});
    } else {
      const std::string body = fmt::format("{} {} {}", request.head.method_text,
                                           request.head.target, as_text(request.body));
      session_.answer(request.id, {.type = "text/plain", .fields = "X-Test: 1\r\n", .body = body,
                                   .shared = nullptr});
    }
  }
  void on_gone(ExchangeId id) override { gone.push_back(id.serial); }
  void on_room(ExchangeId) override { ++rooms; }

  std::shared_ptr<const std::string> large;
  std::vector<ExchangeId> late;
  std::vector<std::uint32_t> gone;
  ExchangeId stream;
  std::uint8_t upgraded = 0;
  int requests = 0;
  int rooms = 0;

 private:
  http::Session& session_;
};

// What a link becomes by /up.
class Echo final : public net::Protocol {
 public:
  explicit Echo(net::Links& links) : links_(links) {}
  std::string_view name() const override { return "echo"; }
  void on_open(net::Link&) override {}
  std::size_t on_bytes(net::Link& link, Bytes bytes) override {
    links_.reply(link, bytes);
    return bytes.size();
  }
  void on_close(net::Link&, net::CloseReason) override {}

 private:
  net::Links& links_;
};

class WebOfPaths : public Web {
 public:
  explicit WebOfPaths(std::unique_ptr<Ground> ground) : Web(std::move(ground)), echo_(*links) {
    auto handler = std::make_unique<Paths>(*session);
    paths = handler.get();
    session->use_handler(std::move(handler));
    paths->upgraded = links->add_protocol(echo_);
  }
  ~WebOfPaths() { stop(); }

  Paths* paths = nullptr;

 private:
  Echo echo_;
};

void play(const std::function<void(WebOfPaths&)>& scene) {
  on_all_grounds([&](std::unique_ptr<Ground> ground) {
    WebOfPaths web(std::move(ground));
    scene(web);
  });
}

std::string get(std::string_view path, std::string_view fields = {}) {
  return fmt::format("GET {} HTTP/1.1\r\nHost: a\r\n{}\r\n", path, fields);
}

std::string post(std::string_view path, std::string_view body) {
  return fmt::format("POST {} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{}", path,
                     body.size(), body);
}

// Status and body of each answer, heads checked on the way: "200 body|404 ...".
std::string answers(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t head_end = text.find("\r\n\r\n");
    REQUIRE(head_end != std::string_view::npos);
    const std::string_view head = text.substr(0, head_end + 2);
    REQUIRE(head.starts_with("HTTP/1.1 "));
    CHECK(head.find("\r\nDate: ") != std::string_view::npos);
    text.remove_prefix(head_end + 4);
    out += fmt::format("{}{}", out.empty() ? "" : "|", head.substr(9, 3));
    const std::size_t at = head.find("Content-Length: ");
    if (at == std::string_view::npos) continue;
    const std::size_t size = std::strtoul(head.data() + at + 16, nullptr, 10);
    REQUIRE(text.size() >= size);
    out += fmt::format(" {}", text.substr(0, size));
    text.remove_prefix(size);
  }
  return out;
}

TEST_CASE("requests on one connection are answered in order, with late ones between") {
  play([](WebOfPaths& web) {
    Far& far = web.connect();
    far.send(get("/one") + post("/two", "body") + get("/late") + get("/three") + get("/none") +
             get("/four", "Connection: close\r\n") + get("/never"));
    std::string text;
    web.hear(far, text, "body");
    CHECK(web.until([&] { return web.paths->late.size() == 1; }));
    web.pass(200 * ns_per_ms);
    text += far.take();
    CHECK(answers(text) == "200 GET /one |200 POST /two body");
    web.session->problem(web.paths->late[0], 404, "there is none");
    // Twice, and after the answer: nothing happens.
    web.session->problem(web.paths->late[0], 500, "again");
    CHECK(web.ends(far, text));
    CHECK(answers(text) ==
          "200 GET /one |200 POST /two body|404 {\"title\":\"Not Found\",\"status\":404,"
          "\"detail\":\"there is none\"}|200 GET /three |204|200 GET /four ");
    CHECK(web.paths->requests == 6);
  });
}

TEST_CASE("bodies with a length and chunked ones, in pieces; too long ones") {
  play([](WebOfPaths& web) {
    Far& far = web.connect();
    std::string body;
    for (int i = 0; i < 20'000; ++i) body += static_cast<char>('a' + i % 26);
    far.send(post("/whole", body));
    std::string text;
    web.hear(far, text, body);
    far.send("POST /chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwi");
    web.turn();
    far.send("ki\r\n5\r\npedia\r\n0\r\n\r\n" + get("/next"));
    web.hear(far, text, "/next");
    CHECK(answers(text) ==
          "200 POST /whole " + body + "|200 POST /chunks wikipedia|200 GET /next ");
    far.send(post("/small", "0123456789A"));
    text.clear();
    CHECK(web.ends(far, text));
    CHECK(text.starts_with("HTTP/1.1 413 "));
    CHECK(text.find("Connection: close") != std::string::npos);
    Far& other = web.connect();
    other.send("POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
               "6\r\n012345\r\n6\r\n012345\r\n0\r\n\r\n");
    text.clear();
    CHECK(web.ends(other, text));
    CHECK(text.starts_with("HTTP/1.1 413 "));
    Far& bad = web.connect();
    bad.send("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\n");
    text.clear();
    CHECK(web.ends(bad, text));
    CHECK(text.starts_with("HTTP/1.1 400 "));
    CHECK(web.session->counters().bad_bodies.value(http::Refusal::bad_chunk) == 1);
    CHECK(web.session->counters().bad_bodies.value(http::Refusal::body_too_large) == 2);
  });
}

TEST_CASE("100-continue is said to who waits for it") {
  play([](WebOfPaths& web) {
    Far& far = web.connect();
    far.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    std::string text;
    web.hear(far, text, "100 Continue\r\n\r\n");
    far.send("ok");
    web.hear(far, text, "POST /a ok");
    CHECK(text.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"));
  });
}

TEST_CASE("a body that nobody wants is not waited for: the answer comes, and the link ends") {
  play([](WebOfPaths& web) {
    Far& far = web.connect();
    far.send("POST /guarded HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n"
             "Expect: 100-continue\r\n\r\n");
    std::string text;
    web.hear(far, text, "nobody asks");
    CHECK(text.starts_with("HTTP/1.1 401 "));
    CHECK(text.find("WWW-Authenticate: Bearer\r\n") != std::string::npos);
    CHECK(text.find("100 Continue") == std::string::npos);
    CHECK(text.find("Connection: close\r\n") != std::string::npos);
    CHECK(web.paths->requests == 0);
  });
}

TEST_CASE("bad heads get their status, the connection ends, and others notice nothing") {
  play([](WebOfPaths& web) {
    Far& good = web.connect();
    good.send("GET /slo");
    Far& far = web.connect();
    far.send(get("/first") + "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
                             "Transfer-Encoding: chunked\r\n\r\n" + get("/smuggled"));
    std::string text;
    CHECK(web.ends(far, text));
    CHECK(answers(text).starts_with("200 GET /first |400 {"));
    CHECK(text.find("smuggled") == std::string::npos);
    CHECK(web.session->counters().bad_heads.value(http::HeadError::bad_framing) == 1);
    good.send("w HTTP/1.1\r\nHost: a\r\n\r\n");
    text.clear();
    web.hear(good, text, "GET /slow");
  });
}

TEST_CASE("HEAD has no body, HTTP/1.0 closes unless asked") {
  play([](WebOfPaths& web) {
    Far& far = web.connect();
    far.send("HEAD /x HTTP/1.1\r\nHost: a\r\n\r\nGET /y HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
             "GET /z HTTP/1.0\r\n\r\n");
    std::string text;
    CHECK(web.ends(far, text));
    const std::size_t second = text.find("HTTP/1.1", 1);
    CHECK(text.substr(0, second).find("Content-Length: 8\r\n") != std::string::npos);
    CHECK(text.substr(0, second).ends_with("\r\n\r\n"));
    CHECK(answers(text.substr(second)) == "200 GET /y |200 GET /z ");
    CHECK(text.find("Connection: keep-alive") != std::string::npos);
  });
}

TEST_CASE("a large answer leaves as its peer takes it, and costs others nothing") {
  play([](WebOfPaths& web) {
    std::string body;
    for (int i = 0; i < 300'000; ++i) body += static_cast<char>('a' + i % 23);
    web.paths->large = std::make_shared<const std::string>(body);
    Far& far = web.connect();
    far.send(get("/large") + get("/after"));
    std::string text;
    CHECK(web.until([&] {
      text += far.take();
      CHECK(web.links->memory_bytes() < 400'000);
      return text.find("GET /after") != std::string::npos;
    }));
    CHECK(answers(text) == "200 " + body + "|200 GET /after ");
    CHECK(web.paths->large.use_count() == 1);
    // A peer that reads nothing is dropped after its idle time-out.
    Far& slow = web.connect();
    slow.pause_reading(true);
    web.paths->large = std::make_shared<const std::string>(
        static_cast<std::size_t>(web.too_many_bytes()), 'x');
    slow.send(get("/large"));
    CHECK(web.until([&] { return web.paths->large.use_count() == 2; }));
    for (int i = 0; i < 50; ++i) web.turn();
    web.pass(200 * ns_per_s);
    CHECK(web.paths->large.use_count() == 1);
    CHECK(web.links->counters().closed.value(net::CloseReason::send_failed) == 1);
  });
}

TEST_CASE("streams: chunked, cut, endless") {
  play([](WebOfPaths& web) {
    Far& far = web.connect();
    far.send(get("/stream") + get("/after"));
    CHECK(web.until([&] { return web.paths->stream.serial == 1; }));
    const ExchangeId id = web.paths->stream;
    CHECK(web.session->write(id, as_bytes("hello ")));
    CHECK(web.session->room(id));
    CHECK(web.session->write(id, as_bytes(std::string(20, 'x'))));
    web.session->end(id);
    CHECK_FALSE(web.session->write(id, as_bytes("no")));
    std::string text;
    web.hear(far, text, "GET /after");
    CHECK(text.find("\r\n\r\n6\r\nhello \r\n14\r\nxxxxxxxxxxxxxxxxxxxx\r\n0\r\n\r\nHTTP/1.1 200") !=
          std::string::npos);
    far.send(get("/stream"));
    CHECK(web.until([&] { return web.paths->stream.serial == 3; }));
    web.session->write(web.paths->stream, as_bytes("half"));
    web.session->cut(web.paths->stream);
    text.clear();
    CHECK(web.ends(far, text));
    CHECK(text.ends_with("4\r\nhalf\r\n"));

    Far& listener = web.connect();
    listener.send(get("/events") + "what comes here is discarded");
    CHECK(web.until([&] { return web.paths->stream.serial == 1; }));
    text.clear();
    CHECK(web.session->write(web.paths->stream, as_bytes("data: 1\n\n")));
    web.hear(listener, text, "data: 1");
    listener.shut();
    CHECK(web.until([&] { return web.paths->gone.size() == 2; }));
    CHECK_FALSE(web.session->write(web.paths->stream, as_bytes("data: 2\n\n")));
  });
}

TEST_CASE("a writer that fills its room is told when there is some again") {
  play([](WebOfPaths& web) {
    Far& far = web.connect();
    far.pause_reading(true);
    far.send(get("/stream"));
    CHECK(web.until([&] { return web.paths->stream.serial == 1; }));
    const std::string piece(4000, 'y');
    std::size_t written = 0;
    while (web.session->room(web.paths->stream)) {
      web.session->write(web.paths->stream, as_bytes(piece));
      written += piece.size();
    }
    CHECK(written >= http::limits::answer_piece_bytes);
    far.pause_reading(false);
    std::string text;
    CHECK(web.until([&] {
      text += far.take();
      return web.paths->rooms > 0;
    }));
    web.session->end(web.paths->stream);
    web.hear(far, text, "\r\n0\r\n\r\n");
  });
}

TEST_CASE("an upgraded link speaks the other protocol from the next byte on") {
  play([](WebOfPaths& web) {
    Far& far = web.connect();
    far.send(get("/one") + get("/up", "Connection: upgrade\r\nUpgrade: echo\r\n") + "echo this");
    std::string text;
    web.hear(far, text, "echo this");
    far.send(" and this");
    web.hear(far, text, "echo this and this");
    CHECK(text.find("HTTP/1.1 101 Switching Protocols\r\n") != std::string::npos);
  });
}

TEST_CASE("slow heads and slow bodies end, and a late answer to a dead link is nothing") {
  play([](WebOfPaths& web) {
    Far& head = web.connect();
    Far& body = web.connect();
    Far& late = web.connect();
    head.send("GET / HTTP/1.1\r\nHost: a\r\n");
    body.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    late.send(get("/late"));
    CHECK(web.until([&] { return web.paths->late.size() == 1; }));
    for (int i = 0; i < 30; ++i) {
      web.pass(ns_per_s);
      if (!body.ended()) body.send("x");
      web.turn();
    }
    std::string text;
    CHECK(web.ends(head, text));
    CHECK(web.links->counters().closed.value(net::CloseReason::frame_timeout) == 1);
    text.clear();
    CHECK(web.ends(body, text));
    CHECK(text.starts_with("HTTP/1.1 408 "));
    CHECK(web.session->counters().bad_bodies.value(http::Refusal::body_too_slow) == 1);
    late.reset();
    web.pass(100 * ns_per_ms);
    web.session->answer(web.paths->late[0], {.type = "text/plain", .fields = {}, .body = "late",
                                             .shared = nullptr});
    CHECK(web.until([&] { return web.links->live_count() == 0; }));
  });
}

}  // namespace
