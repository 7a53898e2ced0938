// The bounds of JT/T 808, each with its reason.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/base/clock.hpp"

namespace ringgate::jt808 {

// --- UDP (datagrams.cpp) ---

// So long after a terminal has authenticated from one address, a copy of an earlier 0x0102 from
// another may still be under way: what mobile networks hold back at most, and less than a terminal
// waits until it tries anew.
constexpr MonoNs late_copy_ns = 10 * ns_per_s;

// --- Long messages to terminals (downlink.hpp) ---

// Body of one message to a terminal. The longest are packages of software (0x8108), a few MB.
constexpr std::size_t downlink_body_max = 8U << 20;
// Bodies of one shard that are being sent or kept to be sent again; a package that goes to a whole
// fleet is counted once for each device, so this also bounds how many get it at a time.
constexpr std::uint64_t downlink_bytes_max = 256ULL << 20;
constexpr std::size_t downlink_messages_max = 4096;
// Parts are written while the terminal has less than this to take: two round trips of a mobile
// network at its speed, and far from where reading pauses (link_out_bytes_max).
constexpr std::uint32_t downlink_window_bytes = 16 * 1024;
constexpr MonoNs downlink_pump_every = 20 * ns_per_ms;
// A terminal may ask for parts so long after they were written first or again.
constexpr MonoNs downlink_keep = 120 * ns_per_s;
// How often each part may be sent on average because the terminal asks (0x0005): who asks for more
// does not receive at all.
constexpr std::uint32_t downlink_resends_per_part = 8;

// --- Commands (commands.hpp) ---

// Commands of one shard whose outcome was not told yet: 300 bytes each. A command to a whole fleet
// comes in batches far smaller than this.
constexpr std::uint32_t commands_max = 65'536;
// Queues looked at, and outcomes told, in one turn, so that a fleet-wide command does not hold up
// the frames of terminals.
constexpr std::uint32_t commands_per_turn = 256;
// Nobody waits longer for a terminal: what should happen later is not a command in flight.
constexpr MonoNs command_wait_max = 3600 * ns_per_s;
// A terminal that takes nothing at present is looked at again so often.
constexpr MonoNs command_retry_every = 100 * ns_per_ms;
// After a 0x9208 its files are expected for so long: a vehicle may stand in a garage over night.
constexpr MonoNs upload_expected_for = 24 * 3600 * ns_per_s;

// --- Messages from terminals that come in parts (reassembly.hpp) ---

// Body of one message. Pictures have some 100 KB, video clips a few MB; the wire allows 64 MB.
constexpr std::size_t part_message_max = 8U << 20;
// Of one device: a message of the largest size and others beside it.
constexpr std::uint64_t part_device_bytes_max = 2 * std::uint64_t{part_message_max};
// Incomplete messages of one device, and those just completed whose parts may come again. A
// terminal sends one or two at a time; its memory is small.
constexpr std::size_t part_device_messages_max = 16;
// Of one shard, where memory.limit sets no lower bound (a quarter of the shard's share).
constexpr std::uint64_t part_shard_bytes_max = 256ULL << 20;
// A completed message is remembered so long, so that a part that comes again is acknowledged and
// does not begin another message: longer than terminals go on repeating (JT/T 808-2013 7.12: the
// sum of the growing time-outs of three attempts).
constexpr MonoNs part_done_keep = 60 * ns_per_s;
// Part numbers of one request: what fits a body of 1023 bytes in both layouts, and a count of one
// byte (0x8003 of 2013); 0x8800 has its own limit of 125 in the standard.
constexpr std::size_t part_request_max = 255;
constexpr std::size_t media_request_max = 125;

// --- Compressed and encrypted messages (inflate.hpp, rsa.hpp) ---

// Content of one 0x0901. It is inflated on the shard to be checked: 1 MiB takes some 2 ms.
constexpr std::uint64_t inflated_max = 1U << 20;
// Up to here any ratio is fine;
constexpr std::uint64_t inflated_free = 64 * 1024;
// beyond it no more than this: text and positions reach 20, only bombs reach gzip's 1032.
constexpr std::uint64_t inflated_ratio_max = 100;

// What that costs (allowance.hpp): a block of RSA, and a byte that is inflated.
constexpr MonoNs rsa_block_cost = 100 * ns_per_us;
constexpr MonoNs inflate_cost = 10 * ns_per_us;
constexpr MonoNs inflated_byte_cost = 2;
// A terminal may use a twentieth of its shard's time for it, some 500 blocks a second; all together
// half of it; and at once what they have saved up in a second.
constexpr MonoNs dear_share_own = 20;
constexpr MonoNs dear_share_all = 2;
constexpr MonoNs dear_burst = ns_per_s;

// --- Media (media.hpp) ---

// Files of one shard on their way to the disk, each in memory: some seconds of a busy disk. Beyond
// that terminals are told "failed" and send again.
constexpr std::size_t media_pending_max = 1024;
constexpr std::uint64_t media_pending_bytes_max = 128ULL << 20;
// Stored files of one shard whose answer is repeated when the last part comes again: some seconds
// of uploads, which is when a terminal repeats.
constexpr std::size_t media_answered_max = 64;

// --- What the control plane keeps (oversight.hpp) ---

constexpr std::size_t ban_reason_max = 200;  // bytes of a reason that are kept, also of a kick
// Terminals of one shard that are watched at a time. Each frame of the shard is looked up among
// them while there is any.
constexpr std::size_t watched_max = 16;
// Bad frames that a shard remembers, and how many of their first bytes: a header of 2019 with its
// parts and the beginning of a body.
constexpr std::size_t bad_frames_kept = 256;
constexpr std::size_t bad_frame_bytes = 48;

}  // namespace ringgate::jt808
