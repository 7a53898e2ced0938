// A PI controller on logarithms. See controller.hpp.
#include "tools/load/scenario/controller.hpp"

#include <algorithm>
#include <cmath>

namespace ringgate::load {

namespace {

constexpr double seconds_min = 0.2;
constexpr double seconds_max = 2;  // a longer interval is no reason for a larger step
constexpr double near_share = 0.05;
constexpr std::uint32_t near_intervals = 5;
constexpr std::uint32_t stuck_intervals = 10;

}  // namespace

Controller::Controller(const ControllerOptions& options) : options_(options) {
  state_.goal = options.goal;
  state_.load = std::clamp(options.start, options.load_min, options.load_max);
}

double Controller::next(double measured, double seconds, MonoNs now) {
  state_.measured = measured;
  if (seconds < seconds_min) return state_.load;
  const double step = std::log(options_.step_max);
  // Nothing measured: as much as may be in one step.
  const double error =
      measured > 0 ? std::clamp(std::log(options_.goal / measured), -4.0, 4.0) : 4.0;
  const double change = options_.proportional * (first_ ? 0 : error - last_error_) +
                        options_.integral_per_s * std::min(seconds, seconds_max) * error;
  first_ = false;
  last_error_ = error;
  const double wanted = std::log(state_.load) + std::clamp(change, -step, step);
  const double load = std::clamp(std::exp(wanted), options_.load_min, options_.load_max);

  const bool near = std::abs(measured - options_.goal) <= near_share * options_.goal;
  near_ = near ? near_ + 1 : 0;
  state_.settled = near_ >= near_intervals;
  if (state_.settled && state_.settled_ns < 0) state_.settled_ns = now;
  const bool at_bound = (load >= options_.load_max && error > 0) ||
                        (load <= options_.load_min && error < 0);
  stuck_ = at_bound && !near ? stuck_ + 1 : 0;
  state_.out_of_reach = stuck_ >= stuck_intervals;
  state_.load = load;
  return load;
}

}  // namespace ringgate::load
