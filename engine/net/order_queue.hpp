// The order of answers on a link whose frames went to several shards. One per such link, on its
// shard.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/base/check.hpp"
#include "engine/base/ids.hpp"
#include "engine/base/limits.hpp"

namespace ringgate::net {

struct OrderedFrame {
  enum class State : std::uint8_t { remote, local, taken, refused };
  Position position = 0;  // of the latest frame logged here, up to this one
  std::uint32_t cookie = 0;
  State state = State::remote;
};

class OrderQueue {
 public:
  bool empty() const { return head_ == tail_; }
  bool full() const { return tail_ - head_ == limits::link_remote_frames_max; }
  OrderedFrame& front() { return ring_[head_ % limits::link_remote_frames_max]; }
  void pop() { ++head_; }
  // Returns the ticket by which a remote frame's answer finds its place.
  std::uint32_t push(const OrderedFrame& frame) {
    RG_CHECK(!full());
    ring_[tail_ % limits::link_remote_frames_max] = frame;
    return tail_++;
  }
  void unpush() { --tail_; }
  void clear() { head_ = tail_; }
  OrderedFrame* find(std::uint32_t ticket) {
    return ticket - head_ < tail_ - head_ ? &ring_[ticket % limits::link_remote_frames_max]
                                          : nullptr;
  }

  static constexpr std::size_t memory_bytes =
      limits::link_remote_frames_max * sizeof(OrderedFrame);

 private:
  static_assert((limits::link_remote_frames_max & (limits::link_remote_frames_max - 1)) == 0);
  std::vector<OrderedFrame> ring_ = std::vector<OrderedFrame>(limits::link_remote_frames_max);
  std::uint32_t head_ = 0;
  std::uint32_t tail_ = 0;
};

}  // namespace ringgate::net
