#include "tools/common/sockets.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <netdb.h>

#include <cstring>
#include <memory>

namespace ringgate::tool {

Result<std::vector<SocketAddress>> resolve_addresses(const std::string& text,
                                                     const std::string& what) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == text.size()) {
    return Error{0, fmt::format("{} {}: expected HOST:PORT, such as 127.0.0.1:7808", what, text)};
  }
  std::string host = text.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), text.c_str() + colon + 1, &hints, &found);
  if (error != 0) return Error{0, fmt::format("{} {}: {}", what, text, gai_strerror(error))};
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned(found, &freeaddrinfo);
  std::vector<SocketAddress> out;
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    SocketAddress& one = out.emplace_back();
    std::memcpy(&one.address, at->ai_addr, at->ai_addrlen);
    one.bytes = at->ai_addrlen;
  }
  return out;
}

Result<SocketAddress> resolve_address(const std::string& text, const std::string& what) {
  const Result<std::vector<SocketAddress>> all = resolve_addresses(text, what);
  if (!all.ok()) return all.error();
  return all->front();
}

std::string address_text(const SocketAddress& address) {
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  if (getnameinfo(address.get(), address.bytes, host, sizeof host, port, sizeof port,
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "?";
  }
  return address.address.ss_family == AF_INET6 ? fmt::format("[{}]:{}", host, port)
                                               : fmt::format("{}:{}", host, port);
}

void set_blocking(int fd, bool blocking) {
  const int flags = fcntl(fd, F_GETFL);
  fcntl(fd, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
}

}  // namespace ringgate::tool
