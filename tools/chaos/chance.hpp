// Chance that can be replayed: the same seed gives the same draws on every machine. A value; not
// shared between threads.
#pragma once

#include <cmath>
#include <cstdint>
#include <string_view>

namespace ringgate::chaos {

// splitmix64's finish: a good hash of 64 bits.
constexpr std::uint64_t scramble(std::uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
  return value ^ (value >> 31);
}
// The seed of something inside of what has `seed`: a connection of a rule, a direction of that.
constexpr std::uint64_t seed_of(std::uint64_t seed, std::uint64_t part) {
  return scramble(seed + 0x9e3779b97f4a7c15ULL * (part + 1));
}
constexpr std::uint64_t seed_of(std::uint64_t seed, std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return seed_of(seed, hash);
}

class Chance {
 public:
  explicit Chance(std::uint64_t seed = 0) : state_(seed) {}

  std::uint64_t next() { return scramble(state_ += 0x9e3779b97f4a7c15ULL); }
  // In [0, 1).
  double share() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
  // True in a share `probability` of all calls. One draw, whatever it is.
  bool hits(double probability) { return share() < probability; }
  std::uint64_t below(std::uint64_t bound) {
    return static_cast<std::uint64_t>(share() * static_cast<double>(bound));
  }
  // In [-width, width].
  double uniform(double width) { return (share() * 2 - 1) * width; }
  // With mean 0 (Box and Muller). Two draws.
  double normal(double deviation) {
    constexpr double two_pi = 6.283185307179586;
    const double radius = std::sqrt(-2 * std::log(1 - share()));
    return deviation * radius * std::cos(two_pi * share());
  }
  // How many are passed over before the next hit, where each is hit with `probability`: what
  // counting with hits() would find, in one draw.
  std::uint64_t gap(double probability) {
    constexpr std::uint64_t never = ~std::uint64_t{0} >> 1;
    if (probability >= 1) return 0;
    const double count = std::floor(std::log(1 - share()) / std::log1p(-probability));
    return count < 9e18 ? static_cast<std::uint64_t>(count) : never;
  }

 private:
  std::uint64_t state_;
};

}  // namespace ringgate::chaos
