// What makers and readers of compressed segments agree on besides FORMAT.md's tables. Constants.
#pragma once

#include <cstdint>

#include "storage/log/limits.hpp"

namespace ringgate::log {

constexpr std::uint64_t compressed_magic = 0x5a4753474f4c4752ULL;  // "RGLOGSGZ"
constexpr std::uint32_t compressed_version = 1;

// Inflating a block or a timeline takes this much at most, whatever a file says: a chunk's records
// and their columns are no longer than the chunk and its longest record, twice over.
constexpr std::uint32_t inflated_max = 2 * (chunk_bytes_max + record_size_max);

}  // namespace ringgate::log
