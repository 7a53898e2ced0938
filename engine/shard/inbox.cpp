#include "engine/shard/inbox.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

#include "engine/base/check.hpp"

namespace ringgate::shard {

Inbox::Inbox() : event_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { RG_CHECK(event_fd_ >= 0); }

Inbox::~Inbox() {
  for (Letter* letter = take_list(); letter != nullptr;) {
    const std::unique_ptr<Letter> owned(letter);
    letter = letter->next_;
  }
  ::close(event_fd_);
}

void Inbox::push(std::unique_ptr<Letter> letter) {
  Letter* const pushed = letter.release();
  Letter* top = top_.load(std::memory_order_relaxed);
  do {
    pushed->next_ = top;
  } while (!top_.compare_exchange_weak(top, pushed, std::memory_order_release,
                                       std::memory_order_relaxed));
  if (top == nullptr) wake();
}

void Inbox::wake() {
  const std::uint64_t one = 1;
  // Cannot fail: the counter is far from its limit and the fd lives as long as the inbox.
  RG_CHECK(::write(event_fd_, &one, sizeof one) == sizeof one);
}

// All letters, oldest first.
Letter* Inbox::take_list() {
  Letter* newest = top_.exchange(nullptr, std::memory_order_acquire);
  Letter* oldest = nullptr;
  while (newest != nullptr) {
    Letter* const older = newest->next_;
    newest->next_ = oldest;
    oldest = newest;
    newest = older;
  }
  return oldest;
}

std::size_t Inbox::take() {
  // Before the list: whoever pushes onto an empty one from here on makes it readable again.
  std::uint64_t count = 0;
  static_cast<void>(::read(event_fd_, &count, sizeof count));  // EAGAIN: nobody woke us
  std::size_t taken = 0;
  for (Letter* letter = take_list(); letter != nullptr; ++taken) {
    const std::unique_ptr<Letter> owned(letter);
    letter = letter->next_;
    owned->arrive();
  }
  return taken;
}

}  // namespace ringgate::shard
