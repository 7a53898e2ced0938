// Tells from outside whether loops turn. Whoever watches asks; each member answers from within its
// loop; a member that has not answered has not turned since. Asking wakes nobody: the watcher does
// that by the member's own mail, so that an answer also proves that mail arrives.
//
// Life: outlives its members. The members are counted before any thread starts.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/shard/shard.hpp"

namespace ringgate::shard {

class Pulse {
 public:
  explicit Pulse(std::vector<std::string> names)
      : names_(std::move(names)), members_(std::make_unique<Member[]>(names_.size())) {}

  std::size_t size() const { return names_.size(); }
  const std::string& name(std::size_t member) const { return names_[member]; }

  // The watcher's thread ------------------------------------------------------------------------

  // A new question to all. An answer to an older one does not count any more.
  void ask() { asked_.fetch_add(1, std::memory_order_release); }
  // Whether this member has turned since the last ask(), or has ended.
  bool answered(std::size_t member) const {
    return members_[member].answer.load(std::memory_order_acquire) >=
           asked_.load(std::memory_order_relaxed);
  }

  // The member's thread -------------------------------------------------------------------------

  // Once a turn; writes only where there is a new question.
  void answer(std::size_t member) {
    const std::uint64_t asked = asked_.load(std::memory_order_acquire);
    std::atomic<std::uint64_t>& place = members_[member].answer;
    if (place.load(std::memory_order_relaxed) < asked) {
      place.store(asked, std::memory_order_release);
    }
  }
  // The loop has ended as it should: from now on it has always answered.
  void leave(std::size_t member) {
    members_[member].answer.store(UINT64_MAX, std::memory_order_release);
  }

 private:
  // A cache line each: a shard's turn shares none with another's.
  struct alignas(64) Member {
    std::atomic<std::uint64_t> answer{0};
  };
  std::vector<std::string> names_;
  alignas(64) std::atomic<std::uint64_t> asked_{0};
  std::unique_ptr<Member[]> members_;
};

// A shard's answers. Lives on the shard.
class PulseHook final : public Hook {
 public:
  PulseHook(Shard& shard, Pulse& pulse, std::size_t member) : pulse_(pulse), member_(member) {
    shard.add_hook(*this);
  }
  void before_wait() override { pulse_.answer(member_); }

 private:
  Pulse& pulse_;
  std::size_t member_;
};

}  // namespace ringgate::shard
