// Memory by our own byte accounting, not by RSS: what a shard's links hold (spills, reply chunks,
// link and device entries) against its share of `memory.limit`. Levels tell the rooms what to give
// up.
//
// One per shard, used only there.
#pragma once

#include <cstdint>

#include "engine/base/check.hpp"

namespace ringgate::flow {

enum class MemoryLevel : std::uint8_t {
  normal = 0,
  trim = 1,    // caches go back to the allocator; credit per link shrinks
  pause = 2,   // no new links; links that hold spilled bytes are not read
  shed = 3,    // subscribers' queues are cut (nothing to cut without subscribers)
  refuse = 4,  // at the limit
};

class Budget {
 public:
  // `limit_bytes`: this shard's share. 0: no limit.
  explicit Budget(std::uint64_t limit_bytes) : limit_bytes_(limit_bytes) {}

  void charge(std::uint64_t bytes) { used_bytes_ += bytes; }
  void release(std::uint64_t bytes) {
    RG_CHECK(used_bytes_ >= bytes);
    used_bytes_ -= bytes;
  }
  std::uint64_t used_bytes() const { return used_bytes_; }
  std::uint64_t limit_bytes() const { return limit_bytes_; }

  // Called once a turn. A level is entered at its threshold and left 5 % below it, so that a shard
  // at the edge does not flap.
  MemoryLevel update() {
    if (limit_bytes_ == 0) return level_ = MemoryLevel::normal;
    const MemoryLevel rising = level_at(used_bytes_);
    if (rising > level_) return level_ = rising;
    const MemoryLevel falling = level_at(used_bytes_ + limit_bytes_ / 20);
    if (falling < level_) level_ = falling;
    return level_;
  }
  MemoryLevel level() const { return level_; }

 private:
  MemoryLevel level_at(std::uint64_t bytes) const {
    if (bytes >= limit_bytes_) return MemoryLevel::refuse;
    if (bytes >= limit_bytes_ / 100 * 95) return MemoryLevel::shed;
    if (bytes >= limit_bytes_ / 100 * 85) return MemoryLevel::pause;
    if (bytes >= limit_bytes_ / 100 * 70) return MemoryLevel::trim;
    return MemoryLevel::normal;
  }

  std::uint64_t limit_bytes_;
  std::uint64_t used_bytes_ = 0;
  MemoryLevel level_ = MemoryLevel::normal;
};

}  // namespace ringgate::flow
