// What the control plane sees and decides about the terminals of one shard: bans, registrations,
// watchers, bad frames. The session asks it; the gate (gate.hpp) shows and changes it. Lives on the
// shard.
#pragma once

#include "protocols/jt808/bad_frames.hpp"
#include "protocols/jt808/tracer.hpp"
#include "storage/state/store.hpp"

namespace ringgate::jt808 {

struct Oversight {
  Oversight(net::Links& links, log::Writer& log)
      : own_state(std::make_unique<state::Store>(log, links.budget())),
        state(own_state.get()),
        tracer(links) {}

  // A shard whose rooms share a state gives it; else this one is the session's own.
  void use(state::Store& shared) {
    state = &shared;
    own_state.reset();
  }

  std::unique_ptr<state::Store> own_state;
  state::Store* state;  // bans, registrations, generations of codes
  Tracer tracer;
  BadFrames bad_frames;
};

}  // namespace ringgate::jt808
