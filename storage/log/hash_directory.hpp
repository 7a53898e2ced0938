// A directory of devices on pages, sorted by the hash of the device, and what it says of each: the
// part that indexes and compressed segments have in common. One owner, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "storage/log/pages.hpp"

namespace ringgate::log {

// One entry on disk. The last has all bits of the hash set and says where the places end.
struct HashEntry {
  std::uint64_t hash;
  std::uint64_t places_at;  // from the beginning of the places
};
static_assert(sizeof(HashEntry) == 16);

class HashDirectory {
 public:
  HashDirectory() = default;
  // `count` entries and the last one begin at `at`; the places follow them.
  HashDirectory(PageReader& pages, std::uint64_t at, std::uint32_t count)
      : pages_(&pages), at_(at), count_(count) {}

  std::uint32_t size() const { return count_; }
  std::uint64_t places_at() const { return at_ + (std::uint64_t{count_} + 1) * sizeof(HashEntry); }
  // What is said of a hash; empty where it has no entry. Nothing: the pages are damaged.
  std::optional<std::vector<std::uint8_t>> places(std::uint64_t hash);

 private:
  std::optional<std::uint64_t> hash_at(std::uint32_t entry);
  std::optional<std::uint32_t> find(std::uint64_t hash);

  PageReader* pages_ = nullptr;
  std::uint64_t at_ = 0;
  std::uint32_t count_ = 0;
};

}  // namespace ringgate::log
