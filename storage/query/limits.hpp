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

// Sentences about damage that are kept; what comes after is only counted.
constexpr std::size_t problems_max = 1000;
// Between two questions whether a scan goes on: some milliseconds.
constexpr std::uint64_t records_between_looks = 4096;

}  // namespace ringgate::query
