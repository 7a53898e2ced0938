// What section `log` of the configuration says. Plain values, copied to whoever needs them.
#pragma once

#include <cstdint>
#include <string>

#include "storage/log/limits.hpp"

namespace ringgate::log {

enum class OnFailure : std::uint8_t {
  refuse,  // sessions answer "failed", heartbeats go on
  hold,    // links stop reading until the log takes records again
};

enum class Direct : std::uint8_t {
  automatic,  // O_DIRECT where the file system has it
  off,        // buffered writes, each followed by fdatasync
};

enum class Compress : std::uint8_t { off, zstd };

struct LogOptions {
  std::string data_dir;
  std::uint64_t segment_size = segment_size_default;  // bytes, a multiple of 4096
  std::uint64_t retention_bytes = 0;                  // 0: no limit
  std::int64_t retention_age_s = 0;                   // 0: no limit
  std::uint64_t retention_hard_bytes = 0;             // holds break beyond; 0: they never do
  Compress compress = Compress::off;                  // what the Curator does with sealed segments
  std::int64_t compress_after_s = 0;                  // that are at least so old
  OnFailure on_failure = OnFailure::refuse;
  Direct direct = Direct::automatic;
  bool sync = true;  // false only in tests that show what its absence loses
  std::uint32_t batch_size = batch_size_default;
};

}  // namespace ringgate::log
