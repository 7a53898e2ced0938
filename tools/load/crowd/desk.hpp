// Several crowds on one shard: completions of connections go to the crowd that started the
// operation. A crowd's number stands in the upper byte of the slot of user_data; so a crowd has at
// most 2^24 users. One per shard, on its thread; outlives the shard's last turn.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/base/check.hpp"
#include "engine/shard/shard.hpp"

namespace ringgate::load {

class Desk final : public shard::CompletionHandler {
 public:
  // Before the shard's first turn.
  explicit Desk(shard::Shard& shard) {
    for (const io::Tag tag : {io::Tag::connect, io::Tag::recv, io::Tag::send, io::Tag::tool}) {
      shard.handle(tag, *this);
    }
  }
  Desk(const Desk&) = delete;
  Desk& operator=(const Desk&) = delete;

  // Who joins must outlive every operation it starts. Returns its number.
  std::uint8_t join(shard::CompletionHandler& handler) {
    RG_CHECK(members_.size() < 256);
    members_.push_back(&handler);
    return static_cast<std::uint8_t>(members_.size() - 1);
  }

  static std::uint64_t data(io::Tag tag, std::uint16_t generation, std::uint8_t member,
                            std::uint32_t index) {
    return io::user_data(tag, generation, std::uint32_t{member} << index_bits | index);
  }
  static std::uint32_t index_of(std::uint64_t user_data) {
    return io::slot_of(user_data) & (index_limit - 1);
  }

  void on_completion(std::uint64_t user_data, std::int32_t result, std::uint32_t flags) override {
    const std::uint32_t member = io::slot_of(user_data) >> index_bits;
    RG_CHECK(member < members_.size());
    members_[member]->on_completion(user_data, result, flags);
  }

  static constexpr unsigned index_bits = 24;
  static constexpr std::uint32_t index_limit = 1U << index_bits;

 private:
  std::vector<shard::CompletionHandler*> members_;
};

}  // namespace ringgate::load
