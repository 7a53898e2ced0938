#include "engine/net/proxied.hpp"

#include <algorithm>

#include "engine/net/links.hpp"
#include "engine/net/proxy_header.hpp"

namespace ringgate::net {

void Proxied::begin(Link& link, bool listed) { link.session<State>().listed = listed; }

std::size_t Proxied::on_bytes(Link& link, Bytes bytes) {
  if (!link.session<State>().listed) {
    const std::size_t seen = std::min(bytes.size(), proxy_signature.size());
    if (as_text(bytes.first(seen)) != proxy_signature.substr(0, seen)) {
      links_.pass_on(link);
      return 0;
    }
    if (seen < proxy_signature.size()) return 0;
    links_.refuse(link, Refusal::proxy_unlisted);
    return bytes.size();
  }
  const ProxyHeader header = parse_proxy_header(bytes);
  if (header.state == ProxyState::more) return 0;
  if (header.state == ProxyState::bad) {
    links_.refuse(link, Refusal::proxy_header);
    return bytes.size();
  }
  if (header.has_peer) {
    link.peer = header.peer;
    const Refusal refusal = links_.judge(link);
    if (refusal != Refusal::count) {
      links_.refuse(link, refusal);
      return bytes.size();
    }
  }
  links_.pass_on(link);
  return header.size_bytes;
}

void Proxied::on_close(Link& link, CloseReason reason) {
  if (reason == CloseReason::frame_timeout && link.session<State>().listed) {
    links_.count_refusal(Refusal::proxy_timeout);
  }
}

}  // namespace ringgate::net
