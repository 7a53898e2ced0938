// Replies that wait for their positions, for all links of a shard: a queue in the order of arrival.
// Grows to what is in flight and stays there; no allocation in the steady state.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/base/ids.hpp"

namespace ringgate::net {

struct HeldReply {
  Position position = 0;
  std::uint32_t slot = 0;
  std::uint16_t generation = 0;
  std::uint16_t unused = 0;
  std::uint32_t out_end = 0;       // reply bytes of the link that may leave at `position`
  std::uint32_t credit_bytes = 0;  // received bytes that become durable with it
};
static_assert(sizeof(HeldReply) == 24);

class HeldReplies {
 public:
  bool empty() const { return head_ == tail_; }
  std::uint32_t size() const { return tail_ - head_; }
  const HeldReply& front() const { return ring_[head_ & mask_]; }
  void pop() { ++head_; }
  void push(const HeldReply& entry) {
    if (tail_ - head_ > mask_) grow();
    ring_[tail_ & mask_] = entry;
    ++tail_;
  }

 private:
  void grow() {
    const std::uint32_t capacity = (mask_ + 1) * 2;
    auto bigger = std::make_unique<HeldReply[]>(capacity);
    const std::uint32_t count = size();
    for (std::uint32_t i = 0; i < count; ++i) bigger[i] = ring_[(head_ + i) & mask_];
    ring_ = std::move(bigger);
    head_ = 0;
    tail_ = count;
    mask_ = capacity - 1;
  }

  std::uint32_t mask_ = 1023;
  std::unique_ptr<HeldReply[]> ring_ = std::make_unique<HeldReply[]>(1024);
  std::uint32_t head_ = 0;
  std::uint32_t tail_ = 0;
};

}  // namespace ringgate::net
