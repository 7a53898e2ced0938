// A scenario in small. See shorten.hpp.
#include "tools/load/scenario/shorten.hpp"

#include <algorithm>
#include <cmath>

namespace ringgate::load {

namespace {

constexpr MonoNs stage_least_ns = 300 * ns_per_ms;
constexpr MonoNs interval_least_ns = 500 * ns_per_ms;
constexpr MonoNs pause_least_ns = 100 * ns_per_ms;
// Merged intervals are a second long.
constexpr MonoNs every_least_ns = ns_per_s;
constexpr MonoNs patience_least_ns = ns_per_s;
constexpr MonoNs recover_least_ns = 3 * ns_per_s;
constexpr MonoNs sustained_least_ns = 4 * ns_per_s;
constexpr MonoNs abort_least_ns = ns_per_s;
constexpr double levels_most = 3;  // of a search, after the first

MonoNs scaled(MonoNs time, double factor, MonoNs least) {
  const auto shorter = static_cast<MonoNs>(static_cast<double>(time) * factor);
  return std::max(shorter, std::min(time, least));
}

double users_of(double users, double factor) {
  return users > 0 ? std::max(1.0, std::round(users * factor)) : 0;
}

void shorten_pause(Pause& pause, double factor) {
  pause.min_ns = scaled(pause.min_ns, factor, pause_least_ns);
  pause.max_ns = scaled(pause.max_ns, factor, pause_least_ns);
  pause.mean_ns = scaled(pause.mean_ns, factor, pause_least_ns);
}

// Reports per second of all users of the class, by weight; what is unknown counts for nothing.
double load_of(const UserClass& one) {
  const double share = one.users > 0 ? one.users : one.weight;
  if (one.interval_ns <= 0) return 0;
  return share * static_cast<double>(ns_per_s) / static_cast<double>(one.interval_ns);
}

double load_of(const Scenario& scenario) {
  double sum = 0;
  for (const UserClass& one : scenario.classes) sum += one.users > 0 ? 0 : load_of(one);
  return sum;
}

void shorten_search(Stage& stage, double factor) {
  stage.every_ns = scaled(stage.every_ns, factor, every_least_ns);
  stage.patience_ns = scaled(stage.patience_ns, factor, patience_least_ns);
  stage.recover_ns = scaled(stage.recover_ns, factor, recover_least_ns);
  if (stage.to <= stage.from) stage.to = stage.from + 1;
  stage.growth = std::max(stage.growth, std::pow(stage.to / stage.from, 1 / levels_most));
  stage.increment = 0;
  // Room for every level, for intervals that come late, and for the recovery.
  const auto levels = static_cast<MonoNs>(levels_most) + 2;
  const MonoNs needed = levels * (stage.every_ns + ns_per_s) + stage.recover_ns;
  stage.duration_ns = std::max(stage.duration_ns, needed);
}

void shorten_stage(Stage& stage, double factor) {
  const MonoNs before = stage.duration_ns;
  const MonoNs least = stage.kind == StageKind::sustained ? sustained_least_ns : stage_least_ns;
  stage.duration_ns = scaled(stage.duration_ns, factor, least);
  // What lies inside keeps its place.
  const double inside = static_cast<double>(stage.duration_ns) / static_cast<double>(before);
  for (MonoNs* time : {&stage.at_ns, &stage.rise_ns, &stage.hold_ns, &stage.fall_ns,
                       &stage.period_ns}) {
    *time = static_cast<MonoNs>(static_cast<double>(*time) * inside);
  }
  if (stage.kind == StageKind::wave) stage.period_ns = std::max<MonoNs>(stage.period_ns, 1);
  stage.users = static_cast<std::uint32_t>(users_of(stage.users, factor));
  if (stage.vary == Vary::users) {
    stage.from = users_of(stage.from, factor);
    stage.to = users_of(stage.to, factor);
  }
  if (stage.kind == StageKind::stress) shorten_search(stage, factor);
}

void shorten_limit(Condition& condition, double load) {
  const bool rate = condition.metric == Metric::acked_rate ||
                    condition.metric == Metric::sent_rate ||
                    condition.metric == Metric::delivered_rate;
  if (rate) condition.scale_rate(load);
}

}  // namespace

void shorten(Scenario& scenario, double factor) {
  const double load_before = load_of(scenario);
  for (UserClass& one : scenario.classes) {
    one.users = static_cast<std::uint32_t>(users_of(one.users, factor));
    one.interval_ns = scaled(one.interval_ns, factor, interval_least_ns);
    for (Pause* pause : {&one.think, &one.stay, &one.away}) shorten_pause(*pause, factor);
  }
  const double load = load_before > 0 ? factor * load_of(scenario) / load_before : factor;
  for (Fault& fault : scenario.faults) {
    fault.at_ns = scaled(fault.at_ns, factor, 0);
    fault.for_ns = scaled(fault.for_ns, factor, pause_least_ns);
  }
  for (Stage& stage : scenario.stages) {
    shorten_stage(stage, factor);
    shorten_limit(stage.goal, load);
    for (Condition& bound : stage.bounds) shorten_limit(bound, load);
  }
  Thresholds& thresholds = scenario.thresholds;
  thresholds.abort_after_ns = scaled(thresholds.abort_after_ns, factor, abort_least_ns);
  for (Threshold& threshold : thresholds.all) shorten_limit(threshold.condition, load);
}

}  // namespace ringgate::load
