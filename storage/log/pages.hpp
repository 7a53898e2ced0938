// Pages that check themselves: what indexes and directories of compressed segments lie in
// (FORMAT.md, "Pages"). A logical string of bytes is cut into pieces of 4092; each page ends with
// a CRC that knows the epoch and the page's number, so that no page is taken for another.
//
// PageReader: one owner, any thread; reads the pages that are asked for and no others.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/bytes.hpp"
#include "engine/io/sys.hpp"
#include "storage/log/limits.hpp"

namespace ringgate::log {

constexpr std::uint32_t page_room = block_size - 4;

// The pages of `content`; the last is filled up with zeros. `seed`: crc_seed of the epoch.
std::vector<std::uint8_t> pages_of(Bytes content, std::uint32_t seed);
constexpr std::uint64_t pages_bytes(std::uint64_t content_bytes) {
  return (content_bytes + page_room - 1) / page_room * block_size;
}

class PageReader {
 public:
  // Pages begin at `offset` of the open file and hold `size_bytes` of content. The fd stays the
  // caller's.
  PageReader(io::Sys& sys, int fd, std::uint64_t offset, std::uint64_t size_bytes,
             std::uint32_t seed)
      : sys_(sys), fd_(fd), offset_(offset), size_bytes_(size_bytes), seed_(seed) {}

  std::uint64_t size_bytes() const { return size_bytes_; }
  std::uint64_t bytes_read() const { return bytes_read_; }
  // False: beyond the end, or a page is damaged or can't be read; then broken() for good.
  bool read(std::uint64_t at, MutableBytes into);
  template <class T>
  std::optional<T> value(std::uint64_t at) {
    std::uint8_t bytes[sizeof(T)];
    if (!read(at, bytes)) return std::nullopt;
    return load_native<T>(bytes);
  }
  bool broken() const { return broken_; }
  // Fetches so many bytes of content from `at` on at once, as far as they are there.
  void fetch(std::uint64_t at, std::uint64_t size_bytes);
  // Reads every page.
  bool check();

 private:
  using Page = std::unique_ptr<std::uint8_t[]>;
  const std::uint8_t* page(std::uint64_t number);
  bool take(std::uint64_t number, const std::uint8_t* bytes);

  io::Sys& sys_;
  int fd_;
  std::uint64_t offset_;
  std::uint64_t size_bytes_;
  std::uint32_t seed_;
  std::uint64_t bytes_read_ = 0;
  bool broken_ = false;
  std::map<std::uint64_t, Page> pages_;
};

// Numbers of 7 bits a byte, the lowest first; bit 7 says that more follow.
void put_varint(std::vector<std::uint8_t>& out, std::uint64_t value);
// Takes one off the front. False: none is there, or it is longer than 64 bits.
bool take_varint(Bytes& from, std::uint64_t& value);
constexpr std::uint64_t zigzag(std::int64_t value) {
  return (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
}
constexpr std::int64_t unzigzag(std::uint64_t value) {
  return static_cast<std::int64_t>(value >> 1) ^ -static_cast<std::int64_t>(value & 1);
}

}  // namespace ringgate::log
