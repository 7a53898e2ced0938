// What the control plane sees and decides about the terminals of one shard: bans, watchers, bad
// frames. The session asks it; the gate (gate.hpp) shows and changes it. Lives on the shard.
#pragma once

#include "protocols/jt808/bad_frames.hpp"
#include "protocols/jt808/bans.hpp"
#include "protocols/jt808/tracer.hpp"

namespace ringgate::jt808 {

struct Oversight {
  explicit Oversight(net::Links& links) : tracer(links) {}

  Bans bans;
  Tracer tracer;
  BadFrames bad_frames;
};

}  // namespace ringgate::jt808
