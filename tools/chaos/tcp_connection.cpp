#include "tools/chaos/tcp_connection.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "engine/base/check.hpp"
#include "engine/io/abi.hpp"
#include "tools/chaos/limits.hpp"

namespace ringgate::chaos {

TcpConnection::TcpConnection(Desk& desk, ConnectionOwner& owner, int client_fd,
                             const ArmedRules& rules, std::uint64_t number,
                             std::size_t buffer_bytes, Traffic& traffic)
    : Operand(desk), owner_(owner),
      conversation_(rules, number, buffer_bytes, traffic, desk.shard().now()) {
  sockets_[client].fd = client_fd;
  sockets_[client].phase = Phase::open;
}

TcpConnection::~TcpConnection() {
  for (Socket& socket : sockets_) {
    if (socket.fd >= 0) desk().sys().close(socket.fd);
  }
}

void TcpConnection::begin() {
  const int on = 1;
  desk().sys().set_option(sockets_[client].fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (conversation_.refused()) return abandon();
  pump();
}

void TcpConnection::adopt(const ArmedRules& rules) {
  conversation_.adopt(rules, now());
  pump();
}

void TcpConnection::abandon() {
  for (const std::uint32_t side : {client, server}) drop(side, true);
  finish();
}

void TcpConnection::start(io_uring_sqe* sqe, std::uint32_t side, Op op) {
  desk().submit(sqe, *this, op);
  ++sockets_[side].operations;
}

void TcpConnection::on_done(std::uint8_t op, std::int32_t result, std::uint32_t flags) {
  const std::uint32_t side =
      op == receive_client || op == send_client || op == cancelling_client ? client : server;
  --sockets_[side].operations;
  switch (op) {
    case receive_client:
    case receive_server: on_received(side, result, flags); break;
    case send_client:
    case send_server: on_sent(side, result); break;
    case connecting: on_connected(result); break;
    default: break;  // what was cancelled says so itself
  }
  close_if_idle(side);
  pump();
}

void TcpConnection::on_due() {
  if (now() >= linger_until_ns_) {
    linger_until_ns_ = Schedule::never;
    for (const std::uint32_t side : {client, server}) {
      if (sockets_[side].phase == Phase::draining) drop(side, false);
    }
  }
  pump();
}

// ---- The way to the server

void TcpConnection::connect() {
  Socket& to_server = sockets_[server];
  const ServerAddress& target = owner_.target();
  to_server.fd = desk().sys().socket(target.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (to_server.fd < 0) {
    const int error = -to_server.fd;
    to_server.fd = -1;
    owner_.on_target_failed(error);
    return abandon();
  }
  const int on = 1;
  desk().sys().set_option(to_server.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  to_server.phase = Phase::opening;
  io_uring_sqe* const sqe = desk().next_sqe();
  io_uring_prep_connect(sqe, to_server.fd, target.address(), target.size);
  start(sqe, server, connecting);
}

void TcpConnection::on_connected(std::int32_t result) {
  Socket& to_server = sockets_[server];
  if (to_server.phase != Phase::opening) return;
  if (result < 0) {
    owner_.on_target_failed(-result);
    return abandon();
  }
  to_server.phase = Phase::open;
}

// ---- Reading

void TcpConnection::receive(std::uint32_t side) {
  Socket& socket = sockets_[side];
  io_uring_sqe* const sqe = desk().next_sqe();
  io_uring_prep_recv(sqe, socket.fd, nullptr, limits::read_bytes, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = desk().buffers().group();
  start(sqe, side, side == client ? receive_client : receive_server);
  socket.receiving = true;
}

void TcpConnection::on_received(std::uint32_t side, std::int32_t result, std::uint32_t flags) {
  Socket& socket = sockets_[side];
  socket.receiving = false;
  if ((flags & IORING_CQE_F_BUFFER) != 0) {
    const auto bid = static_cast<std::uint16_t>(flags >> io::abi::cqe_buffer_shift);
    if (result > 0) return take(side, bid, static_cast<std::uint32_t>(result));
    desk().buffers().consume(bid, 0, [](std::uint16_t, Bytes) {});
    desk().buffers().give_back(bid);
  }
  // Buffers come back in this turn; a read that was interrupted is asked for again by pump().
  if (result == -ENOBUFS || result == -EINTR || result == -EAGAIN) return wake(now());
  if (result == -ECANCELED) return;
  socket.ended = true;
  if (result < 0) socket.broken = true;
  if (socket.phase == Phase::draining) return drop(side, false);
  if (!alive(socket) || leaving_) return;
  conversation_.end(from(side), now(), result == 0 ? End::fin : End::reset);
}

void TcpConnection::take(std::uint32_t side, std::uint16_t bid, std::uint32_t size_bytes) {
  io::BufferRing& buffers = desk().buffers();
  Bytes bytes;
  buffers.consume(bid, size_bytes, [&](std::uint16_t, Bytes piece) { bytes = piece; });
  const std::uint32_t other = 1 - side;
  Socket& to_socket = sockets_[other];
  const bool thrown_away = leaving_ || !alive(sockets_[side]) || lost(other);
  if (!thrown_away && conversation_.plain(from(side)) && alive(to_socket) && !to_socket.sending &&
      desk().may_pin()) {
    to_socket.direct = true;
    to_socket.bid = bid;
    to_socket.size_bytes = size_bytes;
    desk().pin();
    return send(other, bytes);
  }
  if (!thrown_away) conversation_.take(from(side), now(), bytes);
  buffers.give_back(bid);
}

// ---- Writing

void TcpConnection::send(std::uint32_t side, Bytes bytes) {
  Socket& socket = sockets_[side];
  io_uring_sqe* const sqe = desk().next_sqe();
  io_uring_prep_send(sqe, socket.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  start(sqe, side, side == client ? send_client : send_server);
  socket.sending = true;
}

void TcpConnection::on_sent(std::uint32_t side, std::int32_t result) {
  Socket& socket = sockets_[side];
  socket.sending = false;
  const std::size_t sent = result > 0 ? static_cast<std::size_t>(result) : 0;
  if (socket.direct) {
    socket.direct = false;
    desk().unpin();
    io::BufferRing& buffers = desk().buffers();
    conversation_.passed(to(side), sent);
    if (sent < socket.size_bytes && result >= 0) {
      conversation_.put_back(to(side), now(),
                             {buffers.data(socket.bid) + sent, socket.size_bytes - sent});
    }
    buffers.give_back(socket.bid);
  } else if (sent > 0) {
    conversation_.written(to(side), now(), sent);
  }
  // The peer has gone. Reading tells how; what is on its way to it is worth nothing.
  if (result < 0 && result != -ECANCELED && result != -EINTR && result != -EAGAIN) {
    socket.broken = true;
    // It said its end before, and now answers bytes with RST: the other side learns it so.
    if (socket.ended && !leaving_ && alive(socket)) abandon();
  }
}

// ---- What happens next

bool TcpConnection::lost(std::uint32_t side) const {
  const Socket& socket = sockets_[side];
  return socket.broken || socket.phase == Phase::dropping || socket.phase == Phase::closed;
}

// False: the connection has ended meanwhile.
bool TcpConnection::pump_side(std::uint32_t side) {
  Socket& socket = sockets_[side];
  const std::uint32_t other = 1 - side;
  if (!leaving_ && alive(socket) && !socket.sending && !socket.broken && !socket.shut) {
    const Bytes bytes = conversation_.ready(to(side), now());
    if (!bytes.empty()) {
      send(side, bytes);
    } else {
      const End end = conversation_.end_due(to(side), now());
      if (end == End::reset) {
        abandon();
        return false;
      }
      if (end == End::fin) {
        ::shutdown(socket.fd, SHUT_WR);
        socket.shut = true;
      }
    }
  }
  const bool reads = alive(socket) || socket.phase == Phase::draining;
  const bool room = leaving_ || lost(other) || conversation_.wants(from(side));
  if (reads && !socket.receiving && !socket.ended && room) receive(side);
  return true;
}

void TcpConnection::pump() {
  if (finished_) return;
  if (!leaving_ && !follow(conversation_.verdict(now()))) return;
  if (!leaving_ && sockets_[server].phase == Phase::none && conversation_.may_connect(now())) {
    connect();
    if (finished_) return;
  }
  for (const std::uint32_t side : {client, server}) {
    if (!pump_side(side)) return;
  }
  if (over()) {
    for (const std::uint32_t side : {client, server}) drop(side, false);
    return finish();
  }
  const MonoNs at = leaving_ ? linger_until_ns_
                             : conversation_.wake_at(now(), sockets_[server].phase == Phase::none);
  wake(at);
}

// False: the connection has ended.
bool TcpConnection::follow(const Verdict& verdict) {
  const auto in = [&](std::uint32_t side) {
    return verdict.peer == Peer::both || verdict.peer == (side == client ? Peer::client
                                                                         : Peer::server);
  };
  switch (verdict.what) {
    case Verdict::What::go_on: return true;
    case Verdict::What::half_open:
      leaving_ = true;  // the other side is read, and nothing is told to it
      drop(in(client) ? client : server, true);
      break;
    case Verdict::What::reset:
    case Verdict::What::close: {
      leaving_ = true;
      const bool resets = verdict.what == Verdict::What::reset;
      for (const std::uint32_t side : {client, server}) leave(side, resets && in(side));
      linger_until_ns_ = now() + limits::linger_ns;
      break;
    }
  }
  if (!over()) return true;
  finish();
  return false;
}

void TcpConnection::leave(std::uint32_t side, bool reset) {
  Socket& socket = sockets_[side];
  if (reset || !alive(socket) || socket.ended) return drop(side, reset);
  ::shutdown(socket.fd, SHUT_WR);
  socket.shut = true;
  socket.phase = Phase::draining;
}

void TcpConnection::drop(std::uint32_t side, bool reset) {
  Socket& socket = sockets_[side];
  if (socket.phase == Phase::dropping || socket.phase == Phase::closed) return;
  if (socket.fd >= 0 && reset) {
    const linger now_gone{.l_onoff = 1, .l_linger = 0};
    desk().sys().set_option(socket.fd, SOL_SOCKET, SO_LINGER, &now_gone, sizeof now_gone);
  }
  socket.phase = Phase::dropping;
  if (socket.operations > 0) {
    desk().cancel_all(socket.fd, *this, side == client ? cancelling_client : cancelling_server);
    ++socket.operations;
  }
  close_if_idle(side);
}

void TcpConnection::close_if_idle(std::uint32_t side) {
  Socket& socket = sockets_[side];
  if (socket.phase != Phase::dropping || socket.operations > 0) return;
  socket.phase = Phase::closed;
  if (socket.fd >= 0) desk().sys().close(socket.fd);
  socket.fd = -1;
}

bool TcpConnection::over() const {
  const auto done = [&](std::uint32_t side) {
    const Socket& socket = sockets_[side];
    return socket.phase == Phase::dropping || socket.phase == Phase::closed ||
           socket.phase == Phase::none || socket.ended;
  };
  if (!done(client) || !done(server)) return false;
  if (leaving_) return true;
  // Everybody has said what there was to say; now it must have arrived, as far as it can.
  const auto told = [&](std::uint32_t side) {
    return conversation_.ended(from(side)) || lost(1 - side);
  };
  if (sockets_[server].phase == Phase::none) return conversation_.ended(Direction::up);
  return told(client) && told(server);
}

void TcpConnection::finish() {
  if (finished_) return;
  finished_ = true;
  owner_.on_over(*this);
}

}  // namespace ringgate::chaos
