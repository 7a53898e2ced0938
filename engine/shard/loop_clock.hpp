// Measures the turns of a shard's loop: from the ring's completions to the next entry of the ring.
// One clock read a turn. Lives on the shard; registered after all other hooks.
#pragma once

#include "engine/observe/counter.hpp"
#include "engine/shard/shard.hpp"

namespace ringgate::shard {

inline constexpr observe::MetricSpec loop_turn_seconds{
    .name = "ringgate_loop_turn_seconds",
    .help = "Time that a shard worked between two entries of its ring; its sum is how busy it is.",
    .kind = observe::MetricKind::histogram};

class LoopClock final : public Hook {
 public:
  LoopClock(Shard& shard, observe::CounterGroup& group)
      : shard_(shard), turns_(group.histogram(loop_turn_seconds)) {
    shard.add_hook(*this);
  }
  void before_enter() override { turns_.record(shard_.sys().mono_now() - shard_.now()); }

 private:
  Shard& shard_;
  observe::Histogram& turns_;
};

}  // namespace ringgate::shard
