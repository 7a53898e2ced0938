// The bounds of WebSocket, each with the reason for its number.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/base/clock.hpp"

namespace ringgate::websocket::limits {

// A message that a peer sends, whole and inflated: commands and subscriptions are a few hundred
// bytes, an area drawn by hand some tens of KiB. A handler may ask for less.
constexpr std::size_t message_bytes_max = 1U << 20;

// What is shorter is not worth deflating: the head of a block and the loss of batching cost more.
constexpr std::size_t deflate_bytes_min = 256;

// After our close frame the peer has this long for its own (RFC 6455 7.1.1: then the server may
// close the connection).
constexpr MonoNs close_wait_ns = 2 * ns_per_s;

// How often sockets are looked at for pings; and how many in one turn.
constexpr MonoNs look_every_ns = ns_per_s;
constexpr std::uint32_t looks_per_turn = 4096;

}  // namespace ringgate::websocket::limits
