// The bounds of HTTP, each with the reason for its number.
#pragma once

#include <cstdint>

#include "engine/base/clock.hpp"

namespace ringgate::http::limits {

// The largest body that a handler may ask for: a list of 100,000 terminals to register is some
// 10 MB, and what is larger comes in several requests.
constexpr std::uint64_t body_bytes_max = 16ULL << 20;

// A body must come at least this fast, beyond the time that a head has: a phone on a bad network
// does, a connection that is held open on purpose does not.
constexpr std::uint64_t body_bytes_per_s_min = 2048;

// Of a response that is larger, the rest is written as the peer takes it: less than what pauses a
// link (limits::link_out_bytes_max), so that one answer never does.
constexpr std::uint32_t answer_piece_bytes = 32 * 1024;

// A client that takes nothing of its answer for so long (or for http.idle_timeout, where that is
// shorter) is gone: it would keep a query's place and the memory of the answer for ever.
constexpr std::int64_t stalled_client_ms = 60'000;

// Lines of a response's head besides the handler's own: status, Date, Content-Type,
// Content-Length, Connection. Together with `fields_bytes_max` in one reply.
constexpr std::uint32_t head_bytes = 512;
constexpr std::uint32_t fields_bytes_max = 2048;

}  // namespace ringgate::http::limits
