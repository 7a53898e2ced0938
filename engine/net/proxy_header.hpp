// The header of the PROXY protocol, version 2 (haproxy's proxy-protocol.txt, 2.2): who a link
// really comes from, as the proxy before us says. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/base/bytes.hpp"
#include "engine/net/link.hpp"

namespace ringgate::net {

// What every header begins with.
inline constexpr std::string_view proxy_signature{"\r\n\r\n\0\r\nQUIT\n", 12};

enum class ProxyState : std::uint8_t {
  more,  // the bytes are the beginning of a header
  done,
  bad,  // they are not, or it says what can't be
};

struct ProxyHeader {
  ProxyState state = ProxyState::more;
  std::uint32_t size_bytes = 0;  // done: what follows belongs to the link
  // From the peer it names. False: the proxy speaks for itself (LOCAL), or does not know for whom
  // (UNSPEC); the socket's address is the peer's then.
  bool has_peer = false;
  PeerAddress peer;
};

// At most limits::proxy_header_bytes_max. A checksum that is there must be right.
ProxyHeader parse_proxy_header(Bytes bytes);

}  // namespace ringgate::net
