// One TCP connection through a proxy: two sockets, and a Conversation that says what may pass.
// Lives on the desk's thread, owned by its relay until it ends.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>

#include "tools/chaos/conversation.hpp"
#include "tools/chaos/desk.hpp"

namespace ringgate::chaos {

struct ServerAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* address() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

class TcpConnection;
// Who is told that a connection is over.
class ConnectionOwner {
 public:
  virtual ~ConnectionOwner() = default;
  virtual void on_over(TcpConnection& connection) = 0;
  virtual void on_target_failed(int error) = 0;
  virtual const ServerAddress& target() const = 0;
};

class TcpConnection final : public Operand {
 public:
  TcpConnection(Desk& desk, ConnectionOwner& owner, int client_fd, const ArmedRules& rules,
                std::uint64_t number, std::size_t buffer_bytes, Traffic& traffic);
  ~TcpConnection() override;

  // Once, after construction.
  void begin();
  void adopt(const ArmedRules& rules);
  // The proxy goes: both sides are reset.
  void abandon();
  // A rule did not let it begin.
  bool was_refused() const { return conversation_.refused(); }
  std::size_t place = 0;  // in its owner's list

  void on_done(std::uint8_t op, std::int32_t result, std::uint32_t flags) override;
  void on_due() override;

 private:
  enum Op : std::uint8_t { receive_client, receive_server, send_client, send_server, connecting,
                           cancelling_client, cancelling_server };
  enum class Phase : std::uint8_t {
    none,      // the server's, before there is a connection
    opening,   // connect is under way
    open,
    draining,  // our FIN is out; what comes is thrown away until the peer's
    dropping,  // closes when its operations are back
    closed,
  };
  static constexpr std::uint32_t client = 0, server = 1;
  struct Socket {
    int fd = -1;
    std::uint32_t operations = 0;
    Phase phase = Phase::none;
    bool receiving = false;
    bool sending = false;
    bool ended = false;   // it has sent its FIN, or is broken
    bool broken = false;  // nothing can be written to it any more
    bool shut = false;    // our FIN is out
    // Being written from the buffer that it was read into; else from the conversation's queue.
    bool direct = false;
    std::uint16_t bid = 0;
    std::uint32_t size_bytes = 0;
  };

  static constexpr Direction from(std::uint32_t side) {
    return side == client ? Direction::up : Direction::down;
  }
  static constexpr Direction to(std::uint32_t side) {
    return side == client ? Direction::down : Direction::up;
  }
  bool alive(const Socket& socket) const { return socket.phase == Phase::open; }
  // Nobody is behind it who could be told anything.
  bool lost(std::uint32_t side) const;

  void start(io_uring_sqe* sqe, std::uint32_t side, Op op);
  void connect();
  void on_connected(std::int32_t result);
  void receive(std::uint32_t side);
  void on_received(std::uint32_t side, std::int32_t result, std::uint32_t flags);
  void take(std::uint32_t side, std::uint16_t bid, std::uint32_t size_bytes);
  void send(std::uint32_t side, Bytes bytes);
  void on_sent(std::uint32_t side, std::int32_t result);
  void pump();
  bool pump_side(std::uint32_t side);
  bool follow(const Verdict& verdict);
  void leave(std::uint32_t side, bool reset);
  void drop(std::uint32_t side, bool reset);
  void close_if_idle(std::uint32_t side);
  bool over() const;
  void finish();

  ConnectionOwner& owner_;
  Conversation conversation_;
  std::array<Socket, 2> sockets_;
  MonoNs linger_until_ns_ = Schedule::never;
  bool leaving_ = false;    // no bytes pass any more
  bool finished_ = false;
};

}  // namespace ringgate::chaos
