// Answers of HTTP servers in pieces, good and bad, and requests to a server of the test's own.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>

#include <string>

#include "tools/common/http_answer.hpp"
#include "tools/common/http_calls.hpp"

using namespace ringgate;
using tool::HttpAnswer;
using tool::HttpAnswerReader;

namespace {

// Feeds an answer in pieces of `size`; what is left over goes to `rest`.
HttpAnswerReader::Step feed(HttpAnswerReader& answer, std::string_view text, std::size_t size,
                      std::string& body, std::size_t& rest) {
  while (!text.empty()) {
    Bytes piece = as_bytes(text.substr(0, size));
    const std::size_t before = piece.size();
    const HttpAnswerReader::Step step = answer.feed(piece, &body);
    text.remove_prefix(before - piece.size());
    rest = text.size();
    if (step != HttpAnswerReader::Step::more) return step;
    REQUIRE(piece.empty());
  }
  return HttpAnswerReader::Step::more;
}

}  // namespace

TEST_CASE("answers of HTTP/1.1, cut anywhere") {
  struct Case {
    const char* text;
    int status;
    const char* body;
    bool keeps;
  };
  const Case cases[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", true},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0"
       "\r\nTrailer: 1\r\n\r\n", 200, "hello world", true},
      {"HTTP/1.1 204 No Content\r\n\r\n", 204, "", true},
      {"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, "", true},
      {"HTTP/1.1 404 Not Found\r\ncontent-LENGTH:0\r\nConnection: close\r\n\r\n", 404, "", false},
      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nx", 201,
       "x", true},
      {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok", false},
  };
  for (const Case& one : cases) {
    for (std::size_t size = 1; size < 100; ++size) {
      CAPTURE(one.text);
      CAPTURE(size);
      HttpAnswerReader answer;
      answer.begin();
      std::string body;
      std::size_t rest = 1;
      const std::string text = std::string(one.text) + "HTTP/1.1 2";  // the next one's head
      REQUIRE(feed(answer, text, size, body, rest) == HttpAnswerReader::Step::done);
      CHECK(rest == 10);
      CHECK(answer.status() == one.status);
      CHECK(body == one.body);
      CHECK(answer.keeps_alive() == one.keeps);
    }
  }
}

TEST_CASE("an answer that ends with its connection, heads alone, and what is no HTTP") {
  std::string body;
  std::size_t rest = 0;
  HttpAnswerReader answer;
  answer.begin();
  CHECK(feed(answer, "HTTP/1.1 200 OK\r\n\r\nall", 4, body, rest) == HttpAnswerReader::Step::more);
  CHECK(answer.closed() == HttpAnswerReader::Step::done);
  CHECK(body == "all");
  answer.begin(true);
  CHECK(feed(answer, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 7, body, rest) ==
        HttpAnswerReader::Step::done);
  answer.begin(false, true);
  CHECK(feed(answer, "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\nrest", 100, body,
             rest) == HttpAnswerReader::Step::head);
  CHECK(rest == 4);
  CHECK(answer.field("upgrade") == "websocket");
  for (const char* bad : {"SSH-2.0-x\r\n", "HTTP/1.1 abc\r\n", "HTTP/2 200\r\n",
                          "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
                          "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
                          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n"}) {
    CAPTURE(bad);
    answer.begin();
    CHECK_FALSE(answer.begun());
    CHECK(feed(answer, bad, 1000, body, rest) == HttpAnswerReader::Step::bad);
    CHECK(answer.begun());
    CHECK(std::string(answer.problem()) != "");
  }
  answer.begin();
  CHECK(feed(answer, std::string(HttpAnswerReader::head_bytes_max + 10, 'a'), 999, body, rest) ==
        HttpAnswerReader::Step::bad);
}

// ---- requests ----------------------------------------------------------------------------------

namespace {

// Listens on a free port of 127.0.0.1.
struct Server {
  Server() : listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    auto* generic = reinterpret_cast<sockaddr*>(&at);
    REQUIRE(bind(listener.get(), generic, sizeof at) == 0);
    REQUIRE(listen(listener.get(), 8) == 0);
    REQUIRE(getsockname(listener.get(), generic, &size) == 0);
    port = ntohs(at.sin_port);
  }
  // The next client's request, to its end.
  std::string take() {
    link = tool::OwnedFd(accept(listener.get(), nullptr, nullptr));
    std::string out;
    char buffer[4096];
    while (out.find("\r\n\r\n") == std::string::npos) {
      const ssize_t got = recv(link.get(), buffer, sizeof buffer, 0);
      REQUIRE(got > 0);
      out.append(buffer, static_cast<std::size_t>(got));
    }
    return out;
  }
  void say(const std::string& text) {
    REQUIRE(send(link.get(), text.data(), text.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(text.size()));
  }

  tool::OwnedFd listener;
  tool::OwnedFd link;
  std::uint16_t port = 0;
};

// Turns until `calls` have been answered.
void turn(tool::HttpCalls& calls) {
  std::vector<pollfd> polls;
  calls.add_polls(polls);
  poll(polls.data(), polls.size(), 50);
  calls.handle();
}

HttpAnswer ask(Server& server, const std::string& text, std::string* request = nullptr) {
  tool::HttpCalls calls;
  HttpAnswer out;
  bool done = false;
  calls.begin({.method = "PUT",
               .address = fmt::format("127.0.0.1:{}", server.port),
               .path = "/x?y=1",
               .body = "{}",
               .token = "secret"},
              [&](const HttpAnswer& answer) {
                out = answer;
                done = true;
              });
  turn(calls);  // it is on its way, in one piece
  const std::string heard = server.take();
  if (request != nullptr) *request = heard;
  // In two pieces.
  server.say(text.substr(0, text.size() / 2));
  turn(calls);
  CHECK_FALSE(done);
  server.say(text.substr(text.size() / 2));
  server.link.reset();
  while (!done) turn(calls);
  CHECK(calls.idle());
  return out;
}

}  // namespace

TEST_CASE("a request has what it needs, and its answer is told once it is whole") {
  Server server;
  std::string request;
  HttpAnswer answer =
      ask(server, "HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\nbody", &request);
  CHECK(answer.status == 201);
  CHECK(answer.well());
  CHECK(answer.body == "body");
  CHECK(request.starts_with("PUT /x?y=1 HTTP/1.1\r\n"));
  CHECK(request.find(fmt::format("\r\nHost: 127.0.0.1:{}\r\n", server.port)) != std::string::npos);
  CHECK(request.find("\r\nAuthorization: Bearer secret\r\n") != std::string::npos);
  CHECK(request.find("\r\nContent-Length: 2\r\n") != std::string::npos);
  answer = ask(server, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"
                       "A\r\n0123456789\r\n0\r\n\r\n");
  CHECK(answer.body == "abc0123456789");
  answer = ask(server, "HTTP/1.1 404 No\r\n\r\n{\"title\":\"none\"}");
  CHECK_FALSE(answer.well());
  CHECK(answer.text() == "404: none");
}

TEST_CASE("what is no answer has a reason") {
  Server server;
  const std::string where = fmt::format("127.0.0.1:{}", server.port);
  HttpAnswer answer = ask(server, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort");
  CHECK(answer.status == 0);
  CHECK(answer.text() == where + ": the connection ended before the answer");
  answer = ask(server, "SSH-2.0-OpenSSH_9.6 and more of it\r\n");
  CHECK(answer.text() == where + " does not speak HTTP: no status line");
  server.listener.reset();
  answer = tool::HttpCalls().call({.address = where, .path = "/"});
  CHECK(answer.text() == where + " cannot be reached: Connection refused");
  answer = tool::HttpCalls().call({.address = "127.0.0.1", .path = "/"});
  CHECK(answer.text().find("expected HOST:PORT") != std::string::npos);
}

TEST_CASE("a server that takes a request and is mute is given up in time") {
  Server server;  // its kernel takes the connection
  const std::string where = fmt::format("127.0.0.1:{}", server.port);
  const HttpAnswer answer =
      tool::HttpCalls().call({.address = where, .path = "/", .patience_ns = 20 * ns_per_ms});
  CHECK(answer.text() == where + ": no answer in time");
}
