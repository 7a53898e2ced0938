#include "engine/net/proxy_header.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "engine/base/crc32c.hpp"
#include "engine/base/limits.hpp"

namespace ringgate::net {

namespace {

constexpr std::size_t fixed_bytes = 16;  // signature, version and command, family, length
constexpr std::uint8_t tlv_crc32c = 0x03;
constexpr std::uint8_t family_tcp4 = 0x11;
constexpr std::uint8_t family_tcp6 = 0x21;

std::uint16_t big16(Bytes bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

// Type, length, value, to the header's end. The checksum is over the whole header with zeros where
// it stands itself.
bool tlvs_hold(Bytes header, std::size_t at) {
  while (at < header.size()) {
    if (header.size() - at < 3) return false;
    const std::uint8_t type = header[at];
    const std::size_t length = big16(header, at + 1);
    at += 3;
    if (length > header.size() - at) return false;
    if (type == tlv_crc32c) {
      if (length != 4) return false;
      constexpr std::uint8_t zeros[4] = {};
      std::uint32_t crc = crc32c(0, header.subspan(0, at));
      crc = crc32c(crc, zeros);
      crc = crc32c(crc, header.subspan(at + 4));
      const std::uint32_t said = static_cast<std::uint32_t>(big16(header, at)) << 16 |
                                 big16(header, at + 2);
      if (crc != said) return false;
    }
    at += length;
  }
  return true;
}

}  // namespace

ProxyHeader parse_proxy_header(Bytes bytes) {
  ProxyHeader out;
  const std::size_t seen = std::min(bytes.size(), proxy_signature.size());
  const auto bad = [] { return ProxyHeader{.state = ProxyState::bad, .peer = {}}; };
  if (as_text(bytes.first(seen)) != proxy_signature.substr(0, seen)) return bad();
  // Each byte is judged when it is there: who is no proxy is not waited for.
  if (bytes.size() > 12 && (bytes[12] >> 4 != 2 || (bytes[12] & 0x0f) > 1)) return bad();
  if (bytes.size() < fixed_bytes) return out;
  const std::size_t length = big16(bytes, 14);
  if (fixed_bytes + length > limits::proxy_header_bytes_max) return bad();
  const bool local = (bytes[12] & 0x0f) == 0;
  const std::uint8_t family = bytes[13];
  const bool v4 = family == family_tcp4;
  const bool named = !local && family != 0;
  if (named && !v4 && family != family_tcp6) return bad();  // datagrams, paths of Unix sockets
  const std::size_t addresses = !named ? 0 : v4 ? 12 : 36;
  if (length < addresses) return bad();
  if (bytes.size() < fixed_bytes + length) return out;
  const Bytes header = bytes.first(fixed_bytes + length);
  // LOCAL: whatever follows is skipped; so are the addresses of an unknown family, whose end nobody
  // knows.
  if (named && !tlvs_hold(header, fixed_bytes + addresses)) return bad();
  out.state = ProxyState::done;
  out.size_bytes = static_cast<std::uint32_t>(header.size());
  out.has_peer = named;
  if (!named) return out;
  const std::size_t ip_bytes = v4 ? 4 : 16;
  out.peer.family = v4 ? AF_INET : AF_INET6;
  std::memcpy(out.peer.ip, header.data() + fixed_bytes, ip_bytes);
  out.peer.port = big16(header, fixed_bytes + 2 * ip_bytes);
  return out;
}

}  // namespace ringgate::net
