#include "engine/net/listener.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "engine/base/clock.hpp"
#include "engine/base/limits.hpp"

namespace ringgate::net {

namespace {

// One descriptor that closes itself unless released.
class Socket {
 public:
  Socket(io::Sys& sys, int fd) : sys_(sys), fd_(fd) {}
  ~Socket() {
    if (fd_ >= 0) sys_.close(fd_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int fd() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  io::Sys& sys_;
  int fd_;
};

int set_int(io::Sys& sys, int fd, int level, int name, int value) {
  return sys.set_option(fd, level, name, &value, sizeof value);
}

std::string cure_of(int error) {
  switch (error) {
    case EADDRINUSE: return " (another program listens there; choose another port, or port 0)";
    case EADDRNOTAVAIL: return " (no interface of this machine has that address)";
    case EACCES: return " (ports below 1024 need CAP_NET_BIND_SERVICE)";
    default: return "";
  }
}

Error listen_error(int code, const char* what, const config::ListenAddress& address) {
  Error error = errno_error(code, std::string(what) + " " + address.text);
  error.message += cure_of(code);
  return error;
}

int set_options(io::Sys& sys, int fd, const SocketOptions& options) {
  int error = set_int(sys, fd, IPPROTO_TCP, TCP_NODELAY, options.nodelay ? 1 : 0);
  if (options.keepalive_idle_s > 0) {
    const auto as_int = [](std::uint32_t value) { return static_cast<int>(value); };
    if (error >= 0) error = set_int(sys, fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    if (error >= 0) {
      error = set_int(sys, fd, IPPROTO_TCP, TCP_KEEPIDLE, as_int(options.keepalive_idle_s));
    }
    if (error >= 0 && options.keepalive_interval_s > 0) {
      error = set_int(sys, fd, IPPROTO_TCP, TCP_KEEPINTVL, as_int(options.keepalive_interval_s));
    }
    if (error >= 0 && options.keepalive_count > 0) {
      error = set_int(sys, fd, IPPROTO_TCP, TCP_KEEPCNT, as_int(options.keepalive_count));
    }
  }
  if (error >= 0 && options.stalled_ms > 0) {
    error = set_int(sys, fd, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(options.stalled_ms));
  }
  if (error >= 0 && options.receive_buffer_bytes > 0) {
    error = set_int(sys, fd, SOL_SOCKET, SO_RCVBUF, static_cast<int>(options.receive_buffer_bytes));
  }
  if (error >= 0 && options.send_buffer_bytes > 0) {
    error = set_int(sys, fd, SOL_SOCKET, SO_SNDBUF, static_cast<int>(options.send_buffer_bytes));
  }
  return error;
}

// SO_REUSEPORT would let a second gateway share the port unnoticed, each getting half of the
// terminals. A bind without it fails where anybody listens.
Result<void> check_unused(io::Sys& sys, const config::ListenAddress& address, int type) {
  if (address.port() == 0) return {};
  Socket probe(sys, sys.socket(address.storage.ss_family, type, 0));
  if (probe.fd() < 0) return {};  // the real one tells
  // Of datagrams the option would mean that sharing is fine.
  if (type == SOCK_STREAM) {
    static_cast<void>(set_int(sys, probe.fd(), SOL_SOCKET, SO_REUSEADDR, 1));
  }
  if (address.all_addresses) {
    static_cast<void>(set_int(sys, probe.fd(), IPPROTO_IPV6, IPV6_V6ONLY, 0));
  }
  const int error = sys.bind(probe.fd(), address.address(), address.size);
  if (error == -EADDRINUSE) return listen_error(EADDRINUSE, "cannot listen on", address);
  return {};
}

Result<int> open_one(io::Sys& sys, const config::ListenAddress& address,
                     const SocketOptions& options) {
  Socket socket(sys, sys.socket(address.storage.ss_family, SOCK_STREAM, 0));
  if (socket.fd() < 0) return listen_error(-socket.fd(), "cannot open a socket for", address);
  int error = set_int(sys, socket.fd(), SOL_SOCKET, SO_REUSEADDR, 1);
  if (error >= 0) error = set_int(sys, socket.fd(), SOL_SOCKET, SO_REUSEPORT, 1);
  if (error >= 0 && address.storage.ss_family == AF_INET6) {
    error = set_int(sys, socket.fd(), IPPROTO_IPV6, IPV6_V6ONLY, address.all_addresses ? 0 : 1);
  }
  if (error >= 0) error = set_options(sys, socket.fd(), options);
  if (error < 0) return listen_error(-error, "cannot set socket options for", address);
  error = sys.bind(socket.fd(), address.address(), address.size);
  if (error >= 0) error = sys.listen(socket.fd(), options.backlog);
  if (error < 0) return listen_error(-error, "cannot listen on", address);
  return socket.release();
}

bool is_any(const config::ListenAddress& address) {
  if (address.storage.ss_family == AF_INET) {
    return reinterpret_cast<const sockaddr_in&>(address.storage).sin_addr.s_addr == INADDR_ANY;
  }
  const in6_addr& ip = reinterpret_cast<const sockaddr_in6&>(address.storage).sin6_addr;
  return std::memcmp(&ip, &in6addr_any, sizeof ip) == 0;
}

Result<int> open_datagrams(io::Sys& sys, const config::ListenAddress& address,
                           const SocketOptions& options) {
  Socket socket(sys, sys.socket(address.storage.ss_family, SOCK_DGRAM, 0));
  if (socket.fd() < 0) return listen_error(-socket.fd(), "cannot open a UDP socket for", address);
  int error = set_int(sys, socket.fd(), SOL_SOCKET, SO_REUSEPORT, 1);
  if (error >= 0 && address.storage.ss_family == AF_INET6) {
    error = set_int(sys, socket.fd(), IPPROTO_IPV6, IPV6_V6ONLY, address.all_addresses ? 0 : 1);
  }
  // A machine with several addresses answers from the one that was asked.
  if (error >= 0 && is_any(address)) {
    const bool v6 = address.storage.ss_family == AF_INET6;
    error = set_int(sys, socket.fd(), v6 ? IPPROTO_IPV6 : IPPROTO_IP,
                    v6 ? IPV6_RECVPKTINFO : IP_PKTINFO, 1);
  }
  const int receive = std::max(static_cast<int>(options.receive_buffer_bytes),
                               limits::datagram_socket_bytes);
  if (error >= 0) error = set_int(sys, socket.fd(), SOL_SOCKET, SO_RCVBUF, receive);
  if (error >= 0 && options.send_buffer_bytes > 0) {
    error = set_int(sys, socket.fd(), SOL_SOCKET, SO_SNDBUF,
                    static_cast<int>(options.send_buffer_bytes));
  }
  if (error < 0) return listen_error(-error, "cannot set UDP socket options for", address);
  error = sys.bind(socket.fd(), address.address(), address.size);
  if (error < 0) return listen_error(-error, "cannot take UDP on", address);
  return socket.release();
}

void close_all(io::Sys& sys, OpenListener& open) {
  for (const int fd : open.fds) sys.close(fd);
  for (const int fd : open.datagram_fds) sys.close(fd);
}

void set_port(config::ListenAddress& address, std::uint16_t port) {
  if (address.storage.ss_family == AF_INET) {
    reinterpret_cast<sockaddr_in&>(address.storage).sin_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in6&>(address.storage).sin6_port = htons(port);
  }
}

Result<OpenListener> open_all(io::Sys& sys, config::ListenAddress address,
                              const SocketOptions& options, unsigned shards) {
  if (auto unused = check_unused(sys, address, SOCK_STREAM); !unused) return unused.error();
  OpenListener out;
  for (unsigned shard = 0; shard < shards; ++shard) {
    auto fd = open_one(sys, address, options);
    if (!fd) {
      close_all(sys, out);
      return fd.error();
    }
    out.fds.push_back(*fd);
    if (shard > 0) continue;
    sockaddr_storage bound{};
    const int error = sys.local_address(*fd, bound);
    RG_CHECK(error >= 0);
    config::ListenAddress named;
    named.storage = bound;
    out.address = config::format_address(bound);
    set_port(address, named.port());
  }
  if (!options.datagrams) return out;
  std::optional<Error> error;
  if (auto unused = check_unused(sys, address, SOCK_DGRAM); !unused) {
    address.text = out.address;
    error = unused.error();
  }
  for (unsigned shard = 0; shard < shards && !error; ++shard) {
    auto fd = open_datagrams(sys, address, options);
    if (fd) {
      out.datagram_fds.push_back(*fd);
    } else {
      error = fd.error();
    }
  }
  if (!error) return out;
  close_all(sys, out);
  return *error;
}

// The port that TCP is given may be in use for UDP.
constexpr int free_port_tries = 32;

Result<OpenListener> open_any(io::Sys& sys, const config::ListenAddress& address,
                              const SocketOptions& options, unsigned shards) {
  const int tries = address.port() == 0 && options.datagrams ? free_port_tries : 1;
  for (int i = 1;; ++i) {
    auto opened = open_all(sys, address, options, shards);
    if (opened || opened.error().code != EADDRINUSE || i == tries) return opened;
  }
}

}  // namespace

Result<OpenListener> open_listener(io::Sys& sys, const config::ListenAddress& address,
                                   const SocketOptions& options, unsigned shards) {
  auto opened = open_any(sys, address, options, shards);
  if (!opened && address.all_addresses && opened.error().code == EAFNOSUPPORT) {
    return open_any(sys, config::all_ipv4(address.port()), options, shards);
  }
  return opened;
}

SocketOptions socket_options(const config::Settings& settings, const std::string& section) {
  const auto seconds = [&](const char* leaf) {
    return static_cast<std::uint32_t>(settings.duration_ns(section + leaf) / ns_per_s);
  };
  const auto bytes = [&](const char* leaf) {
    return static_cast<std::uint32_t>(settings.size_bytes(section + leaf));
  };
  SocketOptions options;
  options.nodelay = settings.boolean(section + ".nodelay");
  options.keepalive_idle_s = seconds(".keepalive_idle");
  options.keepalive_interval_s = seconds(".keepalive_interval");
  options.keepalive_count =
      static_cast<std::uint32_t>(settings.integer(section + ".keepalive_count"));
  options.receive_buffer_bytes = bytes(".receive_buffer");
  options.send_buffer_bytes = bytes(".send_buffer");
  options.backlog = static_cast<int>(settings.integer(section + ".backlog"));
  return options;
}

}  // namespace ringgate::net
