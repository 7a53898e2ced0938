// Holds a measured value at a goal by changing the load: a PI controller on the logarithm of the
// load, so that it behaves alike at 10 users and at 100,000. Pure; one thread.
//
// The measured value is taken to grow with the load, about in proportion at first, and to flatten
// where the server is full. Load changes by at most a factor of `step_max` per interval; while the
// load stands at a bound the integral does not wind up.
#pragma once

#include <cstdint>

#include "engine/base/clock.hpp"

namespace ringgate::load {

struct ControllerOptions {
  double goal = 1;       // of the measured value, above 0
  double start = 1;      // load, within the bounds
  double load_min = 1;   // above 0
  double load_max = 1;
  double proportional = 0.3;  // of the logarithmic error
  double integral_per_s = 0.25;
  double step_max = 2;        // factor of the load per interval
};

struct ControlState {
  double goal = 0;
  double load = 0;
  double measured = 0;      // smoothed
  bool settled = false;     // within 5 % of the goal for five intervals on end
  MonoNs settled_ns = -1;   // since the run's start, when it first was
  bool out_of_reach = false;  // at a bound, and the goal still missed, for ten intervals
};

class Controller {
 public:
  explicit Controller(const ControllerOptions& options);
  // The load for the next interval. `measured`: over the last one, of `seconds`, ended at `now`.
  double next(double measured, double seconds, MonoNs now);
  double load() const { return state_.load; }
  const ControlState& state() const { return state_; }

 private:
  ControllerOptions options_;
  ControlState state_;
  double integral_ = 0;  // logarithm of the load without the proportional part
  bool first_ = true;
  std::uint32_t near_ = 0;   // intervals on end
  std::uint32_t stuck_ = 0;
};

}  // namespace ringgate::load
