// The simulated network: listeners, connections, and the operations on them. See sim.hpp.
#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "engine/io/abi.hpp"
#include "engine/io/sim_core.hpp"

namespace ringgate::io {
namespace {

constexpr std::uint32_t cqe_sock_nonempty = 1U << 2;
constexpr int receives_per_wake = 32;  // the kernel's own cap on one multishot (6.8)
constexpr std::uint32_t knocks_max = 4;

void set_port(sockaddr_storage& address, std::uint16_t port) {
  if (address.ss_family == AF_INET6) {
    reinterpret_cast<sockaddr_in6&>(address).sin6_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in&>(address).sin_port = htons(port);
  }
}

}  // namespace

std::uint16_t sim_port_of(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET6) {
    return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
  }
  return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

bool sim_covers(const sockaddr_storage& bound_to, const sockaddr_storage& to) {
  if (sim_port_of(bound_to) != sim_port_of(to)) return false;
  if (bound_to.ss_family == AF_INET6) {
    const in6_addr& bound = reinterpret_cast<const sockaddr_in6&>(bound_to).sin6_addr;
    if (std::memcmp(&bound, &in6addr_any, sizeof bound) == 0) return true;
    return to.ss_family == AF_INET6 &&
           std::memcmp(&bound, &reinterpret_cast<const sockaddr_in6&>(to).sin6_addr,
                       sizeof bound) == 0;
  }
  const in_addr_t bound = reinterpret_cast<const sockaddr_in&>(bound_to).sin_addr.s_addr;
  return to.ss_family == AF_INET &&
         (bound == htonl(INADDR_ANY) ||
          bound == reinterpret_cast<const sockaddr_in&>(to).sin_addr.s_addr);
}

// ---- Sockets

std::uint32_t SimCore::new_socket() {
  if (free_sockets_.empty()) {
    sockets_.push_back(std::make_unique<SimSocket>());
    free_sockets_.push_back(static_cast<std::uint32_t>(sockets_.size() - 1));
  }
  const std::uint32_t index = free_sockets_.back();
  free_sockets_.pop_back();
  const std::uint32_t serial = sockets_[index]->serial;
  *sockets_[index] = SimSocket{};
  sockets_[index]->used = true;
  sockets_[index]->serial = serial;
  return index;
}

// The last reference closes: FIN, or RST where bytes were left unread.
void SimCore::release_socket(std::uint32_t index) {
  SimSocket& at = *sockets_[index];
  if (--at.references > 0) return;
  for (const std::uint32_t waiting : at.backlog) {
    reset_connection(waiting);
    release_socket(waiting);
  }
  if (at.other != sim_none && !at.vanished) {
    if (at.unread() > 0 || at.wire_bytes > 0) {
      transmit(index, SimSegment::Kind::reset, {});
    } else if (!at.shut_write) {
      transmit(index, SimSegment::Kind::fin, {});
    }
  }
  if (at.other != sim_none) {
    SimSocket& other = *sockets_[at.other];
    other.other = sim_none;
    wake(other.waiting);  // a send that waits for room learns that nobody reads
  }
  at.used = false;
  ++at.serial;
  at.inbox = {};
  at.wire.clear();
  at.unsent = {};
  at.datagrams.clear();
  free_sockets_.push_back(index);
}

bool SimCore::pick_port(sockaddr_storage& address) {
  if (sim_port_of(address) == 0) set_port(address, next_port_++);
  return true;
}

int SimCore::bind_socket(std::uint32_t index, const sockaddr* address, socklen_t size_bytes) {
  SimSocket& at = *sockets_[index];
  if (size_bytes > sizeof at.local) return -EINVAL;
  std::memcpy(&at.local, address, size_bytes);
  if (at.datagram) return bind_datagram_socket(index);
  if (sim_port_of(at.local) != 0) {
    for (const auto& other : sockets_) {
      const bool taken = other->used && other->listening && sim_covers(other->local, at.local);
      if (taken && !(other->reuse_port && at.reuse_port)) {
        at.local = {};
        return -EADDRINUSE;
      }
    }
  }
  pick_port(at.local);
  return 0;
}

int SimCore::listen_socket(std::uint32_t index, int backlog) {
  SimSocket& at = *sockets_[index];
  at.listening = true;
  at.backlog_max = static_cast<std::uint32_t>(std::max(backlog, 1));
  return 0;
}

std::uint32_t SimCore::find_listener(const sockaddr_storage& to) const {
  std::vector<std::uint32_t> found;
  for (std::uint32_t i = 0; i < sockets_.size(); ++i) {
    const SimSocket& at = *sockets_[i];
    if (at.used && at.listening && sim_covers(at.local, to)) found.push_back(i);
  }
  if (found.empty()) return sim_none;
  // SO_REUSEPORT spreads by a hash of the addresses.
  return found[event_order_ % found.size()];
}

void SimCore::start_connect(std::uint32_t index, const sockaddr_storage& to) {
  SimSocket& at = *sockets_[index];
  at.connecting = true;
  at.remote = to;
  if (at.local.ss_family == AF_UNSPEC) {
    at.local.ss_family = to.ss_family;
    if (to.ss_family == AF_INET) {
      reinterpret_cast<sockaddr_in&>(at.local).sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    } else {
      reinterpret_cast<sockaddr_in6&>(at.local).sin6_addr = in6addr_loopback;
    }
  }
  pick_port(at.local);
  const MonoNs delay = random.between(options.net_delay_min_ns, options.net_delay_max_ns);
  schedule(delay, SimEventKind::knock, index, at.serial);
}

void SimCore::knock(std::uint32_t index) {
  SimSocket& at = *sockets_[index];
  if (at.reset_in) return;  // gave up before it was connected
  const std::uint32_t listener_index = find_listener(at.remote);
  const bool full = listener_index != sim_none && sockets_[listener_index]->backlog.size() >=
                                                      sockets_[listener_index]->backlog_max;
  if (full && ++at.knocks < knocks_max) {
    schedule(ns_per_s << at.knocks, SimEventKind::knock, index, at.serial);  // the SYN again
    return;
  }
  at.connecting = false;
  if (listener_index == sim_none || full) {
    at.refused = true;
    return wake(at.waiting);
  }
  const std::uint32_t accepted = new_socket();
  SimSocket& server = *sockets_[accepted];
  server.connected = true;
  server.references = 1;  // the queue's
  server.other = index;
  server.local = at.remote;
  server.remote = at.local;
  at.connected = true;
  at.other = accepted;
  SimSocket& listener = *sockets_[listener_index];
  listener.backlog.push_back(accepted);
  wake(listener.waiting);
  wake(at.waiting);
  flush_peer(index);
}

// ---- Bytes under way

std::size_t SimCore::room_towards(std::uint32_t from) const {
  const SimSocket& at = *sockets_[from];
  if (at.other == sim_none) return options.window_bytes;  // lost anyway
  const SimSocket& other = *sockets_[at.other];
  const bool takes_all = other.is_peer && !other.reading_paused;
  const std::size_t held = other.wire_bytes + (takes_all ? 0 : other.unread());
  return held >= options.window_bytes ? 0 : options.window_bytes - held;
}

void SimCore::transmit(std::uint32_t from, SimSegment::Kind kind, Bytes bytes) {
  SimSocket& at = *sockets_[from];
  if (kind == SimSegment::Kind::fin) at.shut_write = true;
  const bool nobody = at.other == sim_none;
  if (nobody && kind != SimSegment::Kind::data) return;
  // Data for a socket that is gone comes back as a reset.
  const std::uint32_t to = nobody ? from : at.other;
  SimSocket& target = *sockets_[to];
  const MonoNs delay = random.between(options.net_delay_min_ns, options.net_delay_max_ns);
  target.last_arrival = std::max(target.last_arrival, now + delay);
  SimSegment segment;
  segment.kind = nobody ? SimSegment::Kind::reset : kind;
  segment.at = target.last_arrival;
  if (!nobody) segment.bytes.assign(bytes.begin(), bytes.end());
  target.wire_bytes += segment.bytes.size();
  target.wire.push_back(std::move(segment));
  if (target.vanished) return;  // never acknowledged: it holds its part of the window for good
  schedule(target.last_arrival - now, SimEventKind::deliver, to, target.serial);
}

void SimCore::deliver(std::uint32_t index) {
  SimSocket& at = *sockets_[index];
  if (at.vanished || at.wire.empty() || at.wire.front().at > now) return;
  const SimSegment segment = std::move(at.wire.front());
  at.wire.pop_front();
  at.wire_bytes -= segment.bytes.size();
  trace(index ^ segment.bytes.size() << 32 ^ static_cast<std::uint64_t>(segment.kind) << 60);
  for (const std::uint8_t byte : segment.bytes) trace(byte);
  switch (segment.kind) {
    case SimSegment::Kind::data:
      if (random.chance(options.reset)) return reset_connection(index);
      at.inbox.insert(at.inbox.end(), segment.bytes.begin(), segment.bytes.end());
      break;
    case SimSegment::Kind::fin:
      at.fin_in = true;
      break;
    case SimSegment::Kind::reset:
      at.reset_in = true;
      if (!at.is_peer) at.inbox.clear();  // unread bytes go with the connection
      if (!at.is_peer) at.inbox_at = 0;
      break;
  }
  wake(at.waiting);
  if (at.is_peer) made_room(index);
}

void SimCore::reset_connection(std::uint32_t index) {
  SimSocket& at = *sockets_[index];
  const auto cut = [this](SimSocket& end) {
    end.reset_in = true;
    if (!end.is_peer) {
      end.inbox.clear();
      end.inbox_at = 0;
    }
    end.wire.clear();
    end.wire_bytes = 0;
    end.unsent.clear();
    wake(end.waiting);
  };
  if (at.other != sim_none) {
    SimSocket& other = *sockets_[at.other];
    other.other = sim_none;
    cut(other);
  }
  at.other = sim_none;
  cut(at);
}

// A reader took bytes: the other side may send on.
void SimCore::made_room(std::uint32_t index) {
  const std::uint32_t other = sockets_[index]->other;
  if (other == sim_none) return;
  if (sockets_[other]->is_peer) {
    flush_peer(other);
  } else {
    wake(sockets_[other]->waiting);
  }
}

void SimCore::flush_peer(std::uint32_t index) {
  SimSocket& at = *sockets_[index];
  if (!at.is_peer || !at.connected || at.vanished || at.reset_in || at.shut_write) return;
  const std::size_t size_bytes = std::min(at.unsent.size(), room_towards(index));
  if (size_bytes > 0) {
    transmit(index, SimSegment::Kind::data, Bytes{at.unsent}.first(size_bytes));
    at.unsent.erase(at.unsent.begin(), at.unsent.begin() + static_cast<std::ptrdiff_t>(size_bytes));
  }
  if (at.fin_wanted && at.unsent.empty()) transmit(index, SimSegment::Kind::fin, {});
}

void SimCore::shut_write(std::uint32_t index) {
  if (!sockets_[index]->shut_write) transmit(index, SimSegment::Kind::fin, {});
}

void SimCore::consume_inbox(std::uint32_t index, std::size_t size_bytes) {
  SimSocket& at = *sockets_[index];
  at.inbox_at += size_bytes;
  if (at.inbox_at == at.inbox.size()) {
    at.inbox.clear();
    at.inbox_at = 0;
  }
  made_room(index);
}

// ---- Operations

void SimCore::try_accept(std::uint32_t index) {
  SimOp& at = ops_[index];
  SimSocket& listener = *sockets_[at.object];
  if (!listener.listening) return finish(index, -EINVAL);
  const bool multishot = (at.sqe.ioprio & IORING_ACCEPT_MULTISHOT) != 0;
  const bool known = (rings_[at.ring]->features & bit(Feature::multishot_accept)) != 0;
  if (multishot && !known) return finish(index, -EINVAL);
  while (!listener.backlog.empty()) {
    const std::uint32_t accepted = listener.backlog.front();
    const int fd = add_descriptor(SimDescriptor::Kind::socket, accepted);
    if (fd < 0) return finish(index, fd);
    listener.backlog.pop_front();
    if (at.sqe.addr != 0) {
      auto* size_bytes = reinterpret_cast<socklen_t*>(at.sqe.off);
      std::memcpy(reinterpret_cast<void*>(at.sqe.addr), &sockets_[accepted]->remote,
                  std::min<std::size_t>(*size_bytes, sizeof(sockaddr_storage)));
    }
    if (!multishot || random.chance(options.end_multishot) || !post_more(at, fd, 0)) {
      return finish(index, fd);
    }
  }
  wait_on(listener.waiting, index);
}

// Fills buffers of a group from the inbox. Returns bytes, or -ENOBUFS.
std::int32_t SimCore::take_buffers(SimRing& in, std::uint16_t group_id, SimSocket& from,
                                   std::size_t size_bytes, std::uint32_t buffers_max,
                                   std::uint16_t& bid) {
  const auto found = in.groups.find(group_id);
  if (found == in.groups.end()) return -ENOBUFS;
  SimBufferGroup& group = found->second;
  const std::uint16_t tail = __atomic_load_n(&group.shared->tail, __ATOMIC_ACQUIRE);
  std::size_t done = 0;
  for (std::uint32_t used = 0; used < buffers_max && done < size_bytes; ++used) {
    if (group.head == tail) break;
    const io_uring_buf& buffer = group.shared->bufs[group.head & group.mask];
    if (used == 0) bid = buffer.bid;
    const std::size_t piece = std::min<std::size_t>(buffer.len, size_bytes - done);
    std::memcpy(reinterpret_cast<void*>(buffer.addr), from.inbox.data() + from.inbox_at + done,
                piece);
    done += piece;
    ++group.head;
  }
  return done == 0 ? -ENOBUFS : static_cast<std::int32_t>(done);
}

// One receive into provided buffers. False: the operation has finished.
bool SimCore::receive_into_group(std::uint32_t index, SimSocket& from) {
  SimOp& at = ops_[index];
  SimRing& in = *rings_[at.ring];
  const bool multishot = (at.sqe.ioprio & IORING_RECV_MULTISHOT) != 0;
  const bool bundle = (at.sqe.ioprio & abi::recvsend_bundle) != 0;
  std::size_t size_bytes = from.unread();
  if (at.sqe.len != 0) size_bytes = std::min<std::size_t>(size_bytes, at.sqe.len);
  if (random.chance(options.short_receive)) size_bytes = 1 + random.below(size_bytes);
  // The first receive of a bundle fills one buffer, later ones many.
  const std::uint32_t buffers_max = bundle && (at.multishot_more || !multishot) ? 256 : 1;
  std::uint16_t bid = 0;
  const bool none_by_chance = random.chance(options.no_buffers);
  const std::int32_t got =
      none_by_chance ? -ENOBUFS
                     : take_buffers(in, at.sqe.buf_group, from, size_bytes, buffers_max, bid);
  if (got < 0) {
    finish(index, got);
    return false;
  }
  at.multishot_more = true;
  const std::uint32_t socket_index = at.object;
  consume_inbox(socket_index, static_cast<std::size_t>(got));
  std::uint32_t flags = IORING_CQE_F_BUFFER | std::uint32_t{bid} << abi::cqe_buffer_shift;
  if (from.unread() > 0) flags |= cqe_sock_nonempty;
  if (!multishot || random.chance(options.end_multishot) || !post_more(at, got, flags)) {
    finish(index, got, flags);
    return false;
  }
  return true;
}

void SimCore::try_receive(std::uint32_t index) {
  SimOp& at = ops_[index];
  SimSocket& from = *sockets_[at.object];
  const std::uint32_t features = rings_[at.ring]->features;
  const bool multishot = (at.sqe.ioprio & IORING_RECV_MULTISHOT) != 0;
  const bool bundle = (at.sqe.ioprio & abi::recvsend_bundle) != 0;
  const bool select = (at.sqe.flags & IOSQE_BUFFER_SELECT) != 0;
  if ((multishot && ((features & bit(Feature::multishot_recv)) == 0 || !select)) ||
      (bundle && (features & bit(Feature::recv_bundle)) == 0)) {
    return finish(index, -EINVAL);
  }
  if (!from.connected) return finish(index, -ENOTCONN);
  for (int i = 0; i < receives_per_wake; ++i) {
    if (from.reset_in) return finish(index, -ECONNRESET);
    if (from.unread() == 0) {
      if (from.fin_in || from.shut_read) return finish(index, 0);
      return wait_on(from.waiting, index);
    }
    if (select) {
      if (!receive_into_group(index, from)) return;
      continue;
    }
    std::size_t size_bytes = std::min<std::size_t>(from.unread(), at.sqe.len);
    if (random.chance(options.short_receive)) size_bytes = 1 + random.below(size_bytes);
    std::memcpy(reinterpret_cast<void*>(at.sqe.addr), from.inbox.data() + from.inbox_at,
                size_bytes);
    consume_inbox(at.object, size_bytes);
    return finish(index, static_cast<std::int32_t>(size_bytes));
  }
  wait_on(from.waiting, index);
  wake_op(index, random.between(0, options.wake_delay_max_ns));
}

void SimCore::try_send(std::uint32_t index) {
  SimOp& at = ops_[index];
  SimSocket& from = *sockets_[at.object];
  std::vector<std::uint8_t> gathered;
  Bytes bytes;
  if (at.sqe.opcode == IORING_OP_SENDMSG) {
    const auto* message = reinterpret_cast<const msghdr*>(at.sqe.addr);
    for (std::size_t i = 0; i < message->msg_iovlen; ++i) {
      const auto* begin = static_cast<const std::uint8_t*>(message->msg_iov[i].iov_base);
      gathered.insert(gathered.end(), begin, begin + message->msg_iov[i].iov_len);
    }
    bytes = gathered;
  } else {
    bytes = {reinterpret_cast<const std::uint8_t*>(at.sqe.addr), at.sqe.len};
  }
  if (from.reset_in) return finish(index, -ECONNRESET);
  if (from.shut_write) return finish(index, -EPIPE);
  if (!from.connected) return finish(index, -ENOTCONN);
  // With MSG_WAITALL a first part may be out already; `result` counts it.
  bytes = bytes.subspan(static_cast<std::size_t>(at.result));
  const std::size_t room = room_towards(at.object);
  if (room == 0 && !bytes.empty()) return wait_on(from.waiting, index);
  const bool all = (at.sqe.op_flags & MSG_WAITALL) != 0;
  std::size_t size_bytes = std::min(bytes.size(), room);
  if (size_bytes > 1 && random.chance(options.short_send))
    size_bytes = 1 + random.below(size_bytes);
  if (size_bytes > 0) transmit(at.object, SimSegment::Kind::data, bytes.first(size_bytes));
  at.result += static_cast<std::int32_t>(size_bytes);
  if (size_bytes == bytes.size() || !all) return finish(index, at.result);
  wait_on(from.waiting, index);
  if (!at.wake_scheduled) wake_op(index, random.between(0, options.wake_delay_max_ns));
}

void SimCore::try_connect(std::uint32_t index) {
  const SimOp& at = ops_[index];
  SimSocket& from = *sockets_[at.object];
  if (from.connected) return finish(index, from.knocks > 0 || at.result == 1 ? 0 : -EISCONN);
  if (from.refused) return finish(index, from.knocks >= knocks_max ? -ETIMEDOUT : -ECONNREFUSED);
  if (!from.connecting) {
    sockaddr_storage to{};
    std::memcpy(&to, reinterpret_cast<const void*>(at.sqe.addr),
                std::min<std::size_t>(at.sqe.off, sizeof to));
    start_connect(at.object, to);
    ops_[index].result = 1;  // it was us who began
  }
  wait_on(from.waiting, index);
}

void SimCore::try_shutdown(std::uint32_t index) {
  const SimOp& at = ops_[index];
  SimSocket& from = *sockets_[at.object];
  if (!from.connected || from.reset_in) return finish(index, -ENOTCONN);
  if (at.sqe.len != SHUT_WR) {
    from.shut_read = true;
    wake(from.waiting);
  }
  if (at.sqe.len != SHUT_RD) shut_write(at.object);
  finish(index, 0);
}

}  // namespace ringgate::io
