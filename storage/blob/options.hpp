// What section `blob` of the configuration says. Plain values, copied to whoever needs them.
#pragma once

#include <cstdint>
#include <string>

#include "storage/blob/limits.hpp"

namespace ringgate::blob {

struct BlobOptions {
  std::string data_dir;
  std::uint64_t max_size = 256ULL << 20;           // bytes of one blob
  std::uint32_t uploads = uploads_max;             // open at a time, per shard
  std::uint32_t device_uploads = 16;               // open at a time, per device and shard
  std::uint64_t device_unfinished = 1ULL << 30;    // bytes of those
  std::uint64_t unfinished_size = 4ULL << 30;      // bytes reserved for all that is unfinished
  std::int64_t unfinished_age_s = 24 * 3600;       // unfinished uploads go when idle for so long
  std::uint64_t buffers_bytes = 16ULL << 20;       // memory for uploads, per shard
  std::uint64_t retention_size = 0;                // 0: no limit
  std::int64_t retention_age_s = 0;                // 0: no limit
  std::uint64_t min_free = 1ULL << 30;             // free space that is left for the log
  bool direct = true;                              // O_DIRECT where the file system has it
};

}  // namespace ringgate::blob
