#include "tools/chaos/tcp_relay.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "tools/chaos/limits.hpp"

namespace ringgate::chaos {

namespace {

constexpr int backlog = 4096;
// A backlog of 0 holds one connection; some more for kernels that round up.
constexpr int fillers_max = 16;

std::string cure_of(int error) {
  switch (error) {
    case EADDRINUSE: return " (another program or proxy listens there; or take port 0)";
    case EADDRNOTAVAIL: return " (no interface of this machine has that address)";
    case EACCES: return " (ports below 1024 need CAP_NET_BIND_SERVICE)";
    default: return "";
  }
}

Error listen_error(int code, const std::string& address) {
  Error error = errno_error(code, fmt::format("cannot listen on {}", address));
  error.message += cure_of(code);
  return error;
}

// With a port of its own, not one that the kernel gives: only that stays bound while the socket
// does not listen.
Result<int> bound(io::Sys& sys, const config::ListenAddress& address) {
  const int fd = sys.socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return listen_error(-fd, address.text);
  const int on = 1;
  const int v6_only = address.all_addresses ? 0 : 1;
  int error = sys.set_option(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (error >= 0 && address.storage.ss_family == AF_INET6) {
    error = sys.set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only);
  }
  if (error >= 0) error = sys.bind(fd, address.address(), address.size);
  if (error >= 0) return fd;
  sys.close(fd);
  return listen_error(-error, address.text);
}

std::uint16_t port_of(const sockaddr_storage& address) {
  config::ListenAddress named;
  named.storage = address;
  return named.port();
}

}  // namespace

Result<std::unique_ptr<TcpRelay>> TcpRelay::open(Desk& desk, ProxyState& state,
                                                 const config::ListenAddress& address) {
  io::Sys& sys = desk.sys();
  config::ListenAddress chosen = address;
  for (int tries = 0;; ++tries) {
    if (address.port() == 0) {
      const auto probe = bound(sys, address);
      if (!probe) return probe.error();
      const int error = sys.local_address(*probe, chosen.storage);
      sys.close(*probe);
      if (error < 0) return listen_error(-error, address.text);
    }
    auto fd = bound(sys, chosen);
    int error = fd ? sys.listen(*fd, backlog) : -fd.error().code;
    if (error == -EADDRINUSE && address.port() == 0 && tries < 16) {
      if (fd) sys.close(*fd);
      continue;  // somebody else was given the same port meanwhile
    }
    if (!fd) return fd.error();
    if (error < 0) {
      sys.close(*fd);
      return listen_error(-error, address.text);
    }
    std::unique_ptr<TcpRelay> relay(new TcpRelay(desk, state, *fd));
    sockaddr_storage own{};
    sys.local_address(*fd, own);
    relay->address_ = config::format_address(own);
    return relay;
  }
}

TcpRelay::TcpRelay(Desk& desk, ProxyState& state, int fd)
    : Operand(desk), state_(state), fd_(fd) {
  ++desk.listening();
}

TcpRelay::~TcpRelay() {
  drop_fillers();
  desk().sys().close(fd_);
  --desk().listening();
}

void TcpRelay::begin() { settle(); }

void TcpRelay::adopt() {
  // A connection that ends meanwhile leaves the list: its place is taken by the last.
  for (std::size_t i = connections_.size(); i > 0; --i) {
    if (i <= connections_.size()) connections_[i - 1]->adopt(state_.rules);
  }
  settle();
}

void TcpRelay::close() {
  closing_ = true;
  while (!connections_.empty()) connections_.back()->abandon();
  drop_fillers();
  // Others may listen there at once, though the socket lives until its operation is back.
  ::shutdown(fd_, SHUT_RDWR);
  if (armed_) desk().cancel_all(fd_, *this, cancelling);
}

// ---- Accepting

void TcpRelay::accept() {
  io_uring_sqe* const sqe = desk().next_sqe();
  if (desk().shard().ring().has(io::Feature::multishot_accept)) {
    io_uring_prep_multishot_accept(sqe, fd_, nullptr, nullptr, SOCK_CLOEXEC);
  } else {
    io_uring_prep_accept(sqe, fd_, nullptr, nullptr, SOCK_CLOEXEC);
  }
  desk().submit(sqe, *this, accepting);
  armed_ = true;
  cancelled_ = false;
}

void TcpRelay::on_done(std::uint8_t op, std::int32_t result, std::uint32_t flags) {
  if (op == cancelling) return;
  if ((flags & IORING_CQE_F_MORE) == 0) armed_ = false;
  if (result >= 0) {
    take(result);
  } else if (result == -EMFILE || result == -ENFILE || result == -ENOBUFS || result == -ENOMEM) {
    rest_until_ns_ = now() + limits::accept_pause_ns;
  }
  settle();
}

void TcpRelay::on_due() { settle(); }

bool TcpRelay::is_filler(int fd) {
  if (filler_ports_.empty()) return false;
  sockaddr_storage peer{};
  if (desk().sys().peer_address(fd, peer) < 0) return false;
  const auto found = std::ranges::find(filler_ports_, port_of(peer));
  if (found == filler_ports_.end()) return false;
  filler_ports_.erase(found);
  return true;
}

void TcpRelay::take(int fd) {
  if (closing_ || is_filler(fd)) {
    desk().sys().close(fd);
    return;
  }
  if (connections_.size() >= state_.connections_max) {
    const linger now_gone{.l_onoff = 1, .l_linger = 0};
    desk().sys().set_option(fd, SOL_SOCKET, SO_LINGER, &now_gone, sizeof now_gone);
    desk().sys().close(fd);
    ++state_.refused;
    return;
  }
  auto connection = std::make_unique<TcpConnection>(desk(), *this, fd, state_.rules,
                                                    state_.connections_total++,
                                                    state_.buffer_bytes, state_.traffic);
  TcpConnection& taken = *connection;
  taken.place = connections_.size();
  connections_.push_back(std::move(connection));
  taken.begin();
}

void TcpRelay::on_over(TcpConnection& connection) {
  const std::size_t place = connection.place;
  if (connection.was_refused()) ++state_.refused;
  std::swap(connections_[place], connections_.back());
  connections_[place]->place = place;
  std::unique_ptr<TcpConnection> over = std::move(connections_.back());
  connections_.pop_back();
  desk().bury(std::move(over));
}

void TcpRelay::on_target_failed(int) { ++state_.target_failed; }

// ---- Refusing, and giving no answer

TcpRelay::Mode TcpRelay::wanted() const {
  Mode mode = Mode::open;
  for (const auto& rule : state_.rules) {
    if (!rule->acts(now())) continue;
    const Rule& said = rule->rule;
    if (said.kind == Kind::refuse && said.probability >= 1) return Mode::refusing;
    if (said.kind == Kind::blackhole && said.mode == BlackholeMode::connect) mode = Mode::silent;
  }
  return mode;
}

void TcpRelay::settle() {
  if (closing_) return;
  for (const auto& rule : state_.rules) {
    const Kind kind = rule->rule.kind;
    if (kind == Kind::refuse || kind == Kind::blackhole) wake(rule->next_change(now()));
  }
  const Mode mode = wanted();
  if (mode != mode_) {
    if (armed_) {  // what waits in an accept would take the connects that are to wait
      if (!cancelled_) desk().cancel_all(fd_, *this, cancelling);
      cancelled_ = true;
      return;
    }
    if (mode_ != Mode::open && mode != Mode::open) change(Mode::open);
    change(mode);
  }
  if (mode_ != Mode::open || armed_) return;
  if (now() < rest_until_ns_) return wake(rest_until_ns_);
  accept();
}

void TcpRelay::change(Mode mode) {
  for (const auto& rule : state_.rules) {
    const Rule& said = rule->rule;
    const bool does = mode == Mode::refusing ? said.kind == Kind::refuse
                                             : mode == Mode::silent && said.kind == Kind::blackhole;
    if (does && rule->acts(now())) ++rule->counters.hits;
  }
  mode_ = mode;
  switch (mode) {
    case Mode::open:
      empty_backlog();
      drop_fillers();
      desk().sys().listen(fd_, backlog);
      break;
    case Mode::refusing: ::shutdown(fd_, SHUT_RDWR); break;
    case Mode::silent: fill_backlog(); break;
  }
}

// Where the backlog is full the kernel drops a SYN, as if nobody were there.
void TcpRelay::fill_backlog() {
  io::Sys& sys = desk().sys();
  sys.listen(fd_, 0);
  sockaddr_storage own{};
  sys.local_address(fd_, own);
  if (own.ss_family == AF_INET) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(own);
    if (v4.sin_addr.s_addr == INADDR_ANY) v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  } else if (own.ss_family == AF_INET6) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(own);
    if (IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr)) v6.sin6_addr = in6addr_loopback;
  }
  const socklen_t size = own.ss_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  for (int i = 0; i < fillers_max; ++i) {
    const int fd = sys.socket(own.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return;
    fillers_.push_back(fd);
    // Over loopback the handshake is done when connect returns, or the backlog is full.
    static_cast<void>(::connect(fd, reinterpret_cast<const sockaddr*>(&own), size));
    tcp_info info{};
    socklen_t info_size = sizeof info;
    sys.get_option(fd, IPPROTO_TCP, TCP_INFO, &info, &info_size);
    const bool established = info.tcpi_state == TCP_ESTABLISHED;
    sockaddr_storage local{};
    if (sys.local_address(fd, local) >= 0) filler_ports_.push_back(port_of(local));
    if (!established) return;
  }
}

// What stands in it: our own, which are told by their ports while they stand, and whoever came just
// before it was full.
void TcpRelay::empty_backlog() {
  pollfd waiting{.fd = fd_, .events = POLLIN};
  while (!fillers_.empty() && ::poll(&waiting, 1, 0) == 1 && (waiting.revents & POLLIN) != 0) {
    const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    take(fd);
  }
}

void TcpRelay::drop_fillers() {
  for (const int fd : fillers_) {
    const linger now_gone{.l_onoff = 1, .l_linger = 0};
    desk().sys().set_option(fd, SOL_SOCKET, SO_LINGER, &now_gone, sizeof now_gone);
    desk().sys().close(fd);
  }
  fillers_.clear();
  filler_ports_.clear();
}

}  // namespace ringgate::chaos
