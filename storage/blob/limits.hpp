// The bounds of storage/blob, each with its reason.
#pragma once

#include <cstdint>

#include "engine/base/clock.hpp"

namespace ringgate::blob {

// O_DIRECT wants the device's logical block; 4096 covers every disk.
constexpr std::uint32_t block_size = 4096;

// One buffer of the pool: the block that terminals send (T/JSATL 12-2017 annex C).
constexpr std::uint32_t buffer_bytes = 64 * 1024;
// Full buffers that follow one another go out in one write, at most so many: 256 KiB cost a third
// less CPU for each byte than 64 KiB, and more is hardly better.
constexpr std::uint32_t gather_buffers_max = 4;
// They wait for one another only while this part of the pool is free, so that many uploads share it
// as well as few do.
constexpr std::uint32_t gather_free_divisor = 4;
// Memory for buffers is had in pieces of this size: a huge page, which the kernel pins for a direct
// write at once and not 4 KiB by 4 KiB.
constexpr std::uint32_t arena_bytes = 2 << 20;

// Writes of one upload in flight: four reach the disk's rate, more only take others' buffers.
constexpr std::uint32_t writes_in_flight_max = 4;

// A buffer that waits for more contiguous bytes is written after this long, so that an upload that
// pauses owns none.
constexpr MonoNs gather_longest = 200 * ns_per_ms;

// What is durable of an unfinished upload is noted on disk when this much is new,
constexpr std::uint64_t note_after_bytes = 8ULL << 20;
// or this old: a killed gateway asks again for no more. Uploads that are faster never pay for it.
constexpr MonoNs note_after = 1 * ns_per_s;

// Separate pieces of one upload. T/JSATL 12 names at most 255 gaps in a reply; four times that
// holds an upload whose blocks come in random order. A byte that would need more is not taken.
constexpr std::uint32_t pieces_max = 1024;
// Pieces that a note holds; the largest are kept.
constexpr std::uint32_t noted_pieces_max = 128;

// Uploads open on one shard: each owns some 500 bytes, and descriptors: its file past the page
// cache, the same through it, its note.
constexpr std::uint32_t uploads_max = 4096;
constexpr std::uint32_t descriptors_per_upload = 3;

// Files that retention takes are kept for reuse, up to so many and so much: a quarter of a second's
// uploads at the rate of a fast disk, so that the keeper's thread stays ahead; of a small
// `blob.retention_size` only this part.
constexpr std::uint32_t spares_max = 64;
constexpr std::uint64_t spare_room_max = 256ULL << 20;
constexpr std::uint64_t spare_room_divisor = 8;
// Below this size reuse saves nothing: the names cost as much as the content.
constexpr std::uint64_t spare_size_min = 256ULL << 10;
// The renames of so many are made durable together.
constexpr std::uint32_t spares_at_once = 16;

// Bytes of texts that come from outside, in memory and in metadata.
constexpr std::uint32_t name_size_max = 255;
constexpr std::uint32_t key_size_max = 512;

// How often start-up's and the running clean-up look for what is too old or too much.
constexpr MonoNs keep_interval = 10 * ns_per_s;

// Where blob.unfinished_size is full, unfinished uploads that nobody has gone on with for so long
// make room for new ones: a terminal that lost its network comes back sooner, or begins anew.
constexpr WallUs evict_idle_us = 10 * 60 * us_per_s;

// Finished uploads that a shard remembers, so that a terminal that missed the answer and begins
// anew is answered without storing the file twice.
constexpr std::uint32_t finished_remembered = 4096;

}  // namespace ringgate::blob
