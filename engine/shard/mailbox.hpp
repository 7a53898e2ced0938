// Mail between threads: one bounded SPSC column per (producer, shard). Pushing copies bytes in,
// never blocks and never allocates; a full column is the sender's to handle. A receiver is woken
// only when it sleeps, by MSG_RING from shards and by an eventfd from other threads (or without
// MSG_RING).
//
// Producers 0 .. shards-1 are the shards themselves; higher numbers are control threads, each used
// by one thread only.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/base/bytes.hpp"
#include "engine/base/limits.hpp"
#include "engine/shard/shard.hpp"

namespace ringgate::shard {

enum class MailKind : std::uint16_t {
  wake,        // nothing but the wake-up: flags were set elsewhere
  link_move,   // net: a link changes its shard
  frame,       // net: a frame for a device whose home is the receiver
  frame_done,  // net: the home's answer
  reload,      // tools: changed settings
  datagram,    // net: a datagram for a device whose home is the receiver
  errand,      // a control thread wants something done
  count,
};

// One producer's bytes on their way to one shard.
class MailColumn {
 public:
  MailColumn() : data_(std::make_unique_for_overwrite<std::uint8_t[]>(limits::mail_column_bytes)) {}

  // Producer. The mail's bytes are `first` then `second`; false if there is no room now, or less
  // than `keep_bytes` would be left.
  bool push(MailKind kind, Bytes first, Bytes second, std::uint32_t keep_bytes = 0);

  // Consumer: hands up to `limit` mails to take(kind, Bytes). The bytes are valid during the call.
  template <class Take>
  std::uint32_t drain(std::uint32_t limit, Take&& take) {
    std::uint32_t head = head_.load(std::memory_order_relaxed);
    const std::uint32_t tail = tail_.load(std::memory_order_acquire);
    std::uint32_t taken = 0;
    while (head != tail && taken < limit) {
      const Header header = load_native<Header>(&data_[head & mask]);
      if (header.kind != skip) {
        take(static_cast<MailKind>(header.kind),
             Bytes{&data_[(head & mask) + sizeof(Header)], header.size_bytes});
        ++taken;
      }
      head += span_of(header.size_bytes);
      head_.store(head, std::memory_order_release);
    }
    return taken;
  }
  bool empty() const {
    return head_.load(std::memory_order_relaxed) == tail_.load(std::memory_order_acquire);
  }

 private:
  struct Header {
    std::uint32_t size_bytes;
    std::uint16_t kind;
    std::uint16_t unused;
  };
  static_assert(sizeof(Header) == 8);
  static constexpr std::uint16_t skip = 0xffff;  // filler up to the end of the column
  static constexpr std::uint32_t mask = limits::mail_column_bytes - 1;
  static_assert((limits::mail_column_bytes & mask) == 0);
  static_assert(limits::mail_bytes_max * 2 < limits::mail_column_bytes);
  static std::uint32_t span_of(std::uint32_t size_bytes) {
    return static_cast<std::uint32_t>(align_up(sizeof(Header) + size_bytes, sizeof(Header)));
  }

  alignas(64) std::atomic<std::uint32_t> tail_{0};  // producer
  std::uint32_t head_seen_ = 0;                     // producer's last look at head_
  alignas(64) std::atomic<std::uint32_t> head_{0};  // consumer
  std::unique_ptr<std::uint8_t[]> data_;
};

// "I am about to sleep": the one place where two threads must agree on an order (Dekker). Tested
// under ThreadSanitizer on its own.
class SleepFlag {
 public:
  // All three are read-modify-writes of one flag, so each sees what happened before the one whose
  // value it reads: a producer that reads `false` has its push seen by the receiver's next
  // announce().

  // Receiver: announce, then look at the columns once more before sleeping.
  void announce() { sleeping_.exchange(true, std::memory_order_acq_rel); }
  void clear() { sleeping_.exchange(false, std::memory_order_acq_rel); }
  // Producer, after its push: true if this producer, and no other, must wake the receiver.
  bool claim_wake() { return sleeping_.exchange(false, std::memory_order_acq_rel); }

 private:
  std::atomic<bool> sleeping_{false};
};

// All columns of the process. Built before the shards start, outlives them.
class MailHub {
 public:
  MailHub(ShardIndex shards, std::uint32_t control_producers);
  ~MailHub();
  MailHub(const MailHub&) = delete;
  MailHub& operator=(const MailHub&) = delete;

  ShardIndex shards() const { return shards_; }
  std::uint32_t producers() const { return producers_; }
  // The producer number of the n-th control thread.
  std::uint32_t control_producer(std::uint32_t n) const { return shards_ + n; }

  // From a control thread (it wakes the receiver at once). False: the column is full.
  bool post_from_control(std::uint32_t producer, ShardIndex to, MailKind kind, Bytes bytes);

 private:
  friend class MailRoom;
  struct Receiver {
    std::vector<std::unique_ptr<MailColumn>> columns;  // by producer
    SleepFlag sleep;
    std::atomic<int> ring_fd{-1};
    int event_fd = -1;
  };
  ShardIndex shards_;
  std::uint32_t producers_;
  std::vector<std::unique_ptr<Receiver>> receivers_;
};

class MailHandler {
 public:
  virtual ~MailHandler() = default;
  virtual void on_mail(MailKind kind, std::uint32_t producer, Bytes bytes) = 0;
};

// A shard's end of the hub: takes its mail once a turn and wakes those it wrote to. Must be the
// first hook of its shard.
class MailRoom final : public Hook, public CompletionHandler {
 public:
  MailRoom(Shard& shard, MailHub& hub);

  void handle(MailKind kind, MailHandler& handler) {
    handlers_[static_cast<std::size_t>(kind)] = &handler;
  }
  // False: the column is full; try again after a turn. Mail that may be dropped leaves `keep_bytes`
  // of the column to mail that may not.
  bool post(ShardIndex to, MailKind kind, Bytes first, Bytes second = {},
            std::uint32_t keep_bytes = 0);

  void before_wait() override;
  void before_enter() override;
  bool has_work() const override;
  void start_stop() override { stopping_ = true; }
  bool stopped() const override { return !read_armed_ || !stopping_; }
  void on_completion(std::uint64_t user_data, std::int32_t result, std::uint32_t flags) override;

 private:
  void wake(ShardIndex to);
  void arm_event_read();

  Shard& shard_;
  MailHub& hub_;
  MailHub::Receiver& self_;
  std::array<MailHandler*, static_cast<std::size_t>(MailKind::count)> handlers_{};
  std::vector<std::uint8_t> wrote_to_;  // by shard: 1 if a wake-up is owed
  bool owes_wakes_ = false;
  bool read_armed_ = false;
  bool stopping_ = false;
  std::uint64_t event_value_ = 0;
  std::uint64_t event_one_ = 1;
};

}  // namespace ringgate::shard
