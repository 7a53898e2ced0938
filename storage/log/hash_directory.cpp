#include "storage/log/hash_directory.hpp"

#include <cstddef>

namespace ringgate::log {

std::optional<std::uint64_t> HashDirectory::hash_at(std::uint32_t entry) {
  return pages_->value<std::uint64_t>(at_ + entry * sizeof(HashEntry));
}

// The entry of a hash, or count_ where there is none. Hashes are spread evenly: it lies near
// where it would lie if they were so exactly.
std::optional<std::uint32_t> HashDirectory::find(std::uint64_t hash) {
  constexpr std::uint32_t first_step = page_room / sizeof(HashEntry);
  const auto guess = static_cast<std::uint32_t>(((hash >> 32) * count_) >> 32);
  std::uint32_t low = guess;   // below it all are lower
  std::uint32_t high = guess;  // from it on all are as high or higher
  for (std::uint32_t step = first_step / 4; low > 0; step *= 2) {
    const std::uint32_t at = low > step ? low - step : 0;
    const auto there = hash_at(at);
    if (!there) return std::nullopt;
    low = at;
    if (*there < hash) break;
    high = at;
  }
  for (std::uint32_t step = first_step / 4; high < count_; step *= 2) {
    const auto there = hash_at(high);
    if (!there) return std::nullopt;
    if (*there >= hash) break;
    low = high + 1;
    high = count_ - high > step ? high + step : count_;
  }
  while (low < high) {
    const std::uint32_t middle = low + (high - low) / 2;
    const auto there = hash_at(middle);
    if (!there) return std::nullopt;
    if (*there < hash) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == count_) return count_;
  const auto there = hash_at(low);
  if (!there) return std::nullopt;
  return *there == hash ? low : count_;
}

std::optional<std::vector<std::uint8_t>> HashDirectory::places(std::uint64_t hash) {
  const auto entry = find(hash);
  if (!entry) return std::nullopt;
  std::vector<std::uint8_t> out;
  if (*entry == count_) return out;
  const std::uint64_t at = at_ + *entry * sizeof(HashEntry) + offsetof(HashEntry, places_at);
  const auto begin = pages_->value<std::uint64_t>(at);
  const auto end = pages_->value<std::uint64_t>(at + sizeof(HashEntry));
  if (!begin || !end || *begin >= *end || *end > pages_->size_bytes() - places_at()) {
    return std::nullopt;
  }
  out.resize(*end - *begin);
  if (!pages_->read(places_at() + *begin, out)) return std::nullopt;
  return out;
}

}  // namespace ringgate::log
