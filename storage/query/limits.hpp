// The bounds of queries and tails, each with its reason.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/base/clock.hpp"

namespace ringgate::query {

// How often a tail lists the directory where nothing asks for it: new shards and runs, segments
// replaced or taken show after so long.
constexpr MonoNs list_every = 1 * ns_per_s;
// A listing may take this share of the time: with very many segments they come less often.
constexpr MonoNs list_share = 50;

// What a look without a commit board reads of a growing segment: some hundred records. Doubles with
// each read that was not enough.
constexpr std::uint64_t look_window = 64 << 10;
// What one read takes of a segment that is known to hold as much: the disk's own rate is reached.
constexpr std::uint64_t read_window = 1 << 20;

// Segments that a stream of a scan opens before their turn, so that the disk fetches from all of
// them at once: an hour lies in two or three.
constexpr std::size_t ahead_segments_max = 4;
// Of all streams together: an open file each.
constexpr std::size_t ahead_all_max = 64;

// Sentences about damage that are kept; what comes after is only counted.
constexpr std::size_t problems_max = 1000;
// Between two questions whether a scan goes on: some milliseconds.
constexpr std::uint64_t records_between_looks = 4096;

}  // namespace ringgate::query
