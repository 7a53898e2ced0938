// Makes the compressed file of a sealed segment (FORMAT.md, "Compressed segments"), and makes sure
// that it gives back what it was made of. Cold; any thread but a shard's. Memory: about four times
// chunk_bytes_max.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "engine/base/result.hpp"
#include "engine/io/sys.hpp"
#include "storage/event/catalog.hpp"

namespace ringgate::log {

struct CompressOptions {
  int level = 0;                   // of zstd; 0: compress_level
  std::uint32_t chunk_bytes = 0;   // 0: chunk_bytes_max; no more than that
  std::uint32_t block_bytes = 0;   // 0: column_block_bytes
  std::function<bool()> pause;     // called every now and then; false ends it
};

struct Compressed {
  bool made = false;  // false: the segment is damaged, not sealed, or gone; or `pause` said so
  std::string why;    // it was not made; for people
  std::uint64_t log_bytes = 0;
  std::uint64_t compressed_bytes = 0;
};

// Makes `name`z beside `name` in `directory`, durably. The plain file stays. Error: what could not
// be written, or came back differently.
Result<Compressed> compress_segment(io::Sys& sys, const std::string& directory,
                                    const std::string& name, const event::CatalogSet& catalogs,
                                    const CompressOptions& options);

// Whether the compressed file gives back every byte that the plain one holds for readers. Error:
// where it does not.
Result<void> compare_compressed(io::Sys& sys, const std::string& plain, const std::string& packed,
                                const std::function<bool()>& pause);

}  // namespace ringgate::log
