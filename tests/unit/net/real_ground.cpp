// Links on the real ring and real sockets.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "tests/unit/net/stage.hpp"
#include "tests/unit/shard/manual_sys.hpp"

namespace ringgate::unit {

namespace {

class RealFar final : public Far {
 public:
  explicit RealFar(int fd) : fd_(fd) {}
  ~RealFar() override {
    if (fd_ >= 0) ::close(fd_);
  }
  RealFar(const RealFar&) = delete;
  RealFar& operator=(const RealFar&) = delete;

  void send(std::string_view text) override {
    unsent_ += text;
    flush();
  }
  std::string take() override {
    flush();
    std::string text;
    char bytes[65536];
    while (fd_ >= 0) {
      const ssize_t got = ::recv(fd_, bytes, sizeof bytes, MSG_DONTWAIT);
      if (got < 0) {
        reset_ = reset_ || errno == ECONNRESET;
        break;
      }
      if (got == 0) {
        ended_ = true;
        break;
      }
      text.append(bytes, static_cast<std::size_t>(got));
    }
    return text;
  }
  void shut() override {
    flush();
    REQUIRE(unsent_.empty());
    ::shutdown(fd_, SHUT_WR);
  }
  void reset() override {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    REQUIRE(::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0);
    ::close(fd_);
    fd_ = -1;
  }
  bool ended() override {
    static_cast<void>(peek());
    return ended_;
  }
  bool was_reset() override {
    static_cast<void>(peek());
    return reset_;
  }

 private:
  void flush() {
    if (unsent_.empty() || fd_ < 0) return;
    const ssize_t sent =
        ::send(fd_, unsent_.data(), unsent_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) unsent_.erase(0, static_cast<std::size_t>(sent));
    if (sent < 0 && errno != EAGAIN) unsent_.clear();
  }
  bool peek() {
    char byte = 0;
    const ssize_t got = fd_ < 0 ? -1 : ::recv(fd_, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
    if (got == 0) ended_ = true;
    if (got < 0 && errno == ECONNRESET) reset_ = true;
    return got > 0;
  }

  int fd_;
  std::string unsent_;
  bool ended_ = false;
  bool reset_ = false;
};

class RealFarDatagrams final : public FarDatagrams {
 public:
  explicit RealFarDatagrams(int fd) : fd_(fd) {}
  ~RealFarDatagrams() override { ::close(fd_); }
  RealFarDatagrams(const RealFarDatagrams&) = delete;
  RealFarDatagrams& operator=(const RealFarDatagrams&) = delete;
  void send(std::string_view text) override {
    REQUIRE(::send(fd_, text.data(), text.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(text.size()));
  }
  std::vector<std::string> take() override {
    std::vector<std::string> all;
    char bytes[65536];
    for (;;) {
      const ssize_t got = ::recv(fd_, bytes, sizeof bytes, MSG_DONTWAIT);
      if (got < 0) return all;
      all.emplace_back(bytes, static_cast<std::size_t>(got));
    }
  }

 private:
  int fd_;
};

class RealGround final : public Ground {
 public:
  io::Sys& sys() override { return sys_; }
  std::unique_ptr<io::Backend> make_backend() override { return io::make_uring_backend(); }
  MonoNs turn_ns() const override { return ns_per_ms; }
  int too_many_bytes() const override { return 16'000'000; }
  void advance(MonoNs by) override { sys_.advance(by); }
  std::unique_ptr<Far> connect(std::uint16_t port) override {
    return std::make_unique<RealFar>(connected(SOCK_STREAM, port));
  }
  std::unique_ptr<FarDatagrams> open_datagrams(std::uint16_t port) override {
    return std::make_unique<RealFarDatagrams>(connected(SOCK_DGRAM, port));
  }

 private:
  static int connected(int type, std::uint16_t port) {
    const int fd = ::socket(AF_INET, type | SOCK_CLOEXEC, 0);
    REQUIRE(fd >= 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    REQUIRE(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    return fd;
  }

  ManualSys sys_;
};

}  // namespace

std::unique_ptr<Ground> make_real_ground() { return std::make_unique<RealGround>(); }

}  // namespace ringgate::unit
