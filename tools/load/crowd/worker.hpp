// A worker: the process that simulates its share of a run's users, on one thread and one ring. It
// is told a scenario and aims over a stream socket and says each second what happened
// (run/wire.hpp).
#pragma once

#include "tools/load/run/wire.hpp"

namespace ringgate::load {

// Runs until the run is over or the socket ends. `fd`: a connected stream socket, the worker's from
// now on; Hello has been said. `decoder`: what has been read of it already. Returns the process's
// exit status: 0 the run is over, 1 the coordinator has gone, 2 it could not begin (which has been
// said). Call it in a process of its own, without other threads.
int run_worker(int fd, wire::Decoder decoder);

}  // namespace ringgate::load
