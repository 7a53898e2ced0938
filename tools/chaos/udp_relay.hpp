// The UDP side of a proxy: one socket for the clients, and for each of their addresses one that is
// connected to the server. On the desk's thread, owned by its Proxy.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/config/listen_address.hpp"
#include "tools/chaos/correspondence.hpp"
#include "tools/chaos/desk.hpp"
#include "tools/chaos/proxy_state.hpp"

namespace ringgate::chaos {

class UdpRelay;

// A datagram on its way into the kernel. Pooled by its relay, ends with it.
class UdpSend final : public Operand {
 public:
  UdpSend(Desk& desk, UdpRelay& relay) : Operand(desk), relay_(&relay) {}
  // `to`: null where `fd` is connected. The datagram is copied.
  void send(int fd, const sockaddr_storage* to, Direction direction, Bytes datagram);
  void on_done(std::uint8_t op, std::int32_t result, std::uint32_t flags) override;
  void forget_relay() { relay_ = nullptr; }

 private:
  UdpRelay* relay_;
  Direction direction_ = Direction::up;
  msghdr message_{};
  iovec part_{};
  sockaddr_storage to_{};
  std::vector<std::uint8_t> bytes_;
};

// One client's address.
class UdpSession final : public Operand {
 public:
  UdpSession(Desk& desk, UdpRelay& relay, const sockaddr_storage& client, int fd,
             std::uint64_t number);
  ~UdpSession() override;
  void begin() { receive(); }
  void adopt(const ArmedRules& rules);
  void take(Direction direction, Bytes datagram);
  void close();
  const sockaddr_storage& client() const { return client_; }

  void on_done(std::uint8_t op, std::int32_t result, std::uint32_t flags) override;
  void on_due() override;

 private:
  enum Op : std::uint8_t { receiving, cancelling };
  void receive();
  void pump();
  void send(Direction direction, Bytes datagram);

  UdpRelay& relay_;
  sockaddr_storage client_;
  int fd_;
  MonoNs heard_ns_;
  bool receiving_ = false;
  Correspondence correspondence_;
  std::vector<std::uint8_t> datagram_;
};

class UdpRelay final : public Operand {
 public:
  static Result<std::unique_ptr<UdpRelay>> open(Desk& desk, ProxyState& state,
                                                const config::ListenAddress& address);
  ~UdpRelay() override;

  void begin() { receive(); }
  void adopt();
  void close();
  const std::string& address() const { return address_; }
  std::size_t sessions() const { return sessions_.size(); }

  void on_done(std::uint8_t op, std::int32_t result, std::uint32_t flags) override;
  void on_due() override { receive(); }

  // Of its sessions and sends.
  ProxyState& state() { return state_; }
  int fd() const { return fd_; }
  bool closing() const { return closing_; }
  void send(int fd, const sockaddr_storage* to, Direction direction, Bytes datagram);
  void sent(UdpSend& send, Direction direction, bool well);
  void forget(UdpSession& session);

 private:
  enum Op : std::uint8_t { receiving, cancelling };

  UdpRelay(Desk& desk, ProxyState& state, int fd, io::BufferRing& buffers);
  void receive();
  void on_received(std::int32_t result, std::uint32_t flags);
  void take(const sockaddr_storage& from, Bytes datagram);
  UdpSession* session_of(const sockaddr_storage& from);

  ProxyState& state_;
  io::BufferRing& buffers_;
  int fd_;
  std::string address_;
  bool armed_ = false;
  bool closing_ = false;
  msghdr message_{};
  sockaddr_storage from_{};             // without multishot
  iovec part_{};
  std::vector<std::uint8_t> datagram_;  // likewise
  std::unordered_map<std::string, std::unique_ptr<UdpSession>> sessions_;
  std::vector<std::unique_ptr<UdpSend>> sends_;
  std::vector<UdpSend*> free_sends_;
};

}  // namespace ringgate::chaos
