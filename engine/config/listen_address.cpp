#include "engine/config/listen_address.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <charconv>
#include <cstring>

namespace ringgate::config {

namespace {

Error refuse(std::string_view text, std::string_view why) {
  std::string message = "\"";
  message.append(text).append("\" is no listen address: ").append(why);
  return {0, std::move(message)};
}

ListenAddress from_ipv4(const in_addr& ip, std::uint16_t port) {
  ListenAddress result;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr = ip;
  std::memcpy(&result.storage, &address, sizeof address);
  result.size = sizeof address;
  result.text = format_address(result.storage);
  return result;
}

ListenAddress from_ipv6(const in6_addr& ip, std::uint16_t port) {
  ListenAddress result;
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(port);
  address.sin6_addr = ip;
  std::memcpy(&result.storage, &address, sizeof address);
  result.size = sizeof address;
  result.text = format_address(result.storage);
  return result;
}

sockaddr_in as_ipv4(const sockaddr_storage& storage) {
  sockaddr_in address{};
  std::memcpy(&address, &storage, sizeof address);
  return address;
}

sockaddr_in6 as_ipv6(const sockaddr_storage& storage) {
  sockaddr_in6 address{};
  std::memcpy(&address, &storage, sizeof address);
  return address;
}

}  // namespace

std::uint16_t ListenAddress::port() const {
  return storage.ss_family == AF_INET ? ntohs(as_ipv4(storage).sin_port)
                                      : ntohs(as_ipv6(storage).sin6_port);
}

bool ListenAddress::loopback() const {
  if (storage.ss_family == AF_INET) return (ntohl(as_ipv4(storage).sin_addr.s_addr) >> 24) == 127;
  const in6_addr ip = as_ipv6(storage).sin6_addr;
  const std::uint8_t mapped_loopback[13] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127};
  return std::memcmp(&ip, &in6addr_loopback, sizeof ip) == 0 ||
         std::memcmp(&ip, mapped_loopback, sizeof mapped_loopback) == 0;
}

Result<ListenAddress> parse_listen_address(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    return refuse(text, "the port is missing; write IP:PORT, for example \"127.0.0.1:7808\"");
  }
  const std::string_view digits = text.substr(colon + 1);
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (!bracketed && host.find(':') != std::string_view::npos) {
    return refuse(text, "put an IPv6 address in brackets, for example \"[::1]:7808\"");
  }
  std::uint16_t port = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (parsed.ec != std::errc{} || parsed.ptr != digits.data() + digits.size()) {
    return refuse(text, "the port must be a number from 0 (the kernel chooses) to 65535");
  }
  if (host.empty()) {
    ListenAddress all = from_ipv6(in6addr_any, port);
    all.all_addresses = true;
    return all;
  }
  if (bracketed) host = host.substr(1, host.size() - 2);
  const std::string name(host);
  in_addr ipv4{};
  in6_addr ipv6{};
  if (bracketed && inet_pton(AF_INET6, name.c_str(), &ipv6) == 1) return from_ipv6(ipv6, port);
  if (!bracketed && inet_pton(AF_INET, name.c_str(), &ipv4) == 1) return from_ipv4(ipv4, port);
  return refuse(
      text,
      "the host must be an IP address of this machine, such as 127.0.0.1, 0.0.0.0 or [::1]; "
      "\":PORT\" means all addresses");
}

ListenAddress all_ipv4(std::uint16_t port) { return from_ipv4(in_addr{INADDR_ANY}, port); }

std::string format_address(const sockaddr_storage& storage) {
  char text[INET6_ADDRSTRLEN] = {};
  std::string out;
  if (storage.ss_family == AF_INET) {
    const sockaddr_in address = as_ipv4(storage);
    inet_ntop(AF_INET, &address.sin_addr, text, sizeof text);
    out.append(text).append(":").append(std::to_string(ntohs(address.sin_port)));
  } else if (storage.ss_family == AF_INET6) {
    const sockaddr_in6 address = as_ipv6(storage);
    inet_ntop(AF_INET6, &address.sin6_addr, text, sizeof text);
    out.append("[").append(text).append("]:").append(std::to_string(ntohs(address.sin6_port)));
  } else {
    out = "unknown";
  }
  return out;
}

Result<void> check_listen_address(std::string_view text) {
  auto parsed = parse_listen_address(text);
  if (!parsed) return parsed.error();
  return {};
}

}  // namespace ringgate::config
