// Ends waits of a sink's thread from another one: an eventfd that stays readable once stop() was
// called. Poll fd() for input beside whatever is waited for.
#pragma once

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>

#include "engine/base/check.hpp"

namespace ringgate::sink {

class StopSignal {
 public:
  StopSignal() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { RG_CHECK(fd_ >= 0); }
  ~StopSignal() { ::close(fd_); }
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  void stop() {
    stopped_.store(true, std::memory_order_release);
    const eventfd_t one = 1;
    static_cast<void>(::eventfd_write(fd_, one));
  }
  // Until stop(), or for so long.
  void wait(int timeout_ms) const {
    pollfd wait{fd_, POLLIN, 0};
    static_cast<void>(::poll(&wait, 1, timeout_ms));
  }
  bool stopped() const { return stopped_.load(std::memory_order_acquire); }
  int fd() const { return fd_; }

 private:
  std::atomic<bool> stopped_{false};
  int fd_;
};

}  // namespace ringgate::sink
