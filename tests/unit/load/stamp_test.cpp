// On a real ring: an answer's time is when the kernel received it, however late this process looks;
// without stamps it is when it looked.
#include <arpa/inet.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/load/crowd_rig.hpp"
#include "tools/load/crowd/terminals.hpp"

using namespace ringgate;

namespace {

constexpr MonoNs overslept_ns = 20 * ns_per_ms;

class Server {
 public:
  Server() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(listener_, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0);
    REQUIRE(::listen(listener_, 4) == 0);
    socklen_t size = sizeof at;
    REQUIRE(::getsockname(listener_, reinterpret_cast<sockaddr*>(&at), &size) == 0);
  }
  ~Server() {
    ::close(listener_);
    if (fd_ >= 0) ::close(fd_);
  }
  // Answers what has come. How many frames those were.
  int serve() {
    pollfd one{.fd = fd_ < 0 ? listener_ : fd_, .events = POLLIN, .revents = 0};
    if (::poll(&one, 1, 1) <= 0) return 0;
    if (fd_ < 0) {
      fd_ = ::accept(listener_, nullptr, nullptr);
      return 0;
    }
    char buffer[2048];
    const ssize_t got = ::recv(fd_, buffer, sizeof buffer, 0);
    if (got <= 0) return 0;
    in_.append(buffer, static_cast<std::size_t>(got));
    int frames = 0;
    for (std::string said; !(said = unit::good_news(in_)).empty(); ++frames) {
      REQUIRE(::send(fd_, said.data(), said.size(), MSG_NOSIGNAL) ==
              static_cast<ssize_t>(said.size()));
    }
    return frames;
  }
  // Until the other side's kernel has everything.
  void await_arrival() const {
    for (int left = 1; left > 0;) REQUIRE(::ioctl(fd_, SIOCOUTQ, &left) == 0);
  }

  sockaddr_in at{};

 private:
  int listener_;
  int fd_ = -1;
  std::string in_;
};

class Listener final : public load::Terminals::Owner {
 public:
  void on_answered(const load::Terminals::Answered& report) override { answers.push_back(report); }
  void on_ready(std::uint32_t, MonoNs) override { ready = true; }
  void on_down(std::uint32_t, MonoNs) override {}

  std::vector<load::Terminals::Answered> answers;
  bool ready = false;
};

struct Moments {
  MonoNs arrived_ns;   // at the latest
  MonoNs looked_ns;    // at the earliest
  MonoNs answered_ns;  // as told
  MonoNs sent_ns;
};

// Reports of one terminal, of each of which the answer is there long before anybody looks.
std::vector<Moments> oversleep(std::uint32_t without, int reports) {
  Server server;
  io::RingOptions ring_options;
  ring_options.without = without;
  auto ring = io::Ring::open(io::make_uring_backend(), ring_options);
  REQUIRE(ring.ok());
  shard::Shard shard({}, std::move(*ring), io::real_sys());
  auto buffers = io::BufferRing::open(shard.ring(), 0, 16, 2048);
  REQUIRE(buffers.ok());
  load::Desk desk(shard);
  load::TerminalsOptions options;
  std::memcpy(&options.target, &server.at, sizeof server.at);
  options.target_bytes = sizeof server.at;
  options.closed = false;
  Listener listener;
  std::vector<Moments> out;
  {
    load::Terminals terminals(shard, desk, **buffers, options, listener);
    const auto turn = [&] {
      (*buffers)->publish();
      terminals.turn();
      shard.turn(ns_per_ms);
    };
    terminals.connect(0);
    while (!listener.ready) {
      turn();
      server.serve();
    }
    for (int i = 0; i < reports; ++i) {
      REQUIRE(terminals.report_due(0, shard.now()) == load::Terminals::Due::taken);
      turn();
      while (server.serve() == 0) {
      }
      server.await_arrival();
      const MonoNs arrived_ns = io::real_sys().mono_now();
      MonoNs looked_ns = arrived_ns;
      while (looked_ns < arrived_ns + overslept_ns) looked_ns = io::real_sys().mono_now();
      listener.answers.clear();
      while (listener.answers.empty()) turn();
      const load::Terminals::Answered& answer = listener.answers.front();
      out.push_back({arrived_ns, looked_ns, answer.answered_ns, answer.due_ns + answer.lag_ns});
    }
    terminals.close_all();
    while (!terminals.all_closed()) turn();
  }
  return out;
}

}  // namespace

TEST_CASE("an answer came when the kernel had it, not when somebody looked") {
  // The kernel begins to stamp a moment after the first socket has asked for it.
  const std::vector<Moments> reports = oversleep(0, 8);
  int stamped = 0;
  for (const Moments& one : reports) {
    CHECK(one.answered_ns >= one.sent_ns);
    stamped += one.answered_ns <= one.arrived_ns;
  }
  CHECK(stamped > 0);
}

TEST_CASE("without stamps an answer came when somebody looked") {
  for (const Moments& one :
       oversleep(static_cast<std::uint32_t>(io::Feature::multishot_recvmsg), 2)) {
    CHECK(one.answered_ns >= one.looked_ns);
  }
}
