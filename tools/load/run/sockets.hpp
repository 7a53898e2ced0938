// Addresses and sockets of the coordinator: cold, any thread.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <string>

#include "engine/base/result.hpp"

namespace ringgate::load {

struct SocketAddress {
  sockaddr_storage address{};
  socklen_t bytes = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
};

// "HOST:PORT" or "[v6]:PORT"; `what` is named in errors: "--target 127.0.0.1: expected ...".
Result<SocketAddress> resolve_address(const std::string& text, const std::string& what);
// "127.0.0.1:7808".
std::string address_text(const SocketAddress& address);
void set_blocking(int fd, bool blocking);

// A descriptor that closes itself.
class OwnedFd {
 public:
  OwnedFd() = default;
  explicit OwnedFd(int fd) : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(other.release()) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept;
  ~OwnedFd() { reset(); }
  int get() const { return fd_; }
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void reset();
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

}  // namespace ringgate::load
