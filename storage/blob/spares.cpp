#include "storage/blob/spares.hpp"

namespace ringgate::blob {

std::string Spares::path(std::uint32_t slot) const {
  return directory_ + "/spare-" + std::to_string(slot);
}

// The smallest that holds the upload, unless most of it would have to go; else the largest that
// holds half of it. Another shard may take it first: then the next best.
bool Spares::take(std::uint64_t size_bytes, const std::string& to) {
  if (size_bytes < spare_size_min || bytes() == 0) return false;
  for (std::uint32_t attempt = 0; attempt < spares_max; ++attempt) {
    std::uint32_t best = none;
    std::uint64_t best_size = 0;
    for (std::uint32_t slot = 0; slot < spares_max; ++slot) {
      const std::uint64_t size = slots_[slot].load(std::memory_order_relaxed);
      if (size == empty || size == held || size > 2 * size_bytes || size < size_bytes / 2) continue;
      const bool holds = size >= size_bytes;
      const bool best_holds = best_size >= size_bytes;
      const bool better = holds != best_holds ? holds : holds == (size < best_size);
      if (best == none || better) best = slot, best_size = size;
    }
    if (best == none) return false;
    if (!slots_[best].compare_exchange_strong(best_size, held, std::memory_order_acquire)) continue;
    const int moved = sys_.rename_new(path(best), to);
    if (moved < 0 && moved != -ENOENT) {
      slots_[best].store(best_size, std::memory_order_release);
      return false;
    }
    // Where it was not there any more, somebody has removed it.
    slots_[best].store(empty, std::memory_order_release);
    bytes_.fetch_sub(best_size, std::memory_order_relaxed);
    if (moved >= 0) return true;
  }
  return false;
}

std::uint32_t Spares::hold(std::uint64_t size_bytes) {
  if (size_bytes < spare_size_min || size_bytes > room_bytes_) return none;
  while (bytes() + size_bytes > room_bytes_) {
    if (!remove_oldest()) return none;  // all that count are being taken right now
  }
  for (;;) {
    for (std::uint32_t slot = 0; slot < spares_max; ++slot) {
      std::uint64_t is = empty;
      if (!slots_[slot].compare_exchange_strong(is, held, std::memory_order_acquire)) continue;
      ages_[slot] = next_age_++;
      bytes_.fetch_add(size_bytes, std::memory_order_relaxed);
      return slot;
    }
    if (!remove_oldest()) return none;
  }
}

void Spares::publish(std::uint32_t slot, std::uint64_t size_bytes) {
  slots_[slot].store(size_bytes, std::memory_order_release);
}

void Spares::drop(std::uint32_t slot, std::uint64_t size_bytes) {
  sys_.remove(path(slot));
  slots_[slot].store(empty, std::memory_order_release);
  bytes_.fetch_sub(size_bytes, std::memory_order_relaxed);
}

bool Spares::remove_spare(std::uint32_t slot) {
  std::uint64_t size = slots_[slot].load(std::memory_order_relaxed);
  if (size == empty || size == held) return false;
  if (!slots_[slot].compare_exchange_strong(size, held, std::memory_order_acquire)) return false;
  drop(slot, size);
  return true;
}

bool Spares::remove_oldest() {
  for (std::uint32_t attempt = 0; attempt < spares_max; ++attempt) {
    std::uint32_t oldest = none;
    for (std::uint32_t slot = 0; slot < spares_max; ++slot) {
      const std::uint64_t size = slots_[slot].load(std::memory_order_relaxed);
      if (size == empty || size == held) continue;
      if (oldest == none || ages_[slot] < ages_[oldest]) oldest = slot;
    }
    if (oldest == none) return false;
    if (remove_spare(oldest)) return true;
  }
  return false;
}

void Spares::clear() {
  while (remove_oldest()) {
  }
}

}  // namespace ringgate::blob
