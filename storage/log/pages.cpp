#include "storage/log/pages.hpp"

#include <algorithm>
#include <cstring>

#include "engine/base/crc32c.hpp"

namespace ringgate::log {

namespace {

// A search touches a few; more than this many are kept by nobody.
constexpr std::size_t pages_kept_max = 512;

std::uint32_t page_crc(std::uint32_t seed, std::uint64_t number, const std::uint8_t* page) {
  std::uint8_t bytes[8];
  store_native(bytes, number);
  return crc32c(crc32c(seed, bytes), {page, page_room});
}

}  // namespace

std::vector<std::uint8_t> pages_of(Bytes content, std::uint32_t seed) {
  std::vector<std::uint8_t> out(pages_bytes(content.size()));
  std::uint64_t number = 0;
  for (std::size_t at = 0; at < content.size(); at += page_room, ++number) {
    std::uint8_t* page = out.data() + number * block_size;
    const Bytes piece = content.subspan(at, std::min<std::size_t>(page_room, content.size() - at));
    std::memcpy(page, piece.data(), piece.size());
    store_native(page + page_room, page_crc(seed, number, page));
  }
  return out;
}

const std::uint8_t* PageReader::page(std::uint64_t number) {
  const auto known = pages_.find(number);
  if (known != pages_.end()) return known->second.get();
  if (broken_) return nullptr;
  std::uint8_t bytes[block_size];
  const std::int64_t got = sys_.pread(fd_, bytes, offset_ + number * block_size);
  broken_ = got != block_size;
  if (broken_ || !take(number, bytes)) return nullptr;
  return pages_.find(number)->second.get();
}

// A page as it was read. False: damaged.
bool PageReader::take(std::uint64_t number, const std::uint8_t* bytes) {
  broken_ = load_native<std::uint32_t>(bytes + page_room) != page_crc(seed_, number, bytes);
  if (broken_) return false;
  bytes_read_ += block_size;
  if (pages_.size() >= pages_kept_max) pages_.clear();
  Page fresh(new std::uint8_t[block_size]);
  std::memcpy(fresh.get(), bytes, block_size);
  pages_.emplace(number, std::move(fresh));
  return true;
}

void PageReader::fetch(std::uint64_t at, std::uint64_t size_bytes) {
  const std::uint64_t end = std::min(size_bytes_, at + std::min(size_bytes, size_bytes_));
  std::uint64_t first = at / page_room;
  std::uint64_t after = (end + page_room - 1) / page_room;
  after = std::min<std::uint64_t>(after, first + pages_kept_max / 2);
  while (first < after && pages_.contains(first)) ++first;
  while (first < after && pages_.contains(after - 1)) --after;
  if (broken_ || after < first + 2) return;  // one is read when it is asked for
  std::vector<std::uint8_t> bytes((after - first) * block_size);
  const std::int64_t got = sys_.pread(fd_, bytes, offset_ + first * block_size);
  for (std::uint64_t i = 0; first + i < after && got >= static_cast<std::int64_t>(
                                                             (i + 1) * block_size); ++i) {
    if (!pages_.contains(first + i) && !take(first + i, bytes.data() + i * block_size)) return;
  }
}

bool PageReader::read(std::uint64_t at, MutableBytes into) {
  if (at > size_bytes_ || into.size() > size_bytes_ - at) return false;
  if (at / page_room != (at + into.size() - 1) / page_room) fetch(at, into.size());
  std::size_t done = 0;
  while (done < into.size()) {
    const std::uint8_t* from = page(at / page_room);
    if (from == nullptr) return false;
    const std::uint64_t skip = at % page_room;
    const std::size_t take = std::min<std::size_t>(page_room - skip, into.size() - done);
    std::memcpy(into.data() + done, from + skip, take);
    done += take;
    at += take;
  }
  return true;
}

bool PageReader::check() {
  for (std::uint64_t number = 0; number * page_room < size_bytes_; ++number) {
    if (page(number) == nullptr) return false;
  }
  return true;
}

void put_varint(std::vector<std::uint8_t>& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<std::uint8_t>(value | 0x80));
  out.push_back(static_cast<std::uint8_t>(value));
}

bool take_varint(Bytes& from, std::uint64_t& value) {
  value = 0;
  for (unsigned shift = 0; shift < 64 && !from.empty(); shift += 7) {
    const std::uint8_t byte = from.front();
    from = from.subspan(1);
    value |= std::uint64_t{byte & 0x7fU} << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

}  // namespace ringgate::log
