// How many seeds a simulated test plays: a few hundred, thousands with tests/run --long.
// RG_TEST_SEEDS sets their number, RG_TEST_SEED plays one alone.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <cstdlib>

namespace ringgate::sim {

inline std::uint64_t number_from(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr || *text == 0 ? otherwise : std::strtoull(text, nullptr, 10);
}

template <class Play>
void for_seeds(std::uint64_t usual, std::uint64_t many, Play&& play) {
  if (const std::uint64_t only = number_from("RG_TEST_SEED", 0); only != 0) {
    CAPTURE(only);
    play(only);
    return;
  }
  const bool all = number_from("RG_TEST_LONG", 0) == 1;
  const std::uint64_t count = number_from("RG_TEST_SEEDS", all ? many : usual);
  for (std::uint64_t seed = 1; seed <= count; ++seed) {
    CAPTURE(seed);
    play(seed);
  }
}

}  // namespace ringgate::sim
