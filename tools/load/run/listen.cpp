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
#include <ctime>

#include "tools/common/clock.hpp"
#include "tools/common/owned_fd.hpp"
#include "tools/common/sockets.hpp"
#include "tools/load/run/worker_set.hpp"

namespace ringgate::load {
namespace {

constexpr MonoNs handshake_ns = 5 * ns_per_s;

bool send_all(int fd, const std::string& frame) {
  return ::send(fd, frame.data(), frame.size(), MSG_NOSIGNAL) ==
         static_cast<ssize_t>(frame.size());
}

// True: who is at the other end knows the secret. Waits at most five seconds.
bool shake_hands(int fd, const std::string& secret, wire::Decoder& decoder) {
  const timeval patience{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  const MonoNs until = tool::mono_now() + handshake_ns;
  wire::Hello hello = own_hello();
  hello.nonce = wire::make_nonce();
  if (!send_all(fd, wire::encode(hello))) return false;
  decoder.set_limit(wire::stranger_frame_bytes_max);
  char buffer[4096];
  while (tool::mono_now() < until) {
    Result<std::optional<wire::Message>> next = decoder.next();
    if (!next.ok()) return false;
    if (next->has_value()) {
      const auto* proof = std::get_if<wire::Proof>(&**next);
      if (proof == nullptr || !wire::same_proof(proof->proof, wire::prove(secret, "coordinator",
                                                                          hello.nonce))) {
        return false;
      }
      decoder.set_limit(wire::frame_bytes_max);
      const timeval forever{0, 0};
      setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof forever);
      setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &forever, sizeof forever);
      return send_all(fd, wire::encode(wire::Proof{wire::prove(secret, "worker", proof->nonce),
                                                   {}}));
    }
    const ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got == 0) return false;
    if (got > 0) decoder.feed({buffer, static_cast<std::size_t>(got)});
  }
  return false;
}

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

void serve_one(int fd, const std::string& secret, const WorkerMain& worker_main) {
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  use_all_files();
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  // A coordinator whose host vanished is noticed in seconds: nobody would end the load else.
  const int unacknowledged_ms = 5000;
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof unacknowledged_ms);
  wire::Decoder decoder;
  if (!shake_hands(fd, secret, decoder)) _exit(3);
  const int status = worker_main(fd, std::move(decoder));
  std::fflush(nullptr);
  _exit(status);
}

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
  pid_t child = 0;
  std::string who;
  while (!interrupted()) {
    int status = 0;
    if (child > 0 && waitpid(child, &status, WNOHANG) == child) {
      const bool refused = WIFEXITED(status) && WEXITSTATUS(status) == 3;
      said(refused ? fmt::format("{}: refused: it did not prove the secret", who)
                   : fmt::format("{}: the run is over", who));
      child = 0;
    }
    pollfd one{listener->get(), POLLIN, 0};
    if (poll(&one, 1, 200) <= 0) continue;
    tool::SocketAddress from;
    from.bytes = sizeof from.address;
    tool::OwnedFd fd(accept4(listener->get(), reinterpret_cast<sockaddr*>(&from.address),
                             &from.bytes, SOCK_CLOEXEC));
    if (!fd) continue;
    if (child > 0) continue;  // one run at a time: hang up on the other
    who = tool::address_text(from);
    std::fflush(nullptr);
    child = fork();
    if (child < 0) return errno_error(errno, "cannot fork a worker");
    if (child == 0) {
      listener->reset();
      serve_one(fd.get(), secret, worker_main);
    }
    said(fmt::format("{}: a run begins", who));
  }
  if (child > 0) {
    kill(child, SIGTERM);
    waitpid(child, nullptr, 0);
  }
  return {};
}

}  // namespace ringgate::load
