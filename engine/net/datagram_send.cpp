// Datagrams: replies, each in a datagram of its own.
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine/net/datagrams.hpp"
#include "engine/net/links.hpp"

namespace ringgate::net {

namespace {

socklen_t unpack(const PeerAddress& peer, sockaddr_storage& out) {
  if (peer.family == AF_INET) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(peer.port);
    std::memcpy(&v4.sin_addr, peer.ip, 4);
    std::memcpy(&out, &v4, sizeof v4);
    return sizeof v4;
  }
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(peer.port);
  std::memcpy(&v6.sin6_addr, peer.ip, 16);
  std::memcpy(&out, &v6, sizeof v6);
  return sizeof v6;
}

// Names the address that the peer has spoken to. Returns the bytes of `control` used.
std::size_t put_own_address(const OwnAddress& own, std::uint8_t* control) {
  if (own.family == 0) return 0;
  const bool v4 = own.family == AF_INET;
  cmsghdr head{};
  head.cmsg_level = v4 ? IPPROTO_IP : IPPROTO_IPV6;
  head.cmsg_type = v4 ? IP_PKTINFO : IPV6_PKTINFO;
  head.cmsg_len = CMSG_LEN(v4 ? sizeof(in_pktinfo) : sizeof(in6_pktinfo));
  store_native(control, head);
  if (v4) {
    in_pktinfo info{};
    std::memcpy(&info.ipi_spec_dst, own.ip, 4);
    store_native(control + CMSG_LEN(0), info);
    return CMSG_SPACE(sizeof info);
  }
  in6_pktinfo info{};
  std::memcpy(&info.ipi6_addr, own.ip, 16);
  store_native(control + CMSG_LEN(0), info);
  return CMSG_SPACE(sizeof info);
}

DatagramUnsent reason_of(int error) {
  switch (error) {
    case ENOBUFS:
    case EAGAIN:
    case ENOMEM:
      return DatagramUnsent::no_buffers;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ECONNREFUSED:  // an earlier datagram met nobody
    case EPERM:
    case EACCES:
      return DatagramUnsent::unreachable;
    case EMSGSIZE:
      return DatagramUnsent::too_long;
    default:
      return DatagramUnsent::other;
  }
}

}  // namespace

void Datagrams::start_send(Link& link) {
  const Protocol& protocol = links_.protocol_of(link);
  while (link.out_released != link.out_sent) {
    const OutChunk* chunk = link.out_head;
    const Bytes ready{link.out_head->data() + chunk->begin, links_.sendable_bytes(link)};
    const std::size_t size = protocol.datagram_size(ready);
    RG_CHECK(size > 0 && size <= ready.size());
    const auto size_bytes = static_cast<std::uint32_t>(size);
    Place& place = places_[link.slot];
    const std::int64_t headers = std::max(place.replies_ahead + 1, 0) * header_bytes(link.peer);
    if (!link.trusted && place.replied_bytes + size + static_cast<std::uint64_t>(headers) >
                             link.received_bytes) {
      counters_.unsent.add(DatagramUnsent::stranger);
    } else if (free_sends_.empty() && sends_.size() == limits::datagram_sends_max) {
      link.send_busy = true;
      waiting_.push_back(link.id());
      return;
    } else {
      if (!link.trusted) {
        place.replied_bytes += size_bytes;
        ++place.replies_ahead;
      }
      submit(link, ready.first(size));
    }
    links_.take_sent(link, size_bytes);
  }
  if (__builtin_expect(link.pauses != 0, 0) &&
      link.out_end - link.out_sent <= limits::link_out_bytes_max / 2) {
    links_.resume(link, Pause::out_full);
  }
  if (link.state != LinkState::open) links_.progress(link);
}

// Copies: the link's chunk is free at once, and the link need not wait.
void Datagrams::submit(const Link& link, Bytes bytes) {
  if (free_sends_.empty()) {
    free_sends_.push_back(static_cast<std::uint32_t>(sends_.size()));
    sends_.push_back(std::make_unique_for_overwrite<Send>());
    links_.budget_.charge(sizeof(Send));
  }
  const std::uint32_t index = free_sends_.back();
  free_sends_.pop_back();
  Send& send = *sends_[index];
  std::memcpy(send.bytes, bytes.data(), bytes.size());
  send.part = {send.bytes, bytes.size()};
  send.message = {};
  send.message.msg_name = &send.to;
  send.message.msg_namelen = unpack(link.peer, send.to);
  send.message.msg_iov = &send.part;
  send.message.msg_iovlen = 1;
  send.message.msg_controllen = put_own_address(places_[link.slot].own, send.control);
  if (send.message.msg_controllen > 0) send.message.msg_control = send.control;
  io_uring_sqe* sqe = shard_.ring().next_sqe();
  io_uring_prep_sendmsg(sqe, sockets_[socket_of_[link.listener]]->fd, &send.message, MSG_NOSIGNAL);
  sqe->user_data = io::user_data(io::Tag::datagram_send, 0, index);
  ++operations_;
}

void Datagrams::on_sent(std::uint32_t index, std::int32_t result) {
  --operations_;
  free_sends_.push_back(index);
  if (result >= 0) {
    counters_.sent.add();
    links_.counters_.sent_bytes.add(static_cast<std::uint32_t>(result));
    return;
  }
  // Not sent again from here: the peer repeats what it has no answer to, and gets another.
  if (result != -ECANCELED) counters_.unsent.add(reason_of(-result));
}

}  // namespace ringgate::net
