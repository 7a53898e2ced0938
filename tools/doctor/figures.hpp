// The figures that the doctor counts with, and where each comes from.
#pragma once

#include <cstdint>

#include "engine/base/clock.hpp"

namespace ringgate::doctor::figures {

// What --devices is when neither it nor server.max_links says anything.
constexpr std::uint64_t devices_default = 10'000;
// Reports a device sends a second: one in ten seconds is what vehicle terminals mostly do.
constexpr double rate_default = 0.1;

// Descriptors that the gateway keeps from links, and the share of all that uploads may have
// (tools/ringgate/wiring.cpp: 256, a quarter).
constexpr std::uint64_t descriptors_kept = 256;
constexpr std::uint64_t upload_share = 4;

// Kernel memory of an idle TCP link: measured on Linux 6.18 over 9,000 pairs, 4.1 to 4.6 KB of
// socket and 0.63 KB for its armed receive.
constexpr std::uint64_t kernel_bytes_per_link = 5 * 1024;
// Memory of the gateway for an idle link with its device: measured, README's table of figures.
constexpr std::uint64_t user_bytes_per_link = 1050;
// With a segment received and a reply on its way: two small socket buffers of the kernel, each a
// head of 256 bytes, data and shared information of 1 KiB, rounded up to pages.
constexpr std::uint64_t socket_bytes_in_use = 8 * 1024;

// A position report in the log: a header of 48 bytes, a 66 byte frame (JT/T 808-2013 with the usual
// additional items), aligned.
constexpr std::uint64_t record_bytes = 120;

// CPU of the kernel's receive path for one small TCP segment: measured, all ways of receiving.
constexpr double receive_ns_per_segment = 3600;
// A CPU that loses more of itself than this to others' work is worth a word.
constexpr double share_worth_a_word = 0.10;

// A commit whose 99th percentile is above this is felt: a reply waits for the write in flight and
// for its own, and 20 ms is what drivers of such terminals take for a slow network.
constexpr double commit_p99_ns_max = 10e6;
// A shard that has to write more than this share of what its disk takes will queue at every burst.
constexpr double disk_share_max = 0.5;

// Socket memory that ringgate asks for where it takes datagrams (engine/base/limits.hpp).
constexpr std::uint64_t datagram_socket_bytes = 8ULL * 1024 * 1024;

// An entry of the connection tracking table (struct nf_conn with extensions).
constexpr std::uint64_t conntrack_entry_bytes = 320;

// A clock that is not read in the vDSO costs a system call; a tsc or kvm-clock is read in 20 to
// 50 ns.
constexpr double clock_read_ns_max = 150;
// Readings in a loop turn: its start, its end, the timers.
constexpr double clock_reads_per_turn = 3;

// How long each of the two measurements of the disk lasts.
constexpr MonoNs disk_time_ns = 1500 * ns_per_ms;

}  // namespace ringgate::doctor::figures
