// The simulated network: sockets of datagrams. See sim.hpp.
#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "engine/io/abi.hpp"
#include "engine/io/sim_core.hpp"

namespace ringgate::io {
namespace {

constexpr std::size_t payload_max = 65'507;  // of UDP over IPv4
// What a socket holds, net.core.rmem_default, and what the kernel counts for one beyond its bytes.
constexpr std::size_t queue_bytes_max = 212'992;
constexpr std::size_t overhead_bytes = 768;
constexpr int receives_per_wake = 32;  // the kernel's own cap on one multishot (6.8)

sockaddr_storage loopback(std::uint16_t port) {
  sockaddr_storage address{};
  auto& v4 = reinterpret_cast<sockaddr_in&>(address);
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

socklen_t size_of(const sockaddr_storage& address) {
  return address.ss_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
}

// Copies the sender's address to where it is wanted. Returns its own size, before truncation.
socklen_t put_name(const SimDatagram& datagram, void* at, std::size_t room) {
  const socklen_t size_bytes = size_of(datagram.from);
  if (at != nullptr) std::memcpy(at, &datagram.from, std::min<std::size_t>(size_bytes, room));
  return size_bytes;
}

}  // namespace

// ---- Sockets and peers

int SimCore::bind_datagram_socket(std::uint32_t index) {
  SimSocket& at = *sockets_[index];
  for (const auto& other : sockets_) {
    const bool taken = other->used && other->datagram && other.get() != &at &&
                       sim_port_of(at.local) != 0 && sim_covers(other->local, at.local);
    if (taken && !(other->reuse_port && at.reuse_port)) {
      at.local = {};
      return -EADDRINUSE;
    }
  }
  pick_port(at.local);
  return 0;
}

std::uint32_t SimCore::open_datagram_peer(std::uint16_t to_port) {
  const std::uint32_t index = new_socket();
  SimSocket& at = *sockets_[index];
  at.is_peer = at.datagram = true;
  at.references = 1;
  at.remote = loopback(to_port);
  rebind_datagram_peer(index);
  return index;
}

void SimCore::rebind_datagram_peer(std::uint32_t index) {
  sockets_[index]->local = loopback(0);
  pick_port(sockets_[index]->local);
}

// ---- Under way

void SimCore::fly(MonoNs delay, const SimDatagram& datagram) {
  if (free_flying_.empty()) {
    flying_.emplace_back();
    free_flying_.push_back(static_cast<std::uint32_t>(flying_.size() - 1));
  }
  const std::uint32_t index = free_flying_.back();
  free_flying_.pop_back();
  flying_[index] = datagram;
  schedule(delay, SimEventKind::datagram, index, 0);
}

std::int32_t SimCore::transmit_datagram(std::uint32_t from, const sockaddr_storage& to,
                                        Bytes bytes) {
  SimSocket& at = *sockets_[from];
  if (bytes.size() > payload_max) return -EMSGSIZE;
  if (at.local.ss_family == AF_UNSPEC) at.local = loopback(0);
  pick_port(at.local);
  const SimDatagram datagram{at.local, to, {bytes.begin(), bytes.end()}};
  const auto size_bytes = static_cast<std::int32_t>(bytes.size());
  if (random.chance(options.datagram_loss)) return size_bytes;
  const MonoNs delay = random.between(options.net_delay_min_ns, options.net_delay_max_ns);
  if (random.chance(options.datagram_late)) {
    fly(delay + random.between(0, 10 * options.net_delay_max_ns), datagram);
  } else {
    at.last_arrival = std::max(at.last_arrival, now + delay);
    fly(at.last_arrival - now, datagram);
  }
  if (random.chance(options.datagram_twice)) {
    fly(delay + random.between(0, 10 * options.net_delay_max_ns), datagram);
  }
  return size_bytes;
}

// SO_REUSEPORT spreads by a hash of both addresses: always the same socket for the same peer.
std::uint32_t SimCore::find_datagram_socket(const SimDatagram& datagram) const {
  std::vector<std::uint32_t> found;
  for (std::uint32_t i = 0; i < sockets_.size(); ++i) {
    const SimSocket& at = *sockets_[i];
    if (at.used && at.datagram && sim_covers(at.local, datagram.to)) found.push_back(i);
  }
  if (found.empty()) return sim_none;
  const std::uint32_t hash = sim_port_of(datagram.from) * 2'654'435'761U;
  return found[(hash >> 16) % found.size()];
}

void SimCore::deliver_datagram(std::uint32_t flying) {
  SimDatagram datagram = std::move(flying_[flying]);
  free_flying_.push_back(flying);
  const std::uint32_t index = find_datagram_socket(datagram);
  if (index == sim_none) return;  // an ICMP message, which sockets that are not connected ignore
  SimSocket& at = *sockets_[index];
  const std::size_t size_bytes = datagram.bytes.size() + overhead_bytes;
  if (!at.is_peer && at.datagram_bytes + size_bytes > queue_bytes_max) return;
  trace(index ^ datagram.bytes.size() << 32 ^ std::uint64_t{7} << 60);
  for (const std::uint8_t byte : datagram.bytes) trace(byte);
  at.datagram_bytes += size_bytes;
  at.datagrams.push_back(std::move(datagram));
  wake(at.waiting);
}

// ---- Operations

// One datagram into a provided buffer, behind its io_uring_recvmsg_out and the room for the
// sender's address. False: the operation has finished.
bool SimCore::datagram_into_group(std::uint32_t index, SimSocket& from) {
  SimOp& at = ops_[index];
  SimRing& in = *rings_[at.ring];
  const auto* message = reinterpret_cast<const msghdr*>(at.sqe.addr);
  const auto group = in.groups.find(at.sqe.buf_group);
  const bool none = random.chance(options.no_buffers) || group == in.groups.end() ||
                    group->second.head ==
                        __atomic_load_n(&group->second.shared->tail, __ATOMIC_ACQUIRE);
  if (none) {
    finish(index, -ENOBUFS);
    return false;
  }
  const io_uring_buf& buffer = group->second.shared->bufs[group->second.head &
                                                          group->second.mask];
  const std::size_t before =
      sizeof(io_uring_recvmsg_out) + message->msg_namelen + message->msg_controllen;
  if (buffer.len < before) {
    finish(index, -EFAULT);
    return false;
  }
  ++group->second.head;
  const SimDatagram datagram = std::move(from.datagrams.front());
  from.datagrams.pop_front();
  from.datagram_bytes -= datagram.bytes.size() + overhead_bytes;
  const std::size_t room = buffer.len - before;
  const std::size_t copied = std::min(datagram.bytes.size(), room);
  auto* memory = reinterpret_cast<std::uint8_t*>(buffer.addr);
  io_uring_recvmsg_out out{};
  out.namelen = put_name(datagram, memory + sizeof out, message->msg_namelen);
  out.payloadlen = static_cast<std::uint32_t>(copied);
  out.flags = copied < datagram.bytes.size() ? MSG_TRUNC : 0;
  std::memcpy(memory, &out, sizeof out);
  if (copied > 0) std::memcpy(memory + before, datagram.bytes.data(), copied);
  const auto got = static_cast<std::int32_t>(before + copied);
  const std::uint32_t flags = IORING_CQE_F_BUFFER | std::uint32_t{buffer.bid}
                                                        << abi::cqe_buffer_shift;
  // A datagram of no bytes ends the multishot, as in the kernel.
  if (copied == 0 || random.chance(options.end_multishot) || !post_more(at, got, flags)) {
    finish(index, got, flags);
    return false;
  }
  return true;
}

void SimCore::try_receive_datagram(std::uint32_t index) {
  SimOp& at = ops_[index];
  SimSocket& from = *sockets_[at.object];
  const bool multishot = (at.sqe.ioprio & IORING_RECV_MULTISHOT) != 0;
  const bool select = (at.sqe.flags & IOSQE_BUFFER_SELECT) != 0;
  const bool known = (rings_[at.ring]->features & bit(Feature::multishot_recvmsg)) != 0;
  if (!from.datagram || multishot != select || (multishot && !known)) {
    return finish(index, -EINVAL);
  }
  if (multishot) {
    for (int i = 0; i < receives_per_wake; ++i) {
      if (from.datagrams.empty()) return wait_on(from.waiting, index);
      if (!datagram_into_group(index, from)) return;
    }
    wait_on(from.waiting, index);
    return wake_op(index, random.between(0, options.wake_delay_max_ns));
  }
  if (from.datagrams.empty()) return wait_on(from.waiting, index);
  const SimDatagram datagram = std::move(from.datagrams.front());
  from.datagrams.pop_front();
  from.datagram_bytes -= datagram.bytes.size() + overhead_bytes;
  auto* message = reinterpret_cast<msghdr*>(at.sqe.addr);
  message->msg_namelen = put_name(datagram, message->msg_name, message->msg_namelen);
  std::size_t copied = 0;
  for (std::size_t i = 0; i < message->msg_iovlen; ++i) {
    const iovec& part = message->msg_iov[i];
    const std::size_t piece = std::min(part.iov_len, datagram.bytes.size() - copied);
    if (piece > 0) std::memcpy(part.iov_base, datagram.bytes.data() + copied, piece);
    copied += piece;
  }
  message->msg_flags = copied < datagram.bytes.size() ? MSG_TRUNC : 0;
  finish(index, static_cast<std::int32_t>(copied));
}

void SimCore::try_send_datagram(std::uint32_t index) {
  const SimOp& at = ops_[index];
  const auto* message = reinterpret_cast<const msghdr*>(at.sqe.addr);
  if (at.sqe.opcode != IORING_OP_SENDMSG) return finish(index, -EDESTADDRREQ);
  if (message->msg_name == nullptr) return finish(index, -EDESTADDRREQ);
  if (random.chance(options.datagram_no_buffers)) return finish(index, -ENOBUFS);
  sockaddr_storage to{};
  std::memcpy(&to, message->msg_name, std::min<std::size_t>(message->msg_namelen, sizeof to));
  std::vector<std::uint8_t> bytes;
  for (std::size_t i = 0; i < message->msg_iovlen; ++i) {
    const auto* begin = static_cast<const std::uint8_t*>(message->msg_iov[i].iov_base);
    bytes.insert(bytes.end(), begin, begin + message->msg_iov[i].iov_len);
  }
  finish(index, transmit_datagram(at.object, to, bytes));
}

// ---- DatagramPeer

std::uint16_t DatagramPeer::port() const { return sim_port_of(core_->socket(socket_).local); }

void DatagramPeer::send(Bytes datagram) {
  RG_CHECK(core_->transmit_datagram(socket_, core_->socket(socket_).remote, datagram) >= 0);
}

std::vector<std::vector<std::uint8_t>> DatagramPeer::take() {
  SimSocket& at = core_->socket(socket_);
  std::vector<std::vector<std::uint8_t>> out;
  for (SimDatagram& datagram : at.datagrams) out.push_back(std::move(datagram.bytes));
  at.datagrams.clear();
  at.datagram_bytes = 0;
  return out;
}

void DatagramPeer::rebind() { core_->rebind_datagram_peer(socket_); }

void DatagramPeer::close() {
  core_->release_socket(socket_);
  core_ = nullptr;
}

}  // namespace ringgate::io
