#include "storage/log/segment_file.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <new>

namespace ringgate::log {

namespace {

constexpr std::string_view compressed_ending = ".segz";

}  // namespace

void FreeAligned::operator()(std::uint8_t* memory) const { std::free(memory); }

AlignedMemory aligned_memory(std::size_t size_bytes, std::size_t alignment) {
  void* memory = std::aligned_alloc(alignment, align_up(size_bytes, alignment));
  RG_CHECK(memory != nullptr);
  return AlignedMemory(static_cast<std::uint8_t*>(memory));
}

int open_maybe_direct(io::Sys& sys, const std::string& path, int flags, unsigned mode,
                      bool& direct) {
  int fd = sys.open(path, flags | O_DIRECT, mode);
  direct = fd >= 0;
  if (fd == -EINVAL) fd = sys.open(path, flags, mode);
  return fd;
}

Result<std::unique_ptr<SegmentFile>> SegmentFile::open(io::Sys& sys, const std::string& path,
                                                       Access access) {
  std::unique_ptr<SegmentFile> file(new SegmentFile(sys, path, access));
  if (path.ends_with(compressed_ending)) {
    if (auto opened = file->open_compressed(path); !opened) return opened.error();
    return file;
  }
  if (const int fd = file->open_file(); fd < 0) {
    // It may have been compressed since its name was read.
    if (fd == -ENOENT && file->open_compressed(compressed_name_of(path))) return file;
    return errno_error(-fd, path);
  }
  if (auto loaded = file->load_head(file->header_, file->seal_); !loaded) return loaded.error();
  file->seed_ = crc_seed(file->header_.epoch);
  return file;
}

SegmentFile::~SegmentFile() {
  if (fd_ >= 0) sys_.close(fd_);
}

int SegmentFile::open_file() {
  if (access_ == Access::scattered) {
    fd_ = sys_.open(path_, O_RDONLY, 0);
  } else {
    fd_ = open_maybe_direct(sys_, path_, O_RDONLY, 0, direct_);
  }
  return fd_;
}

Result<void> SegmentFile::open_compressed(const std::string& path) {
  auto opened = CompressedSegment::open(sys_, path);
  if (!opened) return opened.error();
  if (is_compressed_ && (*opened)->header().epoch != header_.epoch) {
    return Error{ENOENT, path + ": another segment"};
  }
  path_ = path;
  is_compressed_ = true;
  compressed_ = std::move(*opened);
  header_ = compressed_->header();
  seal_ = compressed_->seal();
  seed_ = crc_seed(header_.epoch);
  file_bytes_ = compressed_->file_bytes();
  return {};
}

// The plain file is gone or another segment by now: goes on in the compressed one, if there is one.
bool SegmentFile::switch_to_compressed() {
  auto opened = CompressedSegment::open(sys_, compressed_name_of(path_));
  if (!opened || (*opened)->header().epoch != header_.epoch) return false;
  opened->reset();
  return open_compressed(compressed_name_of(path_)).ok();
}

std::uint64_t SegmentFile::bytes_read() const {
  return bytes_read_ + (compressed_ ? compressed_->bytes_read() : 0);
}

// Whether the file is open and still this segment.
bool SegmentFile::ready() {
  if (is_compressed_) return compressed_ != nullptr || refresh();
  if (fd_ >= 0) return true;
  return refresh();
}

Result<void> SegmentFile::load_head(SegmentHeader& header, std::optional<Seal>& seal) {
  const AlignedMemory head = aligned_memory(records_offset);
  const std::int64_t got = sys_.pread(fd_, {head.get(), records_offset}, 0);
  if (got < 0) return errno_error(static_cast<int>(-got), path_);
  bytes_read_ += static_cast<std::uint64_t>(got);
  const auto decoded = decode_header({head.get(), static_cast<std::size_t>(got)});
  if (!decoded) return Error{decoded.error().code, path_ + ": " + decoded.error().message};
  header = *decoded;
  seal = static_cast<std::uint64_t>(got) < records_offset
             ? std::nullopt
             : decode_seal({head.get() + seal_offset, block_size}, header.epoch);
  if (seal && (seal->end < header.base || seal->end > header.next_base())) seal.reset();
  const std::int64_t size = sys_.file_size(fd_);
  if (size < 0) return errno_error(static_cast<int>(-size), path_);
  file_bytes_ = static_cast<std::uint64_t>(size);
  return {};
}

bool SegmentFile::refresh() {
  SegmentHeader header;
  std::optional<Seal> seal;
  forget_window();
  if (is_compressed_) return compressed_ != nullptr || open_compressed(std::string(path_)).ok();
  if (fd_ < 0 && open_file() < 0) return switch_to_compressed();
  if (!load_head(header, seal) || header.epoch != header_.epoch) {
    release();
    return switch_to_compressed();
  }
  seal_ = seal;
  return true;
}

void SegmentFile::will_need(Position position) {
  if (fd_ < 0 || direct_ || position < header_.base) return;
  const std::uint64_t offset = align_down(header_.offset_of(position), block_size);
  sys_.will_need(fd_, offset, scattered_window);
}

void SegmentFile::release() {
  window_.reset();
  chunk_room_ = 0;
  forget_window();
  if (fd_ >= 0) sys_.close(fd_);
  fd_ = -1;
  if (compressed_) bytes_read_ += compressed_->bytes_read();
  compressed_.reset();
}

// Builds the chunk that holds `offset`. What of it is damaged is zeros, and no record.
void SegmentFile::fill_chunk(std::uint64_t offset) {
  const std::size_t number = compressed_->chunk_of(offset - records_offset + header_.base);
  window_size_ = 0;
  if (number == compressed_->chunks().size()) return;
  const ChunkEntry& chunk = compressed_->chunks()[number];
  const std::uint64_t size = chunk.end - chunk.begin;
  if (size > chunk_room_) {
    window_ = aligned_memory(size);
    chunk_room_ = size;
  }
  if (!compressed_->inflate(number, {window_.get(), size})) ++unreadable_blocks_;
  window_offset_ = header_.offset_of(chunk.begin);
  window_size_ = size;
}

void SegmentFile::fill_window(std::uint64_t offset, std::uint64_t need) {
  const auto most = std::min<std::uint64_t>(scan_window + record_size_max, header_.size_bytes);
  if (!window_) window_ = aligned_memory(most);
  window_offset_ = align_down(offset, block_size);
  const std::uint64_t usual = access_ == Access::scattered ? scattered_window : window_bytes_;
  const std::uint64_t wanted = std::max(usual, offset - window_offset_ + need);
  const std::uint64_t capacity = std::min(align_up(wanted, block_size), most);
  const std::int64_t got = sys_.pread(fd_, {window_.get(), capacity}, window_offset_);
  if (got >= 0) {
    window_size_ = static_cast<std::uint64_t>(got);
    bytes_read_ += window_size_;
    return;
  }
  // Some block can't be read: find out which, keep the others.
  window_size_ = 0;
  for (std::uint64_t at = 0; at < capacity; at += block_size) {
    const std::int64_t block =
        sys_.pread(fd_, {window_.get() + at, block_size}, window_offset_ + at);
    if (block == 0) break;
    if (block < 0) {
      ++unreadable_blocks_;
      std::memset(window_.get() + at, 0, block_size);
    }
    window_size_ = at + (block < 0 ? block_size : static_cast<std::uint64_t>(block));
    if (window_offset_ + window_size_ >= file_bytes_) break;
  }
}

Bytes SegmentFile::at(std::uint64_t offset, std::uint64_t need) {
  if (offset < window_offset_ || offset + need > window_offset_ + window_size_) {
    if (!ready()) return {};
    if (is_compressed_) {
      // Records do not span chunks: what the window has from here on is all there is.
      const bool inside = offset >= window_offset_ && offset < window_offset_ + window_size_;
      if (!inside) fill_chunk(offset);
    } else {
      fill_window(offset, need);
    }
  }
  const std::uint64_t skip = offset - window_offset_;
  if (skip >= window_size_) return {};
  return {window_.get() + skip, window_size_ - skip};
}

std::optional<Record> SegmentFile::record_at(Position position) {
  if (position < header_.base || position + record_header_size > header_.next_base()) {
    return std::nullopt;
  }
  const std::uint64_t offset = header_.offset_of(position);
  const Bytes head = at(offset, record_header_size);
  const std::uint32_t size = claimed_size(head, position);
  if (size == 0 || position + padded_size(size) > header_.next_base()) return std::nullopt;
  return parse_record(at(offset, size), position, seed_);
}

}  // namespace ringgate::log
