// What comes back to a control thread (the control socket's, the API's): letters from any thread,
// pushed onto a list without locks; an eventfd wakes the one thread that reads them.
//
// Life: outlives every thread that may push. Letters that nobody took end with it, unread.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

namespace ringgate::shard {

class Letter {
 public:
  virtual ~Letter() = default;
  // On the inbox's thread; the letter ends afterwards.
  virtual void arrive() = 0;

 private:
  friend class Inbox;
  Letter* next_ = nullptr;
};

class Inbox {
 public:
  Inbox();
  ~Inbox();
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;

  // Any thread. No lock; a system call only where the inbox was empty.
  void push(std::unique_ptr<Letter> letter);
  // Any thread: makes fd() readable without a letter.
  void wake();

  // The inbox's thread ----------------------------------------------------------------------

  // Readable when something has come; only for poll and epoll.
  int fd() const { return event_fd_; }
  // Lets every letter that has come arrive, in the order in which one thread pushed them. Returns
  // how many.
  std::size_t take();

 private:
  Letter* take_list();

  std::atomic<Letter*> top_{nullptr};  // newest first
  int event_fd_ = -1;
};

}  // namespace ringgate::shard
