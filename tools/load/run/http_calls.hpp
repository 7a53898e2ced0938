// Small HTTP requests of the coordinator (to ringgate-chaos, to the gateway's API) that never make
// it wait: each has a connection of its own and a deadline. One thread, poll(2).
#pragma once

#include <poll.h>

#include <functional>
#include <list>
#include <map>
#include <string>
#include <vector>

#include "engine/base/clock.hpp"
#include "engine/base/result.hpp"
#include "tools/load/run/sockets.hpp"

namespace ringgate::load {

constexpr MonoNs http_deadline_ns = 3 * ns_per_s;
// More is no answer to what the coordinator asks.
constexpr std::size_t http_answer_bytes_max = 64U << 20;

struct HttpRequest {
  std::string method = "GET";
  std::string address;  // HOST:PORT
  std::string path;     // begins with '/'; may have a query
  std::string body;     // JSON; empty: none
  std::string token;    // Bearer; empty: none
  MonoNs patience_ns = http_deadline_ns;
};

struct HttpAnswer {
  int status = 0;       // 0: there was none
  std::string body;
  std::string error;    // why there was none
  bool well() const { return status >= 200 && status < 300; }
  // For people: "403: no such token" or why there was no answer.
  std::string text() const;
};

class HttpCalls {
 public:
  using Done = std::function<void(const HttpAnswer&)>;
  explicit HttpCalls(std::function<MonoNs()> clock) : clock_(std::move(clock)) {}

  // `done` is called once, from handle(). Addresses are resolved when first used.
  void begin(const HttpRequest& request, Done done);
  bool idle() const { return calls_.empty(); }
  std::size_t under_way() const { return calls_.size(); }
  void add_polls(std::vector<pollfd>& polls) const;
  void handle();

  // Waits for the answer: before a run and after it.
  HttpAnswer call(const HttpRequest& request);

 private:
  struct Call {
    OwnedFd fd;
    std::string unsent;
    std::string received;
    MonoNs deadline_ns = 0;
    Done done;
    HttpAnswer answer;
    bool over = false;
  };
  void open(Call& call, const HttpRequest& request);
  void turn(Call& call);
  void fail(Call& call, const std::string& error);

  std::function<MonoNs()> clock_;
  std::list<Call> calls_;
  std::map<std::string, SocketAddress> known_;
};

// The whole answer in `bytes`? `closed`: no more comes. Understands Content-Length and chunks.
bool parse_http_answer(const std::string& bytes, bool closed, HttpAnswer& out);

}  // namespace ringgate::load
