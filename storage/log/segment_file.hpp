// A segment opened for reading: its two head blocks and a sliding window over its records. Uses
// O_DIRECT where it can, so that it sees the disk and not the page cache. One owner, any thread.
// Read-only.
//
// A compressed segment reads like the plain one it was made of; its window is a chunk. A plain file
// that is compressed while it is being read is read on in the compressed one.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "engine/base/bytes.hpp"
#include "engine/base/result.hpp"
#include "engine/io/sys.hpp"
#include "storage/log/compressed.hpp"
#include "storage/log/record.hpp"
#include "storage/log/segment.hpp"

namespace ringgate::log {

// Memory for O_DIRECT, not zeroed. `alignment` is a power of two, at least block_size.
struct FreeAligned {
  void operator()(std::uint8_t* memory) const;
};
using AlignedMemory = std::unique_ptr<std::uint8_t[], FreeAligned>;
AlignedMemory aligned_memory(std::size_t size_bytes, std::size_t alignment = block_size);

// Opens for O_DIRECT where the file system has it. `direct` says what came of it. fd or -errno.
int open_maybe_direct(io::Sys& sys, const std::string& path, int flags, unsigned mode,
                      bool& direct);

// How a segment will be read: all of it in order, or here and there. The latter reads little at a
// time and through the page cache: only for sealed segments, which change no more.
enum class Access : std::uint8_t { sequential, scattered };

class SegmentFile {
 public:
  // Error: what is wrong with the file, its path first; code ENOENT where it vanished.
  static Result<std::unique_ptr<SegmentFile>> open(io::Sys& sys, const std::string& path,
                                                   Access access = Access::sequential);
  ~SegmentFile();
  SegmentFile(const SegmentFile&) = delete;
  SegmentFile& operator=(const SegmentFile&) = delete;

  const std::string& path() const { return path_; }
  bool compressed() const { return is_compressed_; }
  const SegmentHeader& header() const { return header_; }
  std::uint32_t seed() const { return seed_; }
  const std::optional<Seal>& seal() const { return seal_; }
  std::uint64_t file_bytes() const { return file_bytes_; }
  // Reads the head blocks again: the seal may have come, the file may have become another segment.
  // False where it is no longer the same one.
  bool refresh();
  // How many bytes one read takes from now on, where no more are needed; scan_window and the
  // largest record by default, which is also the most.
  void set_window(std::uint64_t bytes) { window_bytes_ = bytes; }
  // Whether the header of a record at `position` lies in the window.
  bool holds(Position position) const {
    const std::uint64_t offset = header_.offset_of(position);
    return offset >= window_offset_ && offset + record_header_size <= window_offset_ + window_size_;
  }
  // A record at `position` will be read soon. Only where the file is read through the page cache.
  void will_need(Position position);
  // Forgets the window: what a live writer changed is read again.
  void forget_window() { window_size_ = 0; }
  // Frees the window and closes the file until it is needed again, so that any number of segments
  // may be known. A file that has become another segment meanwhile reads as empty.
  void release();

  // Bytes from `offset`, at least `need` where the file has them; valid until the next call.
  Bytes at(std::uint64_t offset, std::uint64_t need);
  // The valid record that begins at `position`, if there is one; points into the window.
  std::optional<Record> record_at(Position position);
  // From the disk, since it was opened.
  std::uint64_t bytes_read() const;
  // Blocks the disk could not read; they count as zeros.
  std::uint64_t unreadable_blocks() const { return unreadable_blocks_; }

 private:
  SegmentFile(io::Sys& sys, std::string path, Access access)
      : sys_(sys), path_(std::move(path)), access_(access) {}
  int open_file();
  bool ready();
  Result<void> open_compressed(const std::string& path);
  bool switch_to_compressed();
  void fill_chunk(std::uint64_t offset);
  Result<void> load_head(SegmentHeader& header, std::optional<Seal>& seal);
  void fill_window(std::uint64_t offset, std::uint64_t need);

  io::Sys& sys_;
  std::string path_;
  int fd_ = -1;
  bool direct_ = false;
  bool is_compressed_ = false;
  std::unique_ptr<CompressedSegment> compressed_;  // while it is open
  Access access_ = Access::sequential;
  SegmentHeader header_;
  std::optional<Seal> seal_;
  std::uint32_t seed_ = 0;
  std::uint64_t file_bytes_ = 0;
  AlignedMemory window_;
  std::uint64_t window_offset_ = 0;
  std::uint64_t window_size_ = 0;
  std::uint64_t window_bytes_ = scan_window + record_size_max;
  std::uint64_t chunk_room_ = 0;  // what window_ has room for, of a compressed segment
  std::uint64_t bytes_read_ = 0;
  std::uint64_t unreadable_blocks_ = 0;
};

}  // namespace ringgate::log
