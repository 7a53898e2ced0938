// Requests that the gateway failed to serve (status 500 and above), by what was asked for. Plane
// thread only.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/base/clock.hpp"
#include "protocols/api/route.hpp"

namespace ringgate::api {

struct Failure {
  const Route* route = nullptr;
  std::uint16_t status = 0;
  WallUs time = 0;  // of the last
  std::uint64_t count = 0;
};

class Failures {
 public:
  // The table of routes bounds them: there are some ten statuses.
  void note(const Route& route, std::uint16_t status, WallUs now) {
    if (status < 500) return;
    for (Failure& one : all_) {
      if (one.route != &route || one.status != status) continue;
      one.time = now;
      ++one.count;
      return;
    }
    all_.push_back({&route, status, now, 1});
  }
  const std::vector<Failure>& all() const { return all_; }

 private:
  std::vector<Failure> all_;
};

}  // namespace ringgate::api
