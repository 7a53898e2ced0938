// CRC-32C (Castagnoli, reflected polynomial 0x82f63b78; RFC 3720 B.4). Pure, any thread.
#pragma once

#include <cstdint>

#include "engine/base/bytes.hpp"

namespace ringgate {

// Continues `crc` (0 to start) over `bytes`. Uses the CPU's instruction where there is one.
std::uint32_t crc32c(std::uint32_t crc, Bytes bytes);
// The CRC of two pieces in a row from the CRC of each, and how many bytes the second has.
std::uint32_t crc32c_join(std::uint32_t first, std::uint32_t second, std::uint64_t second_bytes);
// The portable way, for tests and other CPUs.
std::uint32_t crc32c_table(std::uint32_t crc, Bytes bytes);

}  // namespace ringgate
