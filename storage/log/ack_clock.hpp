// Measures how long acknowledgements wait: from the turn in which a shard received what it logged
// to the commit that lets the replies go. One value for each turn that logged anything, so a busy
// shard pays it once for hundreds of frames. Lives on the shard.
#pragma once

#include <array>

#include "engine/flow/watermark.hpp"
#include "engine/observe/counter.hpp"
#include "engine/shard/shard.hpp"
#include "storage/log/writer.hpp"

namespace ringgate::log {

inline constexpr observe::MetricSpec ack_seconds{
    .name = "ringgate_ack_seconds",
    .help = "Time from receiving what is logged until it is durable and its replies may leave.",
    .kind = observe::MetricKind::histogram};

class AckClock final : public shard::Hook, public flow::CommitListener {
 public:
  AckClock(shard::Shard& shard, const Writer& writer, observe::CounterGroup& group)
      : shard_(shard), writer_(writer), waits_(group.histogram(ack_seconds)) {
    shard.add_hook(*this);
    shard.watermark().listen(*this);
  }

  void before_enter() override {
    const Position appended = writer_.appended();
    // Full only where a write hangs for a thousand turns; the oldest of them tell of it.
    if (appended == last_ || tail_ - head_ == turns_.size()) return;
    last_ = appended;
    turns_[tail_++ % turns_.size()] = {appended, shard_.now()};
  }
  void on_commit(Position committed) override {
    const MonoNs now = shard_.sys().mono_now();
    for (; head_ != tail_ && turns_[head_ % turns_.size()].position <= committed; ++head_) {
      waits_.record(now - turns_[head_ % turns_.size()].received_ns);
    }
  }
  void on_log_state(flow::LogState) override {}

 private:
  struct Turn {
    Position position;
    MonoNs received_ns;
  };
  shard::Shard& shard_;
  const Writer& writer_;
  observe::Histogram& waits_;
  std::array<Turn, 1024> turns_{};
  std::uint32_t head_ = 0;
  std::uint32_t tail_ = 0;
  Position last_ = 0;
};

}  // namespace ringgate::log
