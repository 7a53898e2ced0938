#include "tools/chaos/udp_relay.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine/base/limits.hpp"
#include "engine/io/abi.hpp"
#include "tools/chaos/limits.hpp"

namespace ringgate::chaos {

namespace {

// What tells two senders apart.
std::string key_of(const sockaddr_storage& address) {
  std::string key;
  const auto add = [&](const void* at, std::size_t size) {
    key.append(static_cast<const char*>(at), size);
  };
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    add(&v4.sin_addr, sizeof v4.sin_addr);
    add(&v4.sin_port, sizeof v4.sin_port);
  } else {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    add(&v6.sin6_addr, sizeof v6.sin6_addr);
    add(&v6.sin6_port, sizeof v6.sin6_port);
    add(&v6.sin6_scope_id, sizeof v6.sin6_scope_id);
  }
  return key;
}

socklen_t size_of(const sockaddr_storage& address) {
  return address.ss_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
}

// Reading goes on after these; only a closed socket says anything else.
bool is_passing(std::int32_t result) { return result < 0 && result != -ECANCELED; }

}  // namespace

// ---- Sending

void UdpSend::send(int fd, const sockaddr_storage* to, Direction direction, Bytes datagram) {
  direction_ = direction;
  bytes_.assign(datagram.begin(), datagram.end());
  part_ = {bytes_.data(), bytes_.size()};
  message_ = {};
  message_.msg_iov = &part_;
  message_.msg_iovlen = 1;
  if (to != nullptr) {
    to_ = *to;
    message_.msg_name = &to_;
    message_.msg_namelen = size_of(to_);
  }
  io_uring_sqe* const sqe = desk().next_sqe();
  // A socket that is full drops: waiting would change the order.
  io_uring_prep_sendmsg(sqe, fd, &message_, MSG_DONTWAIT | MSG_NOSIGNAL);
  desk().submit(sqe, *this, 0);
}

void UdpSend::on_done(std::uint8_t, std::int32_t result, std::uint32_t) {
  if (relay_ != nullptr) relay_->sent(*this, direction_, result >= 0);
}

void UdpRelay::send(int fd, const sockaddr_storage* to, Direction direction, Bytes datagram) {
  if (free_sends_.empty()) {
    if (sends_.size() >= limits::datagram_sends_max) {
      ++state_.traffic.lane[index_of(direction)].dropped;
      return;
    }
    sends_.push_back(std::make_unique<UdpSend>(desk(), *this));
    free_sends_.push_back(sends_.back().get());
  }
  UdpSend* const free = free_sends_.back();
  free_sends_.pop_back();
  free->send(fd, to, direction, datagram);
}

void UdpRelay::sent(UdpSend& send, Direction direction, bool well) {
  if (!well) ++state_.traffic.lane[index_of(direction)].dropped;
  free_sends_.push_back(&send);
}

// ---- A session

UdpSession::UdpSession(Desk& desk, UdpRelay& relay, const sockaddr_storage& client, int fd,
                       std::uint64_t number)
    : Operand(desk), relay_(relay), client_(client), fd_(fd), heard_ns_(now()),
      correspondence_(relay.state().rules, number, relay.state().buffer_bytes,
                      relay.state().traffic, now()) {
  wake(heard_ns_ + relay.state().udp_idle_ns);
}

UdpSession::~UdpSession() { desk().sys().close(fd_); }

void UdpSession::adopt(const ArmedRules& rules) {
  correspondence_.adopt(rules, now());
  pump();
}

void UdpSession::close() {
  if (receiving_) desk().cancel_all(fd_, *this, cancelling);
}

void UdpSession::receive() {
  io_uring_sqe* const sqe = desk().next_sqe();
  io_uring_prep_recv(sqe, fd_, nullptr, limits::datagram_bytes, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = desk().datagram_buffers()->group();
  desk().submit(sqe, *this, receiving);
  receiving_ = true;
}

void UdpSession::on_done(std::uint8_t op, std::int32_t result, std::uint32_t flags) {
  if (op == cancelling) return;
  receiving_ = false;
  if ((flags & IORING_CQE_F_BUFFER) != 0) {
    io::BufferRing& buffers = *desk().datagram_buffers();
    const auto bid = static_cast<std::uint16_t>(flags >> io::abi::cqe_buffer_shift);
    Bytes bytes;
    buffers.consume(bid, static_cast<std::uint32_t>(std::max(result, 0)),
                    [&](std::uint16_t, Bytes piece) { bytes = piece; });
    if (result >= 0 && !buried()) take(Direction::down, bytes);
    buffers.give_back(bid);
  } else if (result == 0 && !buried()) {
    take(Direction::down, {});  // for an empty one the kernel picks no buffer
  }
  if (buried()) return;
  if (is_passing(result)) {
    // The server's port is closed (ICMP), or no buffer was free: both pass.
    if (result == -ECONNREFUSED) ++relay_.state().target_failed;
    return wake(now());
  }
  receive();
}

void UdpSession::take(Direction direction, Bytes datagram) {
  heard_ns_ = now();
  if (correspondence_.plain(direction)) {
    correspondence_.passed(direction, datagram.size());
    return send(direction, datagram);
  }
  correspondence_.take(direction, now(), datagram);
  pump();
}

void UdpSession::send(Direction direction, Bytes datagram) {
  if (direction == Direction::up) {
    relay_.send(fd_, nullptr, direction, datagram);
  } else {
    relay_.send(relay_.fd(), &client_, direction, datagram);
  }
}

void UdpSession::pump() {
  for (const Direction direction : {Direction::up, Direction::down}) {
    while (correspondence_.next(direction, now(), datagram_)) send(direction, datagram_);
  }
  wake(correspondence_.wake_at());
}

void UdpSession::on_due() {
  if (!receiving_) receive();
  pump();
  const MonoNs idle = heard_ns_ + relay_.state().udp_idle_ns;
  const bool waits = correspondence_.wake_at() != Schedule::never;
  if (now() >= idle && !waits) return relay_.forget(*this);
  if (now() < idle) wake(idle);
}

// ---- The relay

Result<std::unique_ptr<UdpRelay>> UdpRelay::open(Desk& desk, ProxyState& state,
                                                 const config::ListenAddress& address) {
  io::Sys& sys = desk.sys();
  const auto failed = [&](int code) {
    Error error = errno_error(code, fmt::format("cannot take UDP on {}", address.text));
    if (code == EADDRINUSE) error.message += " (another program or proxy does; or take port 0)";
    return error;
  };
  io::BufferRing* const buffers = desk.datagram_buffers();
  if (buffers == nullptr) return failed(ENOMEM);
  const int fd = sys.socket(address.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return failed(-fd);
  std::unique_ptr<UdpRelay> relay(new UdpRelay(desk, state, fd, *buffers));
  const int v6_only = address.all_addresses ? 0 : 1;
  int error = 0;
  if (address.storage.ss_family == AF_INET6) {
    error = sys.set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only);
  }
  const int bytes = ringgate::limits::datagram_socket_bytes;
  if (error >= 0) error = sys.set_option(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  if (error >= 0) error = sys.bind(fd, address.address(), address.size);
  if (error < 0) return failed(-error);
  sockaddr_storage own{};
  sys.local_address(fd, own);
  relay->address_ = config::format_address(own);
  return relay;
}

UdpRelay::UdpRelay(Desk& desk, ProxyState& state, int fd, io::BufferRing& buffers)
    : Operand(desk), state_(state), buffers_(buffers), fd_(fd) {
  ++desk.listening();
}

UdpRelay::~UdpRelay() {
  desk().sys().close(fd_);
  --desk().listening();
}

void UdpRelay::adopt() {
  for (auto& [key, session] : sessions_) session->adopt(state_.rules);
}

void UdpRelay::close() {
  closing_ = true;
  for (auto& [key, session] : sessions_) {
    session->close();
    desk().bury(std::move(session));
  }
  sessions_.clear();
  for (auto& send : sends_) {
    send->forget_relay();
    desk().bury(std::move(send));
  }
  sends_.clear();
  free_sends_.clear();
  if (armed_) desk().cancel_all(fd_, *this, cancelling);
}

void UdpRelay::receive() {
  if (armed_ || closing_) return;
  io_uring_sqe* const sqe = desk().next_sqe();
  message_ = {};
  message_.msg_namelen = sizeof(sockaddr_storage);
  if (desk().shard().ring().has(io::Feature::multishot_recvmsg)) {
    io_uring_prep_recvmsg_multishot(sqe, fd_, &message_, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = buffers_.group();
  } else {
    datagram_.resize(limits::datagram_bytes);
    part_ = {datagram_.data(), datagram_.size()};
    message_.msg_name = &from_;
    message_.msg_iov = &part_;
    message_.msg_iovlen = 1;
    io_uring_prep_recvmsg(sqe, fd_, &message_, 0);
  }
  desk().submit(sqe, *this, receiving);
  armed_ = true;
}

void UdpRelay::on_done(std::uint8_t op, std::int32_t result, std::uint32_t flags) {
  if (op == cancelling) return;
  if ((flags & IORING_CQE_F_MORE) == 0) armed_ = false;
  on_received(result, flags);
  if (is_passing(result)) return wake(now());
  receive();
}

void UdpRelay::on_received(std::int32_t result, std::uint32_t flags) {
  if ((flags & IORING_CQE_F_BUFFER) == 0) {
    if (result >= 0 && !closing_) take(from_, {datagram_.data(), static_cast<std::size_t>(result)});
    return;
  }
  const auto bid = static_cast<std::uint16_t>(flags >> io::abi::cqe_buffer_shift);
  const auto size_bytes = static_cast<std::uint32_t>(std::max(result, 0));
  Bytes bytes;
  buffers_.consume(bid, size_bytes, [&](std::uint16_t, Bytes piece) { bytes = piece; });
  io_uring_recvmsg_out* const out =
      io_uring_recvmsg_validate(buffers_.data(bid), static_cast<int>(size_bytes), &message_);
  if (out != nullptr && !closing_) {
    sockaddr_storage from{};
    std::memcpy(&from, io_uring_recvmsg_name(out), std::min<std::size_t>(out->namelen,
                                                                         sizeof from));
    const auto size =
        io_uring_recvmsg_payload_length(out, static_cast<int>(size_bytes), &message_);
    take(from, {static_cast<const std::uint8_t*>(io_uring_recvmsg_payload(out, &message_)), size});
  }
  buffers_.give_back(bid);
}

UdpSession* UdpRelay::session_of(const sockaddr_storage& from) {
  std::string key = key_of(from);
  const auto found = sessions_.find(key);
  if (found != sessions_.end()) return found->second.get();
  if (sessions_.size() >= state_.connections_max) {
    ++state_.refused;
    return nullptr;
  }
  io::Sys& sys = desk().sys();
  const ServerAddress& target = state_.target;
  const int fd = sys.socket(target.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || ::connect(fd, target.address(), target.size) != 0) {
    if (fd >= 0) sys.close(fd);
    ++state_.target_failed;
    return nullptr;
  }
  auto session =
      std::make_unique<UdpSession>(desk(), *this, from, fd, state_.connections_total++);
  UdpSession* const made = session.get();
  sessions_.emplace(std::move(key), std::move(session));
  made->begin();
  return made;
}

void UdpRelay::take(const sockaddr_storage& from, Bytes datagram) {
  UdpSession* const session = session_of(from);
  if (session == nullptr) {
    ++state_.traffic.lane[0].dropped;
    return;
  }
  session->take(Direction::up, datagram);
}

void UdpRelay::forget(UdpSession& session) {
  const auto found = sessions_.find(key_of(session.client()));
  session.close();
  std::unique_ptr<UdpSession> gone = std::move(found->second);
  sessions_.erase(found);
  desk().bury(std::move(gone));
}

}  // namespace ringgate::chaos
