// Addresses as people write them. Cold; any thread.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <string>
#include <vector>

#include "engine/base/result.hpp"

namespace ringgate::tool {

struct SocketAddress {
  sockaddr_storage address{};
  socklen_t bytes = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
};

// "HOST:PORT" or "[v6]:PORT"; all addresses of the name, the system's first choice first, never
// none. `what` is named in errors: "--target 127.0.0.1: expected HOST:PORT, ...".
Result<std::vector<SocketAddress>> resolve_addresses(const std::string& text,
                                                     const std::string& what);
// The first of them.
Result<SocketAddress> resolve_address(const std::string& text, const std::string& what);
// "127.0.0.1:7808".
std::string address_text(const SocketAddress& address);
void set_blocking(int fd, bool blocking);

}  // namespace ringgate::tool
