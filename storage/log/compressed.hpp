// A compressed segment, opened for reading (FORMAT.md, "Compressed segments"): gives the records of
// a chunk of positions, or those of one device, and inflates no more than it has to. One owner, any
// thread but a shard's. Read-only; the file never changes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/io/sys.hpp"
#include "storage/log/columns.hpp"
#include "storage/log/hash_directory.hpp"
#include "storage/log/index.hpp"
#include "storage/log/segment.hpp"

namespace ringgate::log {

// Entries of the directory, as they lie there.
struct ChunkEntry {
  std::uint64_t begin;  // positions
  std::uint64_t end;
  std::int64_t first_received_us;
  std::int64_t last_received_us;
  std::int64_t device_first_us;  // first > last: none
  std::int64_t device_last_us;
  std::uint64_t timeline_at;  // in the file
  std::uint32_t timeline_bytes;
  std::uint32_t timeline_raw;  // inflated
  std::uint32_t timeline_crc;
  std::uint32_t first_block;
  std::uint32_t blocks;
  std::uint32_t zero;
};
static_assert(sizeof(ChunkEntry) == 80);

struct BlockEntry {
  std::uint64_t at;     // in the file
  std::uint32_t bytes;  // there
  std::uint32_t raw;    // inflated
  std::uint32_t crc;    // of the bytes in the file
  std::uint32_t check;  // CRC of the records' CRCs
  std::uint32_t records;
  std::uint32_t record_bytes;  // with padding
};
static_assert(sizeof(BlockEntry) == 32);

// What stands in the first block of the file.
struct CompressedHead {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t crc;  // of bytes 16 to 4095, started with that of the epoch
  std::uint64_t epoch;
  std::uint64_t directory_at;     // in the file
  std::uint64_t directory_bytes;  // content of its pages
  std::uint32_t chunks;
  std::uint32_t blocks;
  std::uint32_t devices;
  std::uint32_t zero;
  std::uint64_t plain_bytes;  // size of the plain file
};
static_assert(sizeof(CompressedHead) == 64);

constexpr std::uint64_t compressed_data_offset = 3 * block_size;

class CompressedSegment {
 public:
  // Error: what is wrong with the file, its path first; code ENOENT where there is none.
  static Result<std::unique_ptr<CompressedSegment>> open(io::Sys& sys, const std::string& path);
  ~CompressedSegment();
  CompressedSegment(const CompressedSegment&) = delete;
  CompressedSegment& operator=(const CompressedSegment&) = delete;

  const SegmentHeader& header() const { return header_; }
  const Seal& seal() const { return seal_; }
  Bytes header_block() const { return {heads_.data(), block_size}; }
  Bytes seal_block() const { return {heads_.data() + block_size, block_size}; }
  const CompressedHead& head() const { return head_; }
  std::uint64_t file_bytes() const { return file_bytes_; }
  std::uint64_t bytes_read() const { return own_bytes_ + pages_->bytes_read(); }

  const std::vector<ChunkEntry>& chunks() const { return chunks_; }
  // The chunk that holds a position; chunks().size(): none.
  std::size_t chunk_of(Position position) const;
  // Builds all records of a chunk in `image`, which has end - begin bytes: each at its position
  // minus the chunk's begin; what can't be had is zeros. False: a block is damaged.
  bool inflate(std::size_t chunk, MutableBytes image);

  // Blocks with records of a device, rising. Nothing: the directory is damaged.
  std::optional<std::vector<std::uint32_t>> blocks_of(std::uint64_t device_hash);
  // The records of one block of a chunk, one after the other, in `memory`. False: damaged.
  bool inflate_block(std::size_t chunk, std::uint32_t block, std::vector<std::uint8_t>& memory,
                     std::vector<ColumnDecoder::Place>& records);
  // Reads all pages of the directory.
  bool check_directory() { return pages_->check(); }

 private:
  CompressedSegment(io::Sys& sys, int fd);
  Result<void> load();
  bool load_chunks();
  bool read_inflated(std::uint64_t at, std::uint32_t bytes, std::uint32_t raw, std::uint32_t crc,
                     std::vector<std::uint8_t>& out);
  bool load_timeline(std::size_t chunk);
  bool decode_block(std::size_t chunk, std::uint32_t block, const ColumnDecoder::Target& target);
  std::optional<BlockEntry> block_entry(std::uint32_t block);

  struct FreeContext {
    void operator()(void* context) const;
  };
  io::Sys& sys_;
  int fd_;
  std::unique_ptr<void, FreeContext> context_;  // ZSTD_DCtx
  CompressedHead head_{};
  std::vector<std::uint8_t> heads_;
  SegmentHeader header_;
  Seal seal_;
  std::uint32_t seed_ = 0;
  std::uint64_t file_bytes_ = 0;
  std::uint64_t own_bytes_ = 0;
  std::unique_ptr<PageReader> pages_;
  HashDirectory directory_;
  std::vector<ChunkEntry> chunks_;
  Timeline timeline_;
  std::size_t timeline_chunk_ = ~std::size_t{0};
  ColumnDecoder decoder_;
  std::vector<std::uint8_t> packed_;
  std::vector<std::uint8_t> raw_;
};

}  // namespace ringgate::log
