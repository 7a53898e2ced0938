// Time of a shard for what costs far more than a frame does: opening encrypted bodies, checking
// compressed ones. A terminal has a share of it, and all terminals together another; so frames that
// are cheap to send and dear to read do not hold up those of others. Costs are estimates (limits
// header), not measured, so that the same input always ends the same way.
//
// One per shard, used only there.
#pragma once

#include <algorithm>

#include "engine/base/clock.hpp"
#include "protocols/jt808/limits.hpp"

namespace ringgate::jt808 {

class Allowance {
 public:
  // Whether more may be done for the terminal whose account is `own` (0 at first).
  bool open(MonoNs own, MonoNs now) const {
    return own - now <= dear_burst && all_ - now <= dear_burst;
  }
  // It was, and took so long.
  void charge(MonoNs cost_ns, MonoNs& own, MonoNs now) {
    own = std::max(own, now) + cost_ns * dear_share_own;
    all_ = std::max(all_, now) + cost_ns * dear_share_all;
  }

 private:
  MonoNs all_ = 0;  // paid until then
};

}  // namespace ringgate::jt808
