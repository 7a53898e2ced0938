#include "engine/base/ids.hpp"

namespace ringgate {

std::uint64_t hash(const DeviceKey& key) {
  // 8 bytes at a time, multiply and fold (the constants are from SplitMix64). Not keyed: a table
  // that strangers can fill bounds its probes itself.
  const std::uint64_t salt = std::uint64_t{key.size} << 8 | std::uint8_t(key.ns);
  std::uint64_t state = 0x9e3779b97f4a7c15ULL ^ salt;
  for (std::size_t at = 0; at < key.size; at += 8) {
    std::uint64_t word = 0;
    const std::size_t left = key.size - at;
    std::memcpy(&word, key.text + at, left < 8 ? left : 8);
    state = (state ^ word) * 0xbf58476d1ce4e5b9ULL;
    state ^= state >> 29;
  }
  state *= 0x94d049bb133111ebULL;
  return state ^ (state >> 32);
}

}  // namespace ringgate
