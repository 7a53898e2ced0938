// Holds a measured value at a goal by changing the load: a PI controller on the logarithms of load
// and value, so that it behaves alike at 10 users and at 100,000. Pure; one thread.
//
// The value is taken to grow with the load, about in proportion at first, and to flatten where the
// server is full. The load changes by at most a factor of `step_max` per interval, and does not
// wind up at a bound.
#pragma once

#include <cstdint>

#include "engine/base/clock.hpp"

namespace ringgate::load {

struct ControllerOptions {
  double goal = 1;      // of the measured value, above 0
  double start = 1;     // load, within the bounds
  double load_min = 1;  // above 0
  double load_max = 1;
  // The error of a server that answers at once halves in three intervals of a second; it stays
  // stable where the value follows the load three intervals late, or with its power of 1.5.
  double proportional = 0.15;     // of the logarithmic error's change
  double integral_per_s = 0.25;   // of the logarithmic error
  double step_max = 2;            // factor of the load per interval
};

struct ControlState {
  double goal = 0;
  double load = 0;
  double measured = 0;       // over the last interval
  bool settled = false;      // within 5 % of the goal for five intervals on end
  MonoNs settled_ns = -1;    // since the run's start, when it first was; -1: not yet
  bool out_of_reach = false;  // at a bound, and the goal still missed, for ten intervals
};

class Controller {
 public:
  explicit Controller(const ControllerOptions& options);
  // The load for the next interval. `measured`: over the last one, of `seconds`, ended at `now`. An
  // interval shorter than 200 ms says too little: the load stays.
  double next(double measured, double seconds, MonoNs now);
  double load() const { return state_.load; }
  const ControlState& state() const { return state_; }

 private:
  ControllerOptions options_;
  ControlState state_;
  double last_error_ = 0;
  bool first_ = true;
  std::uint32_t near_ = 0;   // intervals on end
  std::uint32_t stuck_ = 0;
};

}  // namespace ringgate::load
