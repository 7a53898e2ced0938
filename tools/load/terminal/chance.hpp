// Seeded chance: the same seed and the same calls give the same terminal. Pure; one thread.
#pragma once

#include <cstdint>

namespace ringgate::load {

class Chance {
 public:
  explicit Chance(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15 + 0x2545f4914f6cdd1d) {
    if (state_ == 0) state_ = 1;
  }
  std::uint32_t next() {  // xorshift64*
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return static_cast<std::uint32_t>((state_ * 0x2545f4914f6cdd1d) >> 32);
  }
  std::uint32_t below(std::uint32_t limit) { return next() % limit; }
  bool hits(double probability) { return next() < probability * 4294967296.0; }
  std::uint8_t byte() { return static_cast<std::uint8_t>(next() >> 24); }

 private:
  std::uint64_t state_;
};

}  // namespace ringgate::load
