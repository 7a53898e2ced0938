// The session over UDP: where a datagram belongs, how replies leave, and which 0x0102 moves a
// terminal to another address.
#include <cstring>

#include "protocols/jt808/limits.hpp"
#include "protocols/jt808/session.hpp"

namespace ringgate::jt808 {

// The home of the first good frame's phone. What is no frame before it costs it nothing, as on TCP.
ShardIndex Session::datagram_home(Bytes datagram) {
  for (;;) {
    const NextFrame next = next_frame(datagram, {scratch_.get(), scratch_size});
    if (next.kind == NextFrame::Kind::need_more) return net::no_home;
    datagram = datagram.subspan(next.consumed);
    Header header;
    if (next.kind != NextFrame::Kind::frame ||
        parse_header(next.frame, header) != BadReason::none) {
      continue;
    }
    return home_shard(DeviceKey(Namespace::phone, header.phone.text()), links_.shard().count());
  }
}

void Session::on_datagram_rest(net::Link& link, Bytes rest) {
  if (jt808::is_partial_frame(rest)) bad(link, BadReason::garbage);
}

// Replies are frames, and terminals look for one in a datagram.
std::size_t Session::datagram_size(Bytes replies) const {
  const void* end = std::memchr(replies.data() + 1, delimiter, replies.size() - 1);
  if (end == nullptr) return replies.size();
  return static_cast<std::size_t>(static_cast<const std::uint8_t*>(end) - replies.data()) + 1;
}

// Networks repeat and delay datagrams: a copy of an 0x0102 that was heard before must not take its
// terminal back to an address that it has just left. It is dropped without an answer; a terminal
// that means it sends it again, and is heard when the time is over. One that has just registered
// from there has started anew, with the same serials and the same code: it is there.
bool Session::is_late_copy(net::Link& link, const device::Device& device) {
  if (!link.datagram || !device.link.valid() || device.link == link.id()) return false;
  if (link.session<State>().registered != TerminalState::Registered::unknown) return false;
  net::Link* current = links_.find(device.link);
  if (current == nullptr || !current->datagram) return false;
  return links_.shard().now() - current->session<State>().bound_ns < late_copy_ns;
}

}  // namespace ringgate::jt808
