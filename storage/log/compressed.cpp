#include "storage/log/compressed.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>

#include "engine/base/crc32c.hpp"
#include "storage/log/format_version.hpp"
#include "storage/log/segz.hpp"

namespace ringgate::log {

void CompressedSegment::FreeContext::operator()(void* context) const {
  ZSTD_freeDCtx(static_cast<ZSTD_DCtx*>(context));
}

CompressedSegment::CompressedSegment(io::Sys& sys, int fd)
    : sys_(sys), fd_(fd), context_(ZSTD_createDCtx()) {
  RG_CHECK(context_ != nullptr);
}

CompressedSegment::~CompressedSegment() { sys_.close(fd_); }

Result<std::unique_ptr<CompressedSegment>> CompressedSegment::open(io::Sys& sys,
                                                                   const std::string& path) {
  const int fd = sys.open(path, O_RDONLY, 0);
  if (fd < 0) return errno_error(-fd, path);
  std::unique_ptr<CompressedSegment> file(new CompressedSegment(sys, fd));
  if (auto loaded = file->load(); !loaded) {
    return Error{loaded.error().code, path + ": " + loaded.error().message};
  }
  return file;
}

Result<void> CompressedSegment::load() {
  const std::int64_t size = sys_.file_size(fd_);
  if (size < static_cast<std::int64_t>(compressed_data_offset)) {
    return Error{0, "shorter than its header"};
  }
  file_bytes_ = static_cast<std::uint64_t>(size);
  heads_.resize(compressed_data_offset);
  if (sys_.pread(fd_, heads_, 0) != static_cast<std::int64_t>(heads_.size())) {
    return Error{0, "its header can't be read"};
  }
  own_bytes_ += heads_.size();
  std::memcpy(&head_, heads_.data(), sizeof head_);
  if (head_.magic != compressed_magic) return Error{0, "no compressed segment (wrong magic)"};
  if (head_.version != compressed_version) {
    return version_error(head_.version, compressed_version);
  }
  seed_ = crc_seed(head_.epoch);
  if (head_.crc != crc32c(seed_, Bytes(heads_).subspan(16, block_size - 16))) {
    return Error{0, "damaged header (wrong checksum)"};
  }
  heads_.erase(heads_.begin(), heads_.begin() + block_size);
  auto header = decode_header(header_block());
  if (!header) return header.error();
  header_ = *header;
  const auto seal = decode_seal(seal_block(), head_.epoch);
  if (header_.epoch != head_.epoch || !seal || seal->end < header_.base ||
      seal->end > header_.next_base()) {
    return Error{0, "its header and seal do not fit one another"};
  }
  seal_ = *seal;
  const std::uint64_t fixed = std::uint64_t{head_.chunks} * sizeof(ChunkEntry) +
                              std::uint64_t{head_.blocks} * sizeof(BlockEntry) +
                              (std::uint64_t{head_.devices} + 1) * sizeof(HashEntry);
  const std::uint64_t room = file_bytes_ - std::min(file_bytes_, head_.directory_at);
  if (head_.directory_bytes < fixed || head_.directory_bytes > room ||
      pages_bytes(head_.directory_bytes) > room) {
    return Error{0, "short, or with an impossible directory"};
  }
  pages_ = std::make_unique<PageReader>(sys_, fd_, head_.directory_at, head_.directory_bytes,
                                        seed_);
  directory_ = {*pages_, fixed - (std::uint64_t{head_.devices} + 1) * sizeof(HashEntry),
                head_.devices};
  if (!load_chunks()) return Error{0, "damaged directory"};
  return {};
}

// The chunks lie one after the other from the segment's base to its end.
bool CompressedSegment::load_chunks() {
  chunks_.resize(head_.chunks);
  const MutableBytes bytes{reinterpret_cast<std::uint8_t*>(chunks_.data()),
                           chunks_.size() * sizeof(ChunkEntry)};
  if (!pages_->read(0, bytes)) return false;
  Position at = header_.base;
  for (const ChunkEntry& chunk : chunks_) {
    if (chunk.begin != at || chunk.end <= chunk.begin || chunk.end > seal_.end ||
        chunk.end % 8 != 0 || chunk.end - chunk.begin > chunk_bytes_max + record_size_max ||
        chunk.first_block > head_.blocks || chunk.blocks > head_.blocks - chunk.first_block) {
      return false;
    }
    at = chunk.end;
  }
  return at == seal_.end;
}

std::size_t CompressedSegment::chunk_of(Position position) const {
  const auto after =
      std::upper_bound(chunks_.begin(), chunks_.end(), position,
                       [](Position p, const ChunkEntry& chunk) { return p < chunk.end; });
  if (after == chunks_.end() || position < after->begin) return chunks_.size();
  return static_cast<std::size_t>(after - chunks_.begin());
}

bool CompressedSegment::read_inflated(std::uint64_t at, std::uint32_t bytes, std::uint32_t raw,
                                      std::uint32_t crc, std::vector<std::uint8_t>& out) {
  if (raw > inflated_max || bytes > inflated_max) return false;
  packed_.resize(bytes);
  if (sys_.pread(fd_, packed_, at) != static_cast<std::int64_t>(bytes)) return false;
  own_bytes_ += bytes;
  if (crc32c(seed_, packed_) != crc) return false;
  out.resize(raw);
  const std::size_t got = ZSTD_decompressDCtx(static_cast<ZSTD_DCtx*>(context_.get()), out.data(),
                                              out.size(), packed_.data(), packed_.size());
  return ZSTD_isError(got) == 0 && got == raw;
}

bool CompressedSegment::load_timeline(std::size_t chunk) {
  if (timeline_chunk_ == chunk) return true;
  timeline_chunk_ = ~std::size_t{0};
  const ChunkEntry& entry = chunks_[chunk];
  if (!read_inflated(entry.timeline_at, entry.timeline_bytes, entry.timeline_raw,
                     entry.timeline_crc, raw_) ||
      !timeline_.decode(raw_, entry.begin, entry.end)) {
    return false;
  }
  timeline_chunk_ = chunk;
  return true;
}

std::optional<BlockEntry> CompressedSegment::block_entry(std::uint32_t block) {
  if (block >= head_.blocks) return std::nullopt;
  return pages_->value<BlockEntry>(head_.chunks * sizeof(ChunkEntry) + block * sizeof(BlockEntry));
}

bool CompressedSegment::decode_block(std::size_t chunk, std::uint32_t block,
                                     const ColumnDecoder::Target& target) {
  const auto entry = block_entry(block);
  if (!entry || !read_inflated(entry->at, entry->bytes, entry->raw, entry->crc, raw_)) {
    return false;
  }
  const ChunkRange range{chunks_[chunk].begin, chunks_[chunk].end};
  return decoder_.decode(raw_, range, timeline_, seed_, target) &&
         decoder_.check(seed_) == entry->check;
}

bool CompressedSegment::inflate(std::size_t chunk, MutableBytes image) {
  const ChunkEntry& entry = chunks_[chunk];
  std::memset(image.data(), 0, image.size());
  if (!load_timeline(chunk)) return false;
  bool whole = true;
  for (std::uint32_t i = 0; i < entry.blocks; ++i) {
    if (decode_block(chunk, entry.first_block + i, {image, false})) continue;
    whole = false;
    for (const ColumnDecoder::Place& record : decoder_.records()) {
      std::memset(record.at, 0, padded_size(record.size_bytes));
    }
  }
  return whole;
}

std::optional<std::vector<std::uint32_t>> CompressedSegment::blocks_of(std::uint64_t device_hash) {
  const auto bytes = directory_.places(device_hash);
  if (!bytes) return std::nullopt;
  std::vector<std::uint32_t> out;
  std::uint64_t block = 0;
  for (Bytes rest(*bytes); !rest.empty();) {
    std::uint64_t step = 0;
    if (!take_varint(rest, step) || step >= head_.blocks) return std::nullopt;
    block += step;
    if (block >= head_.blocks || (step == 0 && !out.empty())) return std::nullopt;
    out.push_back(static_cast<std::uint32_t>(block));
  }
  return out;
}

bool CompressedSegment::inflate_block(std::size_t chunk, std::uint32_t block,
                                      std::vector<std::uint8_t>& memory,
                                      std::vector<ColumnDecoder::Place>& records) {
  records.clear();
  const auto entry = block_entry(block);
  const std::uint64_t range = chunks_[chunk].end - chunks_[chunk].begin;
  if (!entry || entry->record_bytes > range || !load_timeline(chunk)) return false;
  memory.resize(entry->record_bytes);
  if (!decode_block(chunk, block, {memory, true})) return false;
  records = decoder_.records();
  return true;
}

}  // namespace ringgate::log
