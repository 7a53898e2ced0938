// Datagrams: receiving, and links by address.
#include "engine/net/datagrams.hpp"

#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine/io/abi.hpp"
#include "engine/net/links.hpp"

namespace ringgate::net {

namespace {

constexpr std::uint32_t name_bytes = sizeof(sockaddr_in6);
constexpr std::uint32_t control_bytes = CMSG_SPACE(sizeof(in6_pktinfo));  // the longer one
constexpr std::uint32_t before_payload =
    sizeof(io_uring_recvmsg_out) + name_bytes + control_bytes;
constexpr std::uint32_t payload_max = limits::datagram_buffer_bytes - before_payload;
static_assert(before_payload == 84);
constexpr std::uint16_t buffer_group = 1;  // 0 is that of streams

struct DatagramMail {
  DatagramPath path;
  std::uint16_t listener = 0;
  std::uint16_t is_rest = 0;
};
static_assert(sizeof(DatagramMail) == 42 && std::is_trivially_copyable_v<DatagramMail>);
static_assert(sizeof(DatagramMail) + payload_max <= limits::mail_bytes_max);

PeerAddress packed(const sockaddr_storage& address) {
  PeerAddress peer;
  peer.family = static_cast<std::uint8_t>(address.ss_family);
  if (address.ss_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, &address, sizeof v4);
    std::memcpy(peer.ip, &v4.sin_addr, 4);
    peer.port = ntohs(v4.sin_port);
  } else if (address.ss_family == AF_INET6) {
    sockaddr_in6 v6;
    std::memcpy(&v6, &address, sizeof v6);
    std::memcpy(peer.ip, &v6.sin6_addr, 16);
    peer.port = ntohs(v6.sin6_port);
  }
  return peer;
}

// From the control messages that a listener of all addresses asks for: IP_PKTINFO, IPV6_PKTINFO.
OwnAddress own_address(Bytes control) {
  OwnAddress own;
  if (control.size() < sizeof(cmsghdr)) return own;
  const auto head = load_native<cmsghdr>(control.data());
  const std::uint8_t* const data = control.data() + CMSG_LEN(0);
  const auto has = [&](std::size_t size) { return control.size() >= CMSG_LEN(size); };
  if (head.cmsg_level == IPPROTO_IP && head.cmsg_type == IP_PKTINFO && has(sizeof(in_pktinfo))) {
    own.family = AF_INET;
    const auto info = load_native<in_pktinfo>(data);
    std::memcpy(own.ip, &info.ipi_spec_dst, 4);
  } else if (head.cmsg_level == IPPROTO_IPV6 && head.cmsg_type == IPV6_PKTINFO &&
             has(sizeof(in6_pktinfo))) {
    own.family = AF_INET6;
    const auto info = load_native<in6_pktinfo>(data);
    std::memcpy(own.ip, &info.ipi6_addr, 16);
  }
  return own;
}

}  // namespace

Result<std::unique_ptr<Datagrams>> Datagrams::create(Links& links, shard::Shard& shard,
                                                     shard::MailRoom& mail,
                                                     observe::CounterGroup& counters) {
  auto buffers = io::BufferRing::open(shard.ring(), buffer_group, limits::datagram_buffer_count,
                                      limits::datagram_buffer_bytes);
  if (!buffers) return buffers.error();
  std::array<std::uint64_t, 2> secret{};
  shard.sys().random_bytes({reinterpret_cast<std::uint8_t*>(secret.data()), sizeof secret});
  return std::unique_ptr<Datagrams>(
      new Datagrams(links, shard, mail, counters, std::move(*buffers), AddressHash(secret)));
}

Datagrams::Datagrams(Links& links, shard::Shard& shard, shard::MailRoom& mail,
                     observe::CounterGroup& counters, std::unique_ptr<io::BufferRing> buffers,
                     const AddressHash& hash)
    : links_(links), shard_(shard), mail_(mail), counters_(counters),
      buffers_(std::move(buffers)), hash_(hash), limits_(hash), buckets_(1024, none),
      rest_timer_(*this) {
  for (const io::Tag tag :
       {io::Tag::datagram_recv, io::Tag::datagram_cancel, io::Tag::datagram_send}) {
    shard_.handle(tag, *this);
  }
  shard_.add_hook(*this);
  mail_.handle(shard::MailKind::datagram, *this);
}

Datagrams::~Datagrams() {
  shard_.cancel(rest_timer_);
  for (const auto& socket : sockets_) shard_.sys().close(socket->fd);
}

void Datagrams::add_socket(std::uint32_t listener, int fd) {
  auto socket = std::make_unique<Socket>();
  socket->fd = fd;
  socket->listener = listener;
  if (!shard_.ring().has(io::Feature::multishot_recvmsg)) {
    socket->buffer = std::make_unique<std::uint8_t[]>(payload_max);
  }
  socket_of_.resize(listener + 1, none);
  socket_of_[listener] = static_cast<std::uint32_t>(sockets_.size());
  sockets_.push_back(std::move(socket));
}

// ---- Receiving

void Datagrams::arm(std::uint32_t index) {
  Socket& socket = *sockets_[index];
  io_uring_sqe* sqe = shard_.ring().next_sqe();
  socket.message = {};
  if (socket.buffer == nullptr) {
    socket.message.msg_namelen = name_bytes;
    socket.message.msg_controllen = control_bytes;
    io_uring_prep_recvmsg_multishot(sqe, socket.fd, &socket.message, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = buffers_->group();
  } else {
    socket.part = {socket.buffer.get(), payload_max};
    socket.message.msg_name = &socket.from;
    socket.message.msg_namelen = sizeof socket.from;
    socket.message.msg_iov = &socket.part;
    socket.message.msg_iovlen = 1;
    socket.message.msg_control = socket.control;
    socket.message.msg_controllen = sizeof socket.control;
    io_uring_prep_recvmsg(sqe, socket.fd, &socket.message, 0);
  }
  sqe->user_data = io::user_data(io::Tag::datagram_recv, 0, index);
  socket.armed = true;
  ++operations_;
}

void Datagrams::cancel(std::uint32_t index, bool sends_too) {
  const Socket& socket = *sockets_[index];
  if (!socket.armed && !sends_too) return;
  io_uring_sqe* sqe = shard_.ring().next_sqe();
  if (sends_too) {
    io_uring_prep_cancel_fd(sqe, socket.fd, IORING_ASYNC_CANCEL_ALL);
  } else {
    io_uring_prep_cancel64(sqe, io::user_data(io::Tag::datagram_recv, 0, index), 0);
  }
  sqe->user_data = io::user_data(io::Tag::datagram_cancel, 0, index);
  ++operations_;
}

void Datagrams::on_completion(std::uint64_t user_data, std::int32_t result, std::uint32_t flags) {
  const std::uint32_t index = io::slot_of(user_data);
  switch (io::tag_of(user_data)) {
    case io::Tag::datagram_recv: return on_receive(index, result, flags);
    case io::Tag::datagram_send: return on_sent(index, result);
    default: --operations_;  // a cancel; what it cancelled says so itself
  }
}

void Datagrams::on_receive(std::uint32_t index, std::int32_t result, std::uint32_t flags) {
  Socket& socket = *sockets_[index];
  if ((flags & IORING_CQE_F_MORE) == 0) {
    socket.armed = false;
    --operations_;
  }
  if (result >= 0) {
    const auto size_bytes = static_cast<std::uint32_t>(result);
    if (socket.buffer == nullptr) {
      RG_CHECK((flags & IORING_CQE_F_BUFFER) != 0);
      take_buffer(socket, size_bytes, static_cast<std::uint16_t>(flags >>
                                                                 io::abi::cqe_buffer_shift));
    } else {
      const Bytes control{socket.control, socket.message.msg_controllen};
      take(socket.listener, {packed(socket.from), own_address(control)},
           {socket.buffer.get(), size_bytes}, (socket.message.msg_flags & MSG_TRUNC) != 0);
    }
    return;
  }
  switch (result) {
    case -ECANCELED:  // drain or stop
    case -EINTR:
    case -EAGAIN:
      return;
    case -ENOBUFS:  // all buffers were with us; the socket keeps what came
      links_.counters_.buffer_shortages.add();
      return;
    default:
      // ENOMEM, or what a firewall reports: not ours to mend, and not to be met in a circle.
      counters_.receive_errors.add();
      resting_ = true;
      shard_.arm(rest_timer_, limits::accept_pause_ms * ns_per_ms);
  }
}

void Datagrams::take_buffer(const Socket& socket, std::uint32_t size_bytes, std::uint16_t bid) {
  RG_CHECK(size_bytes >= before_payload);
  const std::uint8_t* data = buffers_->data(bid);
  const auto head = load_native<io_uring_recvmsg_out>(data);
  sockaddr_storage from{};
  std::memcpy(&from, data + sizeof head, std::min<std::size_t>(head.namelen, name_bytes));
  const Bytes control{data + sizeof head + name_bytes,
                      std::min<std::size_t>(head.controllen, control_bytes)};
  buffers_->consume(bid, size_bytes, [](std::uint16_t, Bytes) {});
  take(socket.listener, {packed(from), own_address(control)},
       {data + before_payload, size_bytes - before_payload},
       (head.flags & MSG_TRUNC) != 0);
  buffers_->give_back(bid);
}

void Datagrams::take(std::uint32_t listener, const DatagramPath& path, Bytes bytes,
                     bool truncated) {
  counters_.received.add();
  links_.counters_.received_bytes.add(bytes.size());
  if (truncated) return drop(DatagramDrop::truncated);
  if (bytes.empty()) return drop(DatagramDrop::empty);
  if (links_.draining_) return drop(DatagramDrop::draining);
  const AccessRules* rules = links_.listeners_[listener].options.rules.get();
  if (rules != nullptr && rules->judge(path.from) != Refusal::count) {
    return drop(DatagramDrop::refused);
  }
  const std::uint8_t protocol = links_.listeners_[listener].options.protocol;
  const ShardIndex home = links_.protocols_[protocol]->datagram_home(bytes);
  if (home == no_home || home == shard_.index()) {
    return handle(listener, path, bytes, home != no_home, Piece::whole);
  }
  post(home, listener, path, bytes, Piece::whole);
}

void Datagrams::post(ShardIndex to, std::uint32_t listener, const DatagramPath& path, Bytes bytes,
                     Piece piece) {
  const DatagramMail mail{path, static_cast<std::uint16_t>(listener), piece == Piece::rest};
  const Bytes head{reinterpret_cast<const std::uint8_t*>(&mail), sizeof mail};
  if (mail_.post(to, shard::MailKind::datagram, head, bytes, limits::datagram_mail_keep_bytes)) {
    counters_.forwarded.add();
  } else {
    drop(DatagramDrop::mail_full);
  }
}

void Datagrams::on_mail(shard::MailKind, std::uint32_t, Bytes bytes) {
  const auto mail = load_native<DatagramMail>(bytes.data());
  if (links_.draining_) return drop(DatagramDrop::draining);
  handle(mail.listener, mail.path, bytes.subspan(sizeof mail), true,
         mail.is_rest != 0 ? Piece::rest : Piece::whole);
}

void Datagrams::handle(std::uint32_t listener, const DatagramPath& path, Bytes bytes,
                       bool is_frame, Piece piece) {
  const PeerAddress& from = path.from;
  Link* link = find(listener, from);
  if (link == nullptr && !is_frame) return drop(DatagramDrop::garbage);
  const bool stranger = link == nullptr || !link->trusted;
  if (stranger && !limits_.admit(from, bytes.size(), shard_.now())) {
    return drop(DatagramDrop::stranger_rate);
  }
  if (link == nullptr) link = open(listener, from);
  if (link == nullptr) return drop(DatagramDrop::links_full);
  if (!link->readable()) return drop(DatagramDrop::paused);
  places_[link->slot].own = path.to;
  if (stranger && piece == Piece::whole) --places_[link->slot].replies_ahead;
  show(*link, bytes, piece);
}

void Datagrams::show(Link& link, Bytes bytes, Piece piece) {
  Protocol& protocol = links_.protocol_of(link);
  link.received_bytes += bytes.size();
  link.last_receive_ns = shard_.now();
  rest_to_ = no_home;
  const std::size_t used = protocol.on_bytes(link, bytes);
  RG_CHECK(used <= bytes.size());
  const Bytes rest = bytes.subspan(used);
  if (!rest.empty() && rest_to_ != no_home && piece == Piece::rest && !link.trusted) {
    // A terminal speaks for one phone; a stranger who mixes many would have us carry one datagram
    // to and fro for each of its frames.
    drop(DatagramDrop::mixed);
  } else if (!rest.empty() && rest_to_ != no_home) {
    link.received_bytes -= rest.size();  // counts, and earns replies, where it is handled
    post(rest_to_, link.listener, {link.peer, places_[link.slot].own}, rest,
         Piece::rest);
  } else if (!rest.empty() && link.state == LinkState::open) {
    if (link.readable() && !link.blocked) {
      protocol.on_datagram_rest(link, rest);
    } else {
      drop(DatagramDrop::paused);
    }
  }
  links_.after_bytes(link, used);
}

Link* Datagrams::open(std::uint32_t listener, const PeerAddress& from) {
  const bool full = links_.live_ >= links_.options_.links_max ||
                    links_.budget_.level() >= flow::MemoryLevel::pause;
  if (strangers_ >= limits::datagram_strangers_max || (full && oldest_ != none)) {
    links_.close(links_.at(oldest_), CloseReason::crowded_out);
  }
  // One that was crowded out goes only when its last reply has left: the next datagram finds room.
  Link* link = full ? nullptr : links_.allocate();
  if (link == nullptr) return nullptr;
  counters_.opened.add();
  const ListenerOptions& options = links_.listeners_[listener].options;
  link->datagram = true;
  link->listener = static_cast<std::uint16_t>(listener);
  link->protocol = options.protocol;
  link->peer = from;
  link->last_receive_ns = shard_.now();
  link->idle_timeout_ms = options.idle_timeout_ms;
  link->state = LinkState::open;
  insert(*link);
  add_stranger(link->slot);
  links_.protocol_of(*link).on_open(*link);
  links_.hold_replies(*link, 0);
  links_.arm_timer(*link);
  return link;
}

// ---- Links by address

std::uint64_t Datagrams::hash_of(std::uint32_t listener, const PeerAddress& from) const {
  return hash_.of(load_native<std::uint64_t>(from.ip), load_native<std::uint64_t>(from.ip + 8),
                  std::uint64_t{listener} << 32 | std::uint64_t{from.port} << 8 | from.family);
}

Link* Datagrams::find(std::uint32_t listener, const PeerAddress& from) {
  std::uint32_t slot = buckets_[hash_of(listener, from) & (buckets_.size() - 1)];
  for (; slot != none; slot = places_[slot].next) {
    Link& link = links_.at(slot);
    if (link.listener == listener && link.peer.port == from.port &&
        link.peer.family == from.family && std::memcmp(link.peer.ip, from.ip, 16) == 0) {
      return &link;
    }
  }
  return nullptr;
}

void Datagrams::insert(Link& link) {
  if (link.slot >= places_.size()) {
    const std::uint64_t before = memory_bytes();
    places_.resize(link.slot + 1);
    links_.budget_.charge(memory_bytes() - before);
  }
  if (count_ >= buckets_.size()) grow();
  ++count_;
  std::uint32_t& first = buckets_[hash_of(link.listener, link.peer) & (buckets_.size() - 1)];
  places_[link.slot] = {.next = first};
  first = link.slot;
}

void Datagrams::grow() {
  std::vector<std::uint32_t> bigger(buckets_.size() * 2, none);
  for (std::uint32_t slot : buckets_) {
    while (slot != none) {
      const Link& link = links_.at(slot);
      const std::uint32_t next = places_[slot].next;
      std::uint32_t& first = bigger[hash_of(link.listener, link.peer) & (bigger.size() - 1)];
      places_[slot].next = first;
      first = slot;
      slot = next;
    }
  }
  buckets_ = std::move(bigger);
}

void Datagrams::forget(Link& link) {
  std::uint32_t* at = &buckets_[hash_of(link.listener, link.peer) & (buckets_.size() - 1)];
  while (*at != link.slot) at = &places_[*at].next;
  *at = places_[link.slot].next;
  --count_;
  if (!link.trusted) remove_stranger(link.slot);
}

void Datagrams::trust(Link& link) {
  link.trusted = true;
  if (link.state == LinkState::open) remove_stranger(link.slot);
}

void Datagrams::add_stranger(std::uint32_t slot) {
  Place& place = places_[slot];
  place.older = newest_;
  place.newer = none;
  (newest_ == none ? oldest_ : places_[newest_].newer) = slot;
  newest_ = slot;
  ++strangers_;
}

void Datagrams::remove_stranger(std::uint32_t slot) {
  const Place& place = places_[slot];
  (place.older == none ? oldest_ : places_[place.older].newer) = place.newer;
  (place.newer == none ? newest_ : places_[place.newer].older) = place.older;
  --strangers_;
}

// ---- The loop

void Datagrams::before_wait() {
  const bool may_arm = !closing_ && !resting_ && !links_.draining_;
  for (std::uint32_t i = 0; i < sockets_.size(); ++i) {
    if (may_arm && !sockets_[i]->armed) arm(i);
  }
  buffers_->publish();
  // Links that wait for places, as many as there are; each may need more than one.
  const std::size_t woken = std::min(waiting_.size(), free_sends_.size());
  for (std::size_t i = 0; i < woken; ++i) {
    Link* link = links_.find(waiting_[i]);
    if (link == nullptr || !link->send_busy) continue;
    link->send_busy = false;
    links_.queue_send(*link);
  }
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(woken));
  counters_.strangers.set(strangers_);
}

void Datagrams::start_drain() {
  for (std::uint32_t i = 0; i < sockets_.size(); ++i) cancel(i, false);
}

void Datagrams::start_stop() {
  closing_ = true;
  for (std::uint32_t i = 0; i < sockets_.size(); ++i) cancel(i, true);
}

}  // namespace ringgate::net
