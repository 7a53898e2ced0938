// The bounds of ringgate-chaos, each with the reason for its number.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/base/clock.hpp"

namespace ringgate::chaos::limits {

// A body of HTTP that describes a proxy with all its rules is some 20 KiB; a file of a plan may be
// as large as any configuration (config::config_file_size_max).
constexpr std::uint64_t body_bytes_max = 256 * 1024;
// Nested deeper than this is no plan, and bounds what a reader of JSON keeps.
constexpr std::size_t json_depth_max = 8;
// Mistakes that are told of one text: a person mends the first ones, the rest is noise.
constexpr std::size_t problems_max = 100;

// Rules of one proxy: each is looked at for every chunk of every connection.
constexpr std::size_t rules_max = 64;
constexpr std::size_t proxies_max = 256;
// Names stand in URLs, metrics and reports.
constexpr std::size_t name_bytes_max = 64;

// Longer delays than an hour are a partition; they bound what a queue can be told to hold.
constexpr MonoNs delay_max_ns = 3600 * ns_per_s;
// Schedules reach over a soak of a month.
constexpr MonoNs schedule_max_ns = 31 * 24 * 3600 * ns_per_s;

// What waits in one direction of one connection, unless a proxy says otherwise: a fast network's
// delay of 20 ms at 100 Mbit/s is 250 KB, and 2,000 slow peers cost 500 MB at the worst.
constexpr std::int64_t buffer_bytes_default = 256 * 1024;
constexpr std::int64_t buffer_bytes_min = 4 * 1024;
constexpr std::int64_t buffer_bytes_most = 64 * 1024 * 1024;
// What a waiting chunk or datagram costs besides its bytes, charged to the same bound.
constexpr std::size_t piece_overhead_bytes = 64;

// Connections, or senders of datagrams, of one proxy at a time.
constexpr std::int64_t connections_default = 10'000;
constexpr std::int64_t connections_most = 1'000'000;

// One read. Device frames are far smaller; a bulk transfer fills it.
constexpr std::uint32_t read_bytes = 16 * 1024;
// Buffers of reads, shared by all connections. An idle connection has none; at most half of them
// wait for a slow peer, the rest comes back within the turn.
constexpr std::uint32_t read_buffers = 512;
// The largest UDP payload is 65,507 bytes; what stands before it tells its sender.
constexpr std::uint32_t datagram_bytes = 64 * 1024 + 256;
constexpr std::uint32_t datagram_buffers = 128;
// Datagrams that were handed to the kernel and are not seen sent: nearly none, for a full socket
// drops instead of waiting.
constexpr std::size_t datagram_sends_max = 1024;

// Under a bandwidth limit bytes leave in steps of this time, so that a slow line is no burst.
constexpr MonoNs bandwidth_step_ns = 10 * ns_per_ms;
// A retransmission may be lost again, and waits twice as long each time: TCP gives up about here.
constexpr std::uint32_t retransmissions_max = 6;
// After a limit has closed a connection, what still comes is thrown away so long, because closing
// on unread bytes would reset what was sent.
constexpr MonoNs linger_ns = 2 * ns_per_s;
// After "too many open files" accepting rests this long: descriptors come back.
constexpr MonoNs accept_pause_ns = 100 * ns_per_ms;
// Deadlines handled in one turn; the rest is due in the next.
constexpr std::size_t deadlines_per_turn = 1024;

}  // namespace ringgate::chaos::limits
