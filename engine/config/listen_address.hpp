// Where a listener binds. Pure, any thread, cold paths; never asks a name server.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/result.hpp"

namespace ringgate::config {

struct ListenAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  std::string text;  // "127.0.0.1:7808", "[::1]:7808"
  // Written as ":7808": every address, IPv6 and IPv4. `storage` is then [::] and wants IPV6_V6ONLY
  // off; where the kernel has no IPv6, bind all_ipv4(port()) instead.
  bool all_addresses = false;

  const sockaddr* address() const { return reinterpret_cast<const sockaddr*>(&storage); }
  std::uint16_t port() const;  // 0: the kernel chooses
  bool loopback() const;       // 127.0.0.0/8 and ::1: only this machine reaches it
};

// "127.0.0.1:7808", "[::1]:7808", "0.0.0.0:0", ":7808". The error repeats the text and shows how to
// write it.
Result<ListenAddress> parse_listen_address(std::string_view text);

ListenAddress all_ipv4(std::uint16_t port);

// "127.0.0.1:7808" or "[::1]:7808" of a bound or accepted address; "unknown" for other families.
std::string format_address(const sockaddr_storage& storage);

// For KeySpec::check.
Result<void> check_listen_address(std::string_view text);

}  // namespace ringgate::config
