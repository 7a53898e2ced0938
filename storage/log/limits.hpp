// The log's bounds, each with its reason.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/base/clock.hpp"

namespace ringgate::log {

// O_DIRECT wants the device's logical block; 4096 covers every disk, and is the page that a
// rewritten tail block dirties anyway.
constexpr std::uint32_t block_size = 4096;

// One JT/T 808 frame is at most 1 KiB, a JSON line or media part 64 KiB; four times that leaves
// room and keeps a scanner's window small.
constexpr std::uint32_t record_size_max = 256 * 1024;

// Records of one write: at 1 MiB the disk's own rate is reached, more only adds latency.
constexpr std::uint32_t batch_size_default = 1024 * 1024;

// Buffers for batches: one in flight, one closed at the end of a segment, one being filled.
// In-flight log bytes of a shard are bounded by their sum.
constexpr std::uint32_t batch_count = 3;

constexpr std::uint64_t segment_size_default = 64ULL << 20;
// Holds four batches of 64 KiB less their heads' 2 KiB, and so the longest JSON line (16 KiB)
// easily.
constexpr std::uint64_t segment_size_min = 256ULL << 10;
constexpr std::uint64_t segment_size_max = 16ULL << 30;

// Zeros are written ahead in steps of this size: short enough that the disk serves commits between
// two.
constexpr std::uint32_t zero_step = 1 << 20;
// A new segment is handed over when this much of it is initialised,
constexpr std::uint64_t initialise_first = 4ULL << 20;
// and the rest follows so that it stays this far ahead of the writer: a 64th of a second at 1 GB/s.
constexpr std::uint64_t initialise_ahead = 16ULL << 20;

// Retired segments kept for reuse; more would only hold disk space back from others.
constexpr std::uint32_t spare_max = 4;

// An idle stream proves its last batch to readers after this long.
constexpr MonoNs commit_mark_after = 250 * ns_per_ms;
// A batch of a segment of this size: a small segment would else be all one batch.
constexpr std::uint32_t batch_size_for(std::uint64_t segment_size) {
  const std::uint64_t quarter = segment_size / 4 / block_size * block_size;
  return quarter < batch_size_default ? static_cast<std::uint32_t>(quarter) : batch_size_default;
}

// Waiting for a segment that is being made.
constexpr MonoNs supply_poll = 1 * ns_per_ms;
// Waiting for a disk that refuses: from here, doubling, to there.
constexpr MonoNs retry_first = 100 * ns_per_ms;
constexpr MonoNs retry_longest = 2 * ns_per_s;

// A killed process's operations may still hold its lock for a moment.
constexpr MonoNs lock_patience = 2 * ns_per_s;

// Readers' and recovery's window on a segment: the largest record and a good read size.
constexpr std::uint32_t scan_window = 1 << 20;

// An index says so often where a reader may begin: what a disk gives in one go.
constexpr std::uint64_t index_block = 64 * 1024;
// Building an index takes up to a thirtieth of the segment in memory. Longer ones do without.
constexpr std::uint64_t index_segment_max = 4ULL << 30;
// Of an index, what a reader fetches at once when it opens it: the blocks of a segment of the usual
// size and the directory of a thousand devices.
constexpr std::uint64_t index_fetch = 64 * 1024;
// What a reader of single records fetches at once: nearly every record lies in it whole.
constexpr std::uint32_t scattered_window = 8 * 1024;
// Records that were found by an index are checked together up to so many bytes before the first is
// handed out: a wrong index shows before it has led astray.
constexpr std::uint32_t picked_batch = 1 << 20;

// Ranges of device times that are told apart in one segment: the hour it was written in, what came
// late, and some clocks that were wrong.
constexpr std::size_t times_spans_max = 8;
// Of the file that says the times of all segments: some hundred thousand of them.
constexpr std::uint64_t times_size_max = 64ULL << 20;

// A compressed segment is inflated in chunks of this many positions by who reads it in order, and
// that is what such a reader holds in memory for each stream under way. Shorter ones have fewer
// records of a device side by side and compress less (perf/run --only index).
constexpr std::uint32_t chunk_bytes_max = 16 << 20;
// Columns of a block: a device query inflates at least one. Ends with a device.
constexpr std::uint32_t column_block_bytes = 64 << 10;
// zstd's: higher ones cost more than they save (perf/run --only index).
constexpr int compress_level = 3;

}  // namespace ringgate::log
