// `ringgate-load worker --listen`: the far end of worker_set.cpp's connect_remote().
#include <fcntl.h>
#include <fmt/core.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "tools/common/clock.hpp"
#include "tools/common/owned_fd.hpp"
#include "tools/common/sockets.hpp"
#include "tools/load/run/worker_set.hpp"

namespace ringgate::load {
namespace {

constexpr MonoNs handshake_ns = 5 * ns_per_s;
// Those that connect and say nothing are heard side by side; of more the oldest has to go, so that
// nobody can keep a coordinator out by holding connections.
constexpr std::size_t strangers_max = 16;

bool send_all(int fd, const std::string& frame) {
  return ::send(fd, frame.data(), frame.size(), MSG_NOSIGNAL) ==
         static_cast<ssize_t>(frame.size());
}

// One that has connected and not proved yet that it knows the secret. What it says is read as it
// comes: while one is silent others are heard, and the first that proves it has the worker.
class Stranger {
 public:
  Stranger(tool::OwnedFd fd, std::string who)
      : fd_(std::move(fd)), who_(std::move(who)), decoder_(wire::stranger_frame_bytes_max),
        until_ns_(tool::mono_now() + handshake_ns) {
    wire::Hello hello = own_hello();
    hello.nonce = nonce_ = wire::make_nonce();
    refused_ = !send_all(fd_.get(), wire::encode(hello));
  }

  int fd() const { return fd_.get(); }
  const std::string& who() const { return who_; }
  bool refused() const { return refused_; }
  void expire(MonoNs now) { refused_ = refused_ || now >= until_ns_; }

  // There is something to be read. True: it knows the secret, and has been answered.
  bool hear(const std::string& secret) {
    char buffer[4096];
    const ssize_t got = recv(fd_.get(), buffer, sizeof buffer, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    refused_ = got <= 0;
    if (refused_) return false;
    decoder_.feed({buffer, static_cast<std::size_t>(got)});
    Result<std::optional<wire::Message>> next = decoder_.next();
    refused_ = !next.ok();
    if (refused_ || !next->has_value()) return false;
    const auto* proof = std::get_if<wire::Proof>(&**next);
    refused_ = proof == nullptr ||
               !wire::same_proof(proof->proof, wire::prove(secret, "coordinator", nonce_)) ||
               !send_all(fd_.get(), wire::encode(wire::Proof{
                                        wire::prove(secret, "worker", proof->nonce), {}}));
    if (refused_) return false;
    decoder_.set_limit(wire::frame_bytes_max);
    return true;
  }
  wire::Decoder take_decoder() { return std::move(decoder_); }

 private:
  tool::OwnedFd fd_;
  std::string who_;
  std::string nonce_;
  wire::Decoder decoder_;
  MonoNs until_ns_;
  bool refused_ = false;
};

Result<tool::OwnedFd> listen_on(const std::string& listen_text) {
  const Result<tool::SocketAddress> at = tool::resolve_address(listen_text, "--listen");
  if (!at.ok()) return at.error();
  tool::OwnedFd fd(socket(at->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  if (fd) setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (!fd || bind(fd.get(), at->get(), at->bytes) != 0 || ::listen(fd.get(), 16) != 0) {
    return errno_error(errno, fmt::format("--listen {}", listen_text));
  }
  return fd;
}

void serve_one(int fd, wire::Decoder decoder, const WorkerMain& worker_main) {
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  use_all_files();
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  // A coordinator whose host vanished is noticed in seconds: nobody would end the load else.
  const int unacknowledged_ms = 5000;
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof unacknowledged_ms);
  const int status = worker_main(fd, std::move(decoder));
  std::fflush(nullptr);
  _exit(status);
}

// One run at a time, and those that would like to begin one.
class Reception {
 public:
  Reception(tool::OwnedFd listener, const std::string& secret, const WorkerMain& worker_main,
            const std::function<void(const std::string&)>& said)
      : listener_(std::move(listener)), secret_(secret), worker_main_(worker_main), said_(said) {}
  ~Reception() {
    if (child_ <= 0) return;
    kill(child_, SIGTERM);
    waitpid(child_, nullptr, 0);
  }
  Reception(const Reception&) = delete;
  Reception& operator=(const Reception&) = delete;

  // Waits a moment for whatever comes. Error: no process for a run.
  Result<void> turn() {
    reap();
    std::vector<pollfd> polls{{listener_.get(), POLLIN, 0}};
    for (const Stranger& one : strangers_) polls.push_back({one.fd(), POLLIN, 0});
    const bool any = poll(polls.data(), polls.size(), 200) > 0;
    for (std::size_t i = 0; any && i < strangers_.size(); ++i) {
      if (polls[i + 1].revents != 0 && strangers_[i].hear(secret_)) return begin(strangers_[i]);
    }
    turn_away();
    if (any && polls[0].revents != 0) welcome();
    return {};
  }

 private:
  void reap() {
    if (child_ <= 0 || waitpid(child_, nullptr, WNOHANG) != child_) return;
    said_(fmt::format("{}: the run is over", who_));
    child_ = 0;
  }

  void turn_away() {
    const MonoNs now = tool::mono_now();
    std::erase_if(strangers_, [&](Stranger& one) {
      one.expire(now);
      if (one.refused()) said_(fmt::format("{}: refused: it did not prove the secret", one.who()));
      return one.refused();
    });
  }

  void welcome() {
    tool::SocketAddress from;
    from.bytes = sizeof from.address;
    tool::OwnedFd fd(accept4(listener_.get(), reinterpret_cast<sockaddr*>(&from.address),
                             &from.bytes, SOCK_CLOEXEC | SOCK_NONBLOCK));
    reap();
    if (!fd || child_ > 0) return;  // one run at a time: hang up on the other
    if (strangers_.size() >= strangers_max) {
      said_(fmt::format("{}: refused: it did not prove the secret, and others wait",
                        strangers_.front().who()));
      strangers_.erase(strangers_.begin());
    }
    strangers_.emplace_back(std::move(fd), tool::address_text(from));
  }

  Result<void> begin(Stranger& one) {
    who_ = one.who();
    std::fflush(nullptr);
    child_ = fork();
    if (child_ < 0) return errno_error(errno, "cannot fork a worker");
    if (child_ == 0) {
      listener_.reset();
      for (Stranger& other : strangers_) {
        if (&other != &one) close(other.fd());
      }
      serve_one(one.fd(), one.take_decoder(), worker_main_);
    }
    strangers_.clear();
    said_(fmt::format("{}: a run begins", who_));
    return {};
  }

  tool::OwnedFd listener_;
  const std::string& secret_;
  const WorkerMain& worker_main_;
  const std::function<void(const std::string&)>& said_;
  std::vector<Stranger> strangers_;  // the oldest first
  pid_t child_ = 0;
  std::string who_;  // whose run is on
};

}  // namespace

Result<void> serve_coordinators(const std::string& listen_text, const std::string& secret,
                                const WorkerMain& worker_main,
                                const std::function<bool()>& interrupted,
                                const std::function<void(const std::string&)>& said) {
  Result<tool::OwnedFd> listener = listen_on(listen_text);
  if (!listener.ok()) return listener.error();
  tool::SocketAddress own;
  own.bytes = sizeof own.address;
  getsockname(listener->get(), reinterpret_cast<sockaddr*>(&own.address), &own.bytes);
  said(fmt::format("listening on {}", tool::address_text(own)));
  Reception reception(std::move(*listener), secret, worker_main, said);
  while (!interrupted()) {
    if (Result<void> turned = reception.turn(); !turned.ok()) return turned;
  }
  return {};
}

}  // namespace ringgate::load
