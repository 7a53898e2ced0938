// What the links of one shard count. Plain numbers with one writer, read by the same thread; the
// server's status copies them out (tools/ringgate).
#pragma once

#include <array>
#include <cstdint>

#include "engine/net/link.hpp"

namespace ringgate::net {

struct NetCounters {
  std::uint64_t accepted = 0;
  std::uint64_t accept_errors = 0;
  std::uint64_t accept_pauses = 0;
  std::uint64_t received_bytes = 0;
  std::uint64_t receives = 0;
  std::uint64_t sent_bytes = 0;
  std::uint64_t sends = 0;
  std::uint64_t spilled_bytes = 0;
  std::uint64_t buffer_shortages = 0;
  std::uint64_t pauses_credit = 0;
  std::uint64_t pauses_out = 0;
  std::uint64_t pauses_memory = 0;
  std::uint64_t moved_out = 0;
  std::uint64_t moved_in = 0;
  std::uint64_t forwarded = 0;
  std::uint64_t replies_dropped_bytes = 0;  // their link ended first
  std::array<std::uint64_t, static_cast<std::size_t>(CloseReason::count)> closed{};
};

}  // namespace ringgate::net
