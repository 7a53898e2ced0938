// What a run wants at each moment: turns the stages of a scenario into users of each class and a
// rate factor. Pure: the caller brings the time and what was measured; the same calls give the same
// aims. Lives in the coordinator; one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/clock.hpp"
#include "tools/load/run/aim.hpp"
#include "tools/load/scenario/controller.hpp"
#include "tools/load/scenario/scenario.hpp"
#include "tools/load/scenario/stress.hpp"

namespace ringgate::load {

// A merged interval: what the controllers go by. Intervals come in order and do not overlap.
struct Observation {
  MonoNs from_ns = 0;  // since the run's start
  MonoNs to_ns = 0;
  Measured all;         // of all classes together
};

struct StageSpan {
  std::uint32_t stage = 0;
  MonoNs from_ns = 0;
  MonoNs until_ns = -1;  // -1: it is still on
};

class Shape {
 public:
  explicit Shape(const Scenario& scenario);  // which must outlive it

  // `since_start` never goes back.
  Aim at(MonoNs since_start);
  // Each merged interval, as soon as it is there.
  void observe(const Observation& observation);

  // When it should end, as far as is known: a stress stage may end earlier.
  MonoNs planned_end_ns() const;
  const std::vector<StageSpan>& spans() const { return spans_; }
  // What a stress stage found so far; null for stages of other kinds and before it began.
  const StressResult* stress(std::uint32_t stage) const;
  // What a sustained stage does at the moment, or did at its end; null as above.
  const ControlState* control(std::uint32_t stage) const;
  // "holds acked_rate 900/s at 412 users: 896/s", "level 4: 800 of at most 2000 users"; empty:
  // nothing to say beyond the stage's name.
  std::string doing() const;

 private:
  const Stage& stage() const { return scenario_.stages[stage_]; }
  void begin(std::uint32_t stage, MonoNs at);
  void end(MonoNs at);
  double level(MonoNs now) const;
  std::uint32_t paced(std::uint32_t users, MonoNs now);

  const Scenario& scenario_;
  std::uint32_t stage_ = 0;
  bool over_ = false;
  std::vector<StageSpan> spans_;
  std::vector<std::optional<Controller>> controllers_;  // by stage
  std::vector<std::optional<StressSearch>> searches_;
  double coming_ = 0;       // users that came so far, paced by connect_rate
  MonoNs coming_ns_ = 0;
};

// The level of a stage that depends on nothing but the time, `into` it.
double level_at(const Stage& stage, MonoNs into);
// `users` of a stage onto the classes by weight: whole numbers that add up, each as near its part
// as can be, and none falls when `users` grows; classes with a number of their own get that.
std::vector<std::uint32_t> spread(const std::vector<UserClass>& classes, std::uint32_t users);

}  // namespace ringgate::load
