// Where everything of the proxy that has operations on the ring or a deadline is enrolled: it hands
// completions and deadlines on, and keeps what ends until its last operation is back. One, on the
// tool's one shard and thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/io/ring.hpp"
#include "engine/shard/shard.hpp"
#include "tools/chaos/rule.hpp"

namespace ringgate::chaos {

class Desk;

// Enrolled by its construction; ends by Desk::bury(), never directly.
class Operand {
 public:
  explicit Operand(Desk& desk);
  virtual ~Operand();
  Operand(const Operand&) = delete;
  Operand& operator=(const Operand&) = delete;

  // `op` as in Desk::submit(); the other two as in io_uring_cqe.
  virtual void on_done(std::uint8_t op, std::int32_t result, std::uint32_t flags) = 0;
  // The time that wake() named has come, or is near: it may come early.
  virtual void on_due() {}

 protected:
  Desk& desk() const { return desk_; }
  MonoNs now() const;
  // Asks for on_due() at `at`, or before; Schedule::never asks for nothing.
  void wake(MonoNs at);
  bool buried() const { return buried_; }

 private:
  friend class Desk;
  Desk& desk_;
  std::uint32_t slot_ = 0;
  std::uint32_t outstanding_ = 0;
  MonoNs wake_ns_ = Schedule::never;
  bool buried_ = false;
};

class Desk final : public shard::CompletionHandler, public shard::Hook {
 public:
  static Result<std::unique_ptr<Desk>> create(shard::Shard& shard);
  ~Desk() override;

  shard::Shard& shard() { return shard_; }
  io::Sys& sys() { return shard_.sys(); }
  io_uring_sqe* next_sqe() { return shard_.ring().next_sqe(); }
  // `sqe` is prepared: its completions go to `operand` with `op`. The last of a multishot's has no
  // IORING_CQE_F_MORE.
  void submit(io_uring_sqe* sqe, Operand& operand, std::uint8_t op);
  // Ends all operations on a socket; they complete with -ECANCELED.
  void cancel_all(int fd, Operand& operand, std::uint8_t op);

  // Takes what has ended: it dies once its operations are back.
  void bury(std::unique_ptr<Operand> operand);
  bool all_dead() const { return buried_.empty(); }

  // Sockets that listen, or did and are not closed yet: counted by who has them.
  std::size_t& listening() { return listening_; }

  // Buffers of reads of TCP, and how many of them wait to be written.
  io::BufferRing& buffers() { return *buffers_; }
  bool may_pin() const { return pinned_ < pinned_max; }
  void pin() { ++pinned_; }
  void unpin() { --pinned_; }
  // Of datagrams; null: no memory for them.
  io::BufferRing* datagram_buffers();

  // Called by the main loop before each turn: deadlines that have come.
  void advance();
  // How long the turn may sleep.
  MonoNs sleep_budget(MonoNs longest_ns) const;

  // Called by the loop.
  void on_completion(std::uint64_t user_data, std::int32_t result, std::uint32_t flags) override;
  void before_enter() override;
  bool stopped() const override { return enrolled_ == 0; }

 private:
  friend class Operand;
  static constexpr std::uint32_t pinned_max = 256;
  struct Place {
    Operand* operand = nullptr;
    std::uint16_t generation = 0;
  };
  struct Deadline {
    MonoNs at_ns;
    std::uint32_t slot;
    std::uint16_t generation;
  };

  Desk(shard::Shard& shard, std::unique_ptr<io::BufferRing> buffers);
  void enroll(Operand& operand);
  void retire(Operand& operand);
  void wake(Operand& operand, MonoNs at);
  static bool later(const Deadline& a, const Deadline& b) { return a.at_ns > b.at_ns; }

  shard::Shard& shard_;
  std::unique_ptr<io::BufferRing> buffers_;
  std::unique_ptr<io::BufferRing> datagram_buffers_;
  std::vector<Place> places_;
  std::vector<std::uint32_t> free_places_;
  std::uint32_t enrolled_ = 0;
  std::uint32_t pinned_ = 0;
  std::size_t listening_ = 0;
  std::vector<Deadline> deadlines_;  // a heap: the next on top
  std::vector<std::unique_ptr<Operand>> buried_;
};

}  // namespace ringgate::chaos
