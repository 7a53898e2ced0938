// Small HTTP requests of a tool (to the gateway's API, to ringgate-chaos) that need not make it
// wait: each has a connection of its own and a deadline. One thread, poll(2).
#pragma once

#include <poll.h>

#include <functional>
#include <list>
#include <map>
#include <string>
#include <vector>

#include "engine/base/clock.hpp"
#include "engine/base/result.hpp"
#include "tools/common/http_answer.hpp"
#include "tools/common/owned_fd.hpp"
#include "tools/common/sockets.hpp"

namespace ringgate::tool {

constexpr MonoNs http_deadline_ns = 3 * ns_per_s;
// More is no answer to what tools ask; /metrics of 64 shards are 2 MB.
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
  bool taken = false;   // there was none, but somebody took the request, or some of it
  bool well() const { return status >= 200 && status < 300; }
  // For people: "403: no such token" or why there was no answer.
  std::string text() const;
};

class HttpCalls {
 public:
  using Done = std::function<void(const HttpAnswer&)>;

  // `done` is called once, from handle(). Addresses are resolved when first used; where a name has
  // several, the next is tried where one cannot be reached.
  void begin(const HttpRequest& request, Done done);
  bool idle() const { return calls_.empty(); }
  std::size_t under_way() const { return calls_.size(); }
  void add_polls(std::vector<pollfd>& polls) const;
  void handle();

  // Waits for the answer, and sees to the others meanwhile.
  HttpAnswer call(const HttpRequest& request);

 private:
  struct Call {
    OwnedFd fd;
    std::string address;
    std::size_t tried = 0;  // of the address's
    bool begun = false;     // some of the request was sent
    std::string unsent;
    HttpAnswerReader reader;
    MonoNs deadline_ns = 0;
    Done done;
    HttpAnswer answer;
    bool over = false;
  };
  // Towards the next address of the name; `error`: why the one before was none.
  void open(Call& call, int error);
  void turn(Call& call);
  void read(Call& call);
  void on_broken(Call& call, int error);
  void fail(Call& call, const std::string& error);

  std::list<Call> calls_;
  std::map<std::string, std::vector<SocketAddress>> known_;
};

}  // namespace ringgate::tool
