#include "tests/unit/io/rig.hpp"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

namespace ringgate::io::test {
namespace {

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

class RealFar final : public Far {
 public:
  explicit RealFar(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const sockaddr_in address = loopback(port);
    const bool connected =
        ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    REQUIRE(connected);
  }
  ~RealFar() override { ::close(fd_); }
  RealFar(const RealFar&) = delete;
  RealFar& operator=(const RealFar&) = delete;

  void send(Bytes bytes) override {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    REQUIRE(sent == static_cast<ssize_t>(bytes.size()));
  }
  std::vector<std::uint8_t> take() override {
    std::vector<std::uint8_t> all;
    std::uint8_t buffer[65536];
    for (;;) {
      const ssize_t got = ::recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
      if (got > 0) {
        all.insert(all.end(), buffer, buffer + got);
        continue;
      }
      if (got == 0 || errno != EAGAIN) ended_ = true;
      return all;
    }
  }
  void shut_write() override { ::shutdown(fd_, SHUT_WR); }
  void reset() override {
    const linger now{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    ::close(fd_);
    fd_ = -1;
  }
  bool ended() override { return ended_; }

 private:
  int fd_;
  bool ended_ = false;
};

class RealFarDatagrams final : public FarDatagrams {
 public:
  explicit RealFarDatagrams(std::uint16_t port)
      : fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    const sockaddr_in address = loopback(port);
    const bool connected =
        ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    REQUIRE(connected);
  }
  ~RealFarDatagrams() override { ::close(fd_); }
  RealFarDatagrams(const RealFarDatagrams&) = delete;
  RealFarDatagrams& operator=(const RealFarDatagrams&) = delete;

  std::uint16_t port() override {
    sockaddr_in address{};
    socklen_t size_bytes = sizeof address;
    REQUIRE(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size_bytes) == 0);
    return ntohs(address.sin_port);
  }
  void send(Bytes bytes) override {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    REQUIRE(sent == static_cast<ssize_t>(bytes.size()));
  }
  std::vector<std::vector<std::uint8_t>> take() override {
    std::vector<std::vector<std::uint8_t>> all;
    std::uint8_t buffer[65536];
    for (;;) {
      const ssize_t got = ::recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
      if (got < 0) return all;
      all.emplace_back(buffer, buffer + got);
    }
  }

 private:
  int fd_;
};

class SimFarDatagrams final : public FarDatagrams {
 public:
  explicit SimFarDatagrams(DatagramPeer peer) : peer_(peer) {}
  ~SimFarDatagrams() override { peer_.close(); }
  SimFarDatagrams(const SimFarDatagrams&) = delete;
  SimFarDatagrams& operator=(const SimFarDatagrams&) = delete;
  std::uint16_t port() override { return peer_.port(); }
  void send(Bytes bytes) override { peer_.send(bytes); }
  std::vector<std::vector<std::uint8_t>> take() override { return peer_.take(); }

 private:
  DatagramPeer peer_;
};

class SimFar final : public Far {
 public:
  explicit SimFar(Peer peer) : peer_(peer) {}
  void send(Bytes bytes) override { peer_.send(bytes); }
  std::vector<std::uint8_t> take() override { return peer_.take(); }
  void shut_write() override { peer_.shutdown(); }
  void reset() override { peer_.reset(); }
  bool ended() override { return peer_.ended() || peer_.was_reset(); }

 private:
  Peer peer_;
};

class RealRig : public Rig {
 public:
  RealRig() {
    char name[] = "/var/tmp/ringgate-io-XXXXXX";  // a disk rather than memory, for O_DIRECT
    REQUIRE(::mkdtemp(name) != nullptr);
    directory_ = name;
  }
  ~RealRig() override {
    close_ring();
    std::filesystem::remove_all(directory_);
  }
  Sys& sys() override { return real_sys(); }
  std::unique_ptr<Backend> make_backend() override { return make_uring_backend(); }
  std::unique_ptr<Far> connect(std::uint16_t port) override {
    return std::make_unique<RealFar>(port);
  }
  std::unique_ptr<FarDatagrams> open_datagrams(std::uint16_t port) override {
    return std::make_unique<RealFarDatagrams>(port);
  }
  std::string directory() override { return directory_; }

 private:
  std::string directory_;
};

class RecordRig final : public RealRig {
 public:
  RecordRig() : recorder_(real_sys(), RealRig::directory()) {}
  ~RecordRig() override { close_ring(); }
  Sys& sys() override { return recorder_.sys(); }
  std::unique_ptr<Backend> make_backend() override { return recorder_.wrap(make_uring_backend()); }

 private:
  Recorder recorder_;
};

class SimRig final : public Rig {
 public:
  explicit SimRig(std::uint64_t seed) : world_(SimOptions{.seed = seed}) {
    world_.sys().make_directory("/data", 0700);
  }
  ~SimRig() override { close_ring(); }
  Sys& sys() override { return world_.sys(); }
  std::unique_ptr<Backend> make_backend() override { return world_.make_backend(); }
  std::unique_ptr<Far> connect(std::uint16_t port) override {
    return std::make_unique<SimFar>(world_.connect_ipv4(port));
  }
  std::unique_ptr<FarDatagrams> open_datagrams(std::uint16_t port) override {
    return std::make_unique<SimFarDatagrams>(world_.open_datagrams_ipv4(port));
  }
  std::string directory() override { return "/data"; }
  World* world() override { return &world_; }

 private:
  World world_;
};

}  // namespace

std::unique_ptr<Rig> Rig::make(Kind kind, std::uint32_t without, RingOptions options) {
  std::unique_ptr<Rig> rig;
  switch (kind) {
    case Kind::uring:
      rig = std::make_unique<RealRig>();
      break;
    case Kind::record:
      rig = std::make_unique<RecordRig>();
      break;
    case Kind::sim:
      rig = std::make_unique<SimRig>(without + 1);
      break;
  }
  options.without = without;
  rig->open_ring(options);
  return rig;
}

void Rig::open_ring(RingOptions options) {
  Result<std::unique_ptr<Ring>> opened = Ring::open(make_backend(), options);
  if (!opened) FAIL(opened.error().message);
  ring_ = std::move(*opened);
}

std::uint32_t Rig::turn() {
  REQUIRE(ring_->submit_and_wait(1, 5 * ns_per_ms) == 0);
  std::uint32_t count = 0;
  io_uring_cqe cqe;
  while (ring_->drain(&cqe, 1) == 1) {
    seen.push_back({cqe.user_data, cqe.res, cqe.flags});
    ++count;
  }
  return count;
}

bool Rig::seen_any(std::uint64_t data) const {
  for (const Completion& one : seen) {
    if (one.user_data == data) return true;
  }
  return false;
}

bool Rig::wait_for(std::uint64_t data, Completion& out) {
  if (!until([&] { return seen_any(data); })) return false;
  for (std::size_t i = 0; i < seen.size(); ++i) {
    if (seen[i].user_data != data) continue;
    out = seen[i];
    seen.erase(seen.begin() + static_cast<std::ptrdiff_t>(i));
    return true;
  }
  return false;
}

std::vector<std::uint8_t> pattern(std::size_t size_bytes, std::uint32_t salt) {
  std::vector<std::uint8_t> bytes(size_bytes);
  std::uint32_t state = salt * 2654435761U + 12345;
  for (std::uint8_t& byte : bytes) {
    state = state * 1664525U + 1013904223U;
    byte = static_cast<std::uint8_t>(state >> 24);
  }
  return bytes;
}

Listener listen(Rig& rig, int backlog) {
  Listener listener;
  listener.fd = rig.sys().socket(AF_INET, SOCK_STREAM, 0);
  REQUIRE(listener.fd >= 0);
  const sockaddr_in address = loopback(0);
  REQUIRE(rig.sys().bind(listener.fd, reinterpret_cast<const sockaddr*>(&address),
                         sizeof address) == 0);
  REQUIRE(rig.sys().listen(listener.fd, backlog) == 0);
  sockaddr_storage local{};
  REQUIRE(rig.sys().local_address(listener.fd, local) == 0);
  listener.port = ntohs(reinterpret_cast<const sockaddr_in&>(local).sin_port);
  REQUIRE(listener.port != 0);
  return listener;
}

Listener bind_datagrams(Rig& rig, std::uint16_t port, bool share) {
  Listener socket;
  socket.fd = rig.sys().socket(AF_INET, SOCK_DGRAM, 0);
  REQUIRE(socket.fd >= 0);
  const int one = share ? 1 : 0;
  REQUIRE(rig.sys().set_option(socket.fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) == 0);
  const sockaddr_in address = loopback(port);
  REQUIRE(rig.sys().bind(socket.fd, reinterpret_cast<const sockaddr*>(&address),
                         sizeof address) == 0);
  sockaddr_storage local{};
  REQUIRE(rig.sys().local_address(socket.fd, local) == 0);
  socket.port = ntohs(reinterpret_cast<const sockaddr_in&>(local).sin_port);
  REQUIRE(socket.port != 0);
  return socket;
}

Connection accept_one(Rig& rig, const Listener& listener) {
  constexpr std::uint64_t accept_id = user_data(Tag::accept, 1, 1);
  Connection connection;
  connection.far = rig.connect(listener.port);
  io_uring_sqe* sqe = rig.ring().next_sqe();
  io_uring_prep_accept(sqe, listener.fd, nullptr, nullptr, SOCK_CLOEXEC);
  sqe->user_data = accept_id;
  Completion accepted;
  REQUIRE(rig.wait_for(accept_id, accepted));
  REQUIRE(accepted.result >= 0);
  connection.fd = accepted.result;
  return connection;
}

void close_fd(Rig& rig, int fd) {
  constexpr std::uint64_t close_id = user_data(Tag::close, 1, 1);
  io_uring_sqe* sqe = rig.ring().next_sqe();
  io_uring_prep_close(sqe, fd);
  sqe->user_data = close_id;
  Completion closed;
  REQUIRE(rig.wait_for(close_id, closed));
  CHECK(closed.result == 0);
}

}  // namespace ringgate::io::test
