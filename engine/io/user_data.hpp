// What a completion carries back: tag (which handler) | generation | slot. Never a pointer, so a
// late completion of a dead object is recognised instead of followed.
#pragma once

#include <cstdint>

namespace ringgate::io {

// Who handles a completion. One byte; a handler owns one or more tags on its shard.
enum class Tag : std::uint8_t {
  none = 0,  // nobody: completion is dropped (used with CQE_SKIP_SUCCESS too)
  accept,
  accept_cancel,
  connect,
  recv,
  recv_cancel,
  send,
  shutdown,
  close,
  mailbox,      // MSG_RING or eventfd wake-ups
  log_write,    // storage/log
  datagram_recv,
  datagram_cancel,
  datagram_send,
  blob,         // storage/blob
  tool,         // tools that run their own operations on a shard's ring
  first_test = 0xf0,
};

constexpr std::uint64_t user_data(Tag tag, std::uint16_t generation, std::uint32_t slot) {
  return std::uint64_t{static_cast<std::uint8_t>(tag)} << 56 | std::uint64_t{generation} << 32 |
         slot;
}
constexpr Tag tag_of(std::uint64_t data) { return static_cast<Tag>(data >> 56); }
constexpr std::uint16_t generation_of(std::uint64_t data) {
  return static_cast<std::uint16_t>(data >> 32);
}
constexpr std::uint32_t slot_of(std::uint64_t data) { return static_cast<std::uint32_t>(data); }

}  // namespace ringgate::io
