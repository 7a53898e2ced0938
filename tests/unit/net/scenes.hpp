// The grounds and features that every test of links runs on.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/unit/net/stage.hpp"

namespace ringgate::unit {

// What Linux 6.1 lacks.
constexpr std::uint32_t plain_6_1 = io::bit(io::Feature::recv_bundle) |
                                    io::bit(io::Feature::no_sqarray);

struct Scene {
  const char* name;
  bool simulated;
  std::uint32_t without;
};

inline const std::vector<Scene>& scenes() {
  static const std::vector<Scene> all = {
      {"real", false, 0},
      {"real, Linux 6.1", false, plain_6_1},
      {"real, single receives", false,
       plain_6_1 | io::bit(io::Feature::multishot_recv) |
           io::bit(io::Feature::multishot_recvmsg)},
      {"real, single accepts, eventfd", false,
       io::bit(io::Feature::multishot_accept) | io::bit(io::Feature::msg_ring)},
      {"real, no defer_taskrun", false, io::bit(io::Feature::defer_taskrun)},
      {"sim", true, 0},
      {"sim, Linux 6.1", true, plain_6_1},
      {"sim, least features", true,
       plain_6_1 | io::bit(io::Feature::multishot_recv) | io::bit(io::Feature::multishot_accept) |
           io::bit(io::Feature::msg_ring) | io::bit(io::Feature::multishot_recvmsg)},
  };
  return all;
}

inline std::unique_ptr<Ground> ground_of(const Scene& scene) {
  return scene.simulated ? make_sim_ground() : make_real_ground();
}

// Runs `play` on a fresh stage of each scene.
template <class Play>
void on_every_scene(StageOptions options, Play&& play) {
  for (const Scene& scene : scenes()) {
    CAPTURE(scene.name);
    options.without = scene.without;
    Stage stage(ground_of(scene), options);
    play(stage);
    stage.stop();
  }
}

inline std::string numbered(const char* before, int number, const std::string& after = "") {
  std::string text = before;
  text += std::to_string(number);
  text += after;
  text += '\n';
  return text;
}

}  // namespace ringgate::unit
