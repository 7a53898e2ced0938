// The bounds of the live stream, each with the reason for its number.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/base/clock.hpp"

namespace ringgate::api::stream_limits {

// Open streams of the process. Each may hold a queue of half a MiB: 2 GiB if all were slow at once,
// and memory level 3 cuts that by sixteen.
constexpr std::uint32_t subscribers_max = 4096;
// Of one socket: a page has a map, a list and a few devices open.
constexpr std::uint32_t subscriptions_max = 64;
// Of one subscription: a fleet of a customer. Whoever wants more wants all, or an area.
constexpr std::size_t devices_max = 1000;
constexpr std::size_t messages_max = 256;
constexpr std::size_t alarms_max = 256;
constexpr std::size_t id_bytes_max = 64;
// A subscription of 1,000 devices is 15 KiB.
constexpr std::size_t message_bytes_max = 64 * 1024;
// Of a client, which asks anew whenever its map has moved: more is no person.
constexpr std::uint32_t messages_per_s_max = 100;
// Of a client, on their way to the Feed.
constexpr std::uint32_t messages_waiting_max = 256;

constexpr std::uint32_t batch_max_most = 1000;
constexpr std::uint32_t batch_max_default = 100;
// Events are with their subscribers within 50 ms: this, a look at the log and a turn of the shard.
constexpr MonoNs batch_delay_most = 40 * ns_per_ms;
constexpr MonoNs batch_delay_default = 20 * ns_per_ms;
// Batches end at common moments, so that those of many subscribers go to their shard together.
constexpr MonoNs batch_grain = 5 * ns_per_ms;
// A batch also ends at so many bytes: what a socket's queue has room for several of.
constexpr std::size_t batch_bytes_max = 48 * 1024;
// What is shorter is not deflated for a subscriber of its own: 20,000 small messages a second would
// cost a CPU.
constexpr std::size_t deflate_bytes_min = 1024;

// What a socket has not taken before positions coalesce for it: the events of a second of a whole
// fleet. As much again is kept coalesced, then it is dropped.
constexpr std::uint32_t queue_bytes = 256 * 1024;
// The same under memory level 3.
constexpr std::uint32_t queue_bytes_shed = 16 * 1024;
// Batches that were on their way when a socket turned slow, 16 deliveries of what a look at the log
// found: a client that only blinked keeps its stream. One that is beyond this is closed at once.
constexpr std::uint32_t queue_bytes_hard = 32 * queue_bytes;
// A socket that takes nothing for so long is dropped, however little waits for it.
constexpr MonoNs slow_patience = 30 * ns_per_s;

// Subscribers that read old log at the same time: each has a window of 1 MiB and a share of the
// disk. More take turns.
constexpr std::uint32_t catch_ups_max = 8;
constexpr std::uint64_t catch_up_window_bytes = 1 << 20;
// Bytes of messages that a reader of old log makes before others have their turn, and before it
// waits for its socket.
constexpr std::size_t catch_up_bytes = 64 * 1024;
// Records that it looks at meanwhile: some milliseconds.
constexpr std::uint32_t catch_up_records = 8192;
// When it has read up to where the live log was, what happens is kept for a subscriber until it has
// read the rest. More than this is not kept: it reads on from the log.
constexpr std::size_t held_bytes_max = 1 << 20;

// Between two looks at the log while commits come faster than this: each costs a read of each
// stream.
constexpr MonoNs look_every = 2 * ns_per_ms;
// Records of one look; then the inbox has its turn.
constexpr std::uint32_t records_per_look = 4096;
// A turn without anything to do: the streams' directory is looked at so often.
constexpr MonoNs idle_turn = ns_per_s;
// A subscription to which nothing comes is told the cursor so often.
constexpr MonoNs cursor_every = 15 * ns_per_s;
// Deliveries that a shard has not taken; then the log waits.
constexpr std::uint32_t deliveries_max = 16;

// How often a part of the streams of a shard is asked whether its credentials are still good: a
// stream whose token was revoked ends within some seconds.
constexpr MonoNs credentials_every = 500 * ns_per_ms;
constexpr std::uint32_t credentials_looks = 512;

// Streams that were closed and are still listed.
constexpr std::size_t ended_kept = 64;

// Frames of one traced device on their way to the Feed.
constexpr std::uint32_t trace_frames_max = 256;

}  // namespace ringgate::api::stream_limits
