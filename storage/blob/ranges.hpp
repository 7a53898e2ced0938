// Which bytes of an upload are there: pieces in order that neither touch nor overlap, each with the
// CRC-32C of its bytes where the caller keeps it. One owner, any thread.
#pragma once

#include <cstdint>
#include <vector>

namespace ringgate::blob {

class Ranges {
 public:
  struct Piece {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    std::uint32_t crc32c = 0;
  };

  // Adds bytes that are not there yet; pieces that touch become one.
  void add(std::uint64_t begin, std::uint64_t end, std::uint32_t crc32c = 0) {
    insert(begin, end, crc32c, false);
  }
  // Likewise, joining the CRCs.
  void add_checked(std::uint64_t begin, std::uint64_t end, std::uint32_t crc32c) {
    insert(begin, end, crc32c, true);
  }

  // Where the run of bytes that are there, or are missing, ends that `at` begins in.
  struct Run {
    bool present = false;
    std::uint64_t end = 0;  // ~0: nothing comes any more
  };
  Run run_at(std::uint64_t at) const;
  // Whether adding a byte at `at` needs one more piece.
  bool needs_piece(std::uint64_t at) const;

  bool whole(std::uint64_t size_bytes) const {
    if (size_bytes == 0) return true;
    return pieces_.size() == 1 && pieces_[0].begin == 0 && pieces_[0].end >= size_bytes;
  }
  std::uint64_t bytes() const { return bytes_; }
  const std::vector<Piece>& pieces() const { return pieces_; }
  void clear() {
    pieces_.clear();
    bytes_ = 0;
  }

 private:
  void insert(std::uint64_t begin, std::uint64_t end, std::uint32_t crc32c, bool checked);
  std::size_t after(std::uint64_t at) const;  // the first piece that begins above `at`

  std::vector<Piece> pieces_;
  std::uint64_t bytes_ = 0;
};

}  // namespace ringgate::blob
