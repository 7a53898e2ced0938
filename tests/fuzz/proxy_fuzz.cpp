// The PROXY header and lists of networks. A header that is complete is complete with whatever
// follows, and every shorter piece of it is the beginning of one.
#include "engine/net/networks.hpp"
#include "engine/net/proxy_header.hpp"

using namespace ringgate;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes bytes{data, size};
  const net::ProxyHeader header = net::parse_proxy_header(bytes);
  if (header.state == net::ProxyState::done) {
    if (header.size_bytes > size || header.size_bytes < 16) __builtin_trap();
    if (header.has_peer == (header.peer.family == 0)) __builtin_trap();
    for (std::uint32_t cut = 0; cut < header.size_bytes; ++cut) {
      const net::ProxyHeader part = net::parse_proxy_header(bytes.first(cut));
      if (part.state != net::ProxyState::more) __builtin_trap();
    }
  } else if (header.state == net::ProxyState::more && size >= 16 + 4096) {
    __builtin_trap();
  }
  const std::string_view text = as_text(bytes);
  const std::string one(text.substr(0, text.find('\n')));
  const auto parsed = net::Networks::parse({&one, 1});
  if (parsed.ok() != net::check_network(one).ok()) __builtin_trap();
  if (parsed.ok() && parsed->empty()) __builtin_trap();
  return 0;
}
