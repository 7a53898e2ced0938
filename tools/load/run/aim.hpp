// What a run wants at one moment. The shapes of a scenario compute it for all workers together; the
// coordinator sends each worker its share ten times a second. Plain values.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/base/clock.hpp"

namespace ringgate::load {

struct ClassAim {
  std::uint32_t users = 0;   // that should be there; more come, surplus ones leave
  double rate_factor = 1;    // of what each user sends: 2 is twice as often, 0 is silence
  bool operator==(const ClassAim&) const = default;
};

struct Aim {
  MonoNs at_ns = 0;            // since the run's start
  std::uint32_t stage = 0;     // index into the scenario's stages
  bool over = false;           // the last stage has ended
  std::vector<ClassAim> classes;  // one for each class of the scenario, in its order
  bool operator==(const Aim&) const = default;
};

// The share of worker `worker` of `workers` in `total` users. User number i of a class in worker w
// is user i * workers + w of the class in the run, so numbers (phones, addresses) never collide and
// the shares of all workers are exactly users 0 to total - 1.
constexpr std::uint32_t share_of(std::uint32_t total, std::uint32_t worker,
                                 std::uint32_t workers) {
  return total / workers + (worker < total % workers ? 1 : 0);
}
constexpr std::uint64_t global_user(std::uint32_t index, std::uint32_t worker,
                                    std::uint32_t workers) {
  return std::uint64_t{index} * workers + worker;
}

}  // namespace ringgate::load
