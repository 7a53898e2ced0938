// The bounds of the state, each with its reason.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/base/clock.hpp"
#include "engine/base/limits.hpp"

namespace ringgate::state {

// Texts of a registration. JT/T 808-2019 8.8 has 30 bytes for terminal and model and 11 for the
// maker; UTF-8 doubles them. A note is a line that people read.
constexpr std::size_t text_size_max = 64;
constexpr std::size_t note_size_max = 200;
// What of somebody's name and reason is kept of a ban.
constexpr std::size_t reason_size_max = 200;
// Devices of one shard that have anything: as many as its device table knows.
constexpr std::uint32_t entries_max = limits::devices_per_shard_max;
// Banned devices of one shard: 300 bytes each. Whoever bans more wants another admission.
constexpr std::size_t bans_max = 65'536;
// Commands of one shard that wait for their device, and of one device: an operator's campaign
// reaches a fleet, and a device that comes online after weeks is not kept busy for an hour.
constexpr std::size_t pending_max = 65'536;
constexpr std::size_t pending_device_max = 32;
// All of them together, as JSON: 1 KiB each; parameter lists and texts have some hundred bytes.
constexpr std::uint64_t pending_bytes_max = 64ULL << 20;
// One command as JSON: the longest text messages and parameter lists; packages of software are sent
// to devices that are online.
constexpr std::size_t pending_json_max = 8 * 1024;
// How long a command may wait for its device: what is older nobody remembers to have sent.
constexpr MonoNs pending_expires_default = 24 * 3600 * ns_per_s;
constexpr MonoNs pending_expires_max = 90 * 24 * 3600 * ns_per_s;
// Waiting commands of one device that its protocol has at a time: enough to fill its window, and
// most of its queue is left to people who wait for an answer.
constexpr std::uint32_t pending_window = 4;
// Of one shard: a fleet that comes back after an outage gets its commands over some seconds.
constexpr std::uint32_t pending_in_flight_max = 1024;
// How long a delivery waits for the answer: JT/T 808's three transmissions take 90 s.
constexpr MonoNs pending_answer_wait = 120 * ns_per_s;
// A command that reached its device so often without an answer is given up: a restart that is never
// acknowledged must not restart the terminal for a day.
constexpr std::uint32_t pending_tries_max = 3;
// A device that is online and did not answer, or whose queue is full, is tried again after this.
constexpr MonoNs pending_retry_silent = 60 * ns_per_s;
constexpr MonoNs pending_retry_busy = 2 * ns_per_s;
// Commands prepared (some 20 us each) and ended in one turn, so that a fleet that comes back does
// not hold up the frames of others.
constexpr std::uint32_t pending_per_turn = 32;
// The clock on the wall may be set: expiry is looked at no less often.
constexpr MonoNs pending_look_every = 30 * ns_per_s;
// Commands copied by one errand that lists them: some 100 us of its shard.
constexpr std::uint32_t pending_per_errand = 64;

// Entries that one errand of a snapshot copies as JSON: some 200 us of its shard.
constexpr std::uint32_t entries_per_errand = 128;
// Devices that one errand of a snapshot copies, each of three or four cache lines: some 50 us.
constexpr std::uint32_t devices_per_errand = 256;
// A block of a snapshot; what is written and checked at a time.
constexpr std::size_t snapshot_block_bytes = 256 * 1024;
// A shard that is busy is asked again after this time.
constexpr MonoNs snapshot_poll = 10 * ns_per_ms;
// A snapshot that could not be written is tried again after this time.
constexpr MonoNs snapshot_retry = 60 * ns_per_s;
// And after this one where log is about to go that none stands for.
constexpr MonoNs snapshot_urged_retry = 2 * ns_per_s;

}  // namespace ringgate::state
