// From stages to aims. See shape.hpp.
#include "tools/load/scenario/shape.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace ringgate::load {

namespace {

constexpr MonoNs day_ns = 24 * 3600 * ns_per_s;

double share_of_time(MonoNs part, MonoNs whole) {
  if (whole <= 0) return 1;
  return std::clamp(static_cast<double>(part) / static_cast<double>(whole), 0.0, 1.0);
}

double spike_at(const Stage& stage, MonoNs into) {
  const MonoNs top = stage.at_ns + stage.rise_ns;
  const MonoNs down = top + stage.hold_ns;
  if (into < stage.at_ns || into >= down + stage.fall_ns) return stage.from;
  double share = 1;
  if (into < top) share = share_of_time(into - stage.at_ns, stage.rise_ns);
  if (into >= down) share = 1 - share_of_time(into - down, stage.fall_ns);
  return stage.from + (stage.to - stage.from) * share;
}

// The straight line between two points of the day; the last and the first are neighbours.
double day_share(const std::vector<DayPoint>& day, MonoNs at) {
  const auto after = std::upper_bound(day.begin(), day.end(), at,
                                      [](MonoNs t, const DayPoint& point) {
                                        return t < point.at_ns;
                                      });
  const DayPoint& left = after == day.begin() ? day.back() : *std::prev(after);
  const DayPoint& right = after == day.end() ? day.front() : *after;
  const MonoNs since = (at - left.at_ns + day_ns) % day_ns;
  const MonoNs whole = (right.at_ns - left.at_ns + day_ns) % day_ns;
  // One point is the whole day.
  return left.share + (right.share - left.share) * (whole == 0 ? 0 : share_of_time(since, whole));
}

double day_at(const Stage& stage, MonoNs into) {
  const double played = static_cast<double>(stage.day_until_ns - stage.day_from_ns) *
                        share_of_time(into, stage.duration_ns);
  const MonoNs at = (stage.day_from_ns + static_cast<MonoNs>(played)) % day_ns;
  return stage.to * day_share(stage.day, at);
}

}  // namespace

double level_at(const Stage& stage, MonoNs into) {
  const double share = share_of_time(into, stage.duration_ns);
  const double height = stage.to - stage.from;
  switch (stage.kind) {
    case StageKind::constant: return stage.to;
    case StageKind::ramp: return stage.from + height * share;
    case StageKind::step: {
      // `steps` levels of the same length: the first is `from`, the last is `to`.
      const double last = static_cast<double>(std::max(stage.steps, 2U) - 1);
      return stage.from + height * std::min(std::floor(share * (last + 1)), last) / last;
    }
    case StageKind::spike: return spike_at(stage, into);
    case StageKind::wave: {
      const double turns = static_cast<double>(into) / static_cast<double>(stage.period_ns);
      return stage.from + height * (1 - std::cos(2 * std::numbers::pi * turns)) / 2;
    }
    case StageKind::day: return day_at(stage, into);
    case StageKind::sustained:
    case StageKind::stress: break;
  }
  return stage.from;
}

std::vector<std::uint32_t> spread(const std::vector<UserClass>& classes, std::uint32_t users) {
  double weights = 0;
  for (const UserClass& one : classes) weights += one.users == 0 ? one.weight : 0;
  std::vector<std::uint32_t> out(classes.size());
  std::int64_t left = users;
  for (std::size_t i = 0; i < classes.size(); ++i) {
    out[i] = classes[i].users;
    if (classes[i].users > 0 || classes[i].weight <= 0) continue;
    out[i] = static_cast<std::uint32_t>(std::floor(users * classes[i].weight / weights + 0.5));
    left -= out[i];
  }
  if (weights <= 0) return out;
  // Webster's way of seats: one more or less goes to who is farthest below or above. Unlike the
  // largest remainder it never takes one away when there are more to share out.
  for (; left != 0; left += left < 0 ? 1 : -1) {
    std::size_t best = classes.size();
    double best_rank = 0;
    for (std::size_t i = 0; i < classes.size(); ++i) {
      if (classes[i].users > 0 || classes[i].weight <= 0 || (left < 0 && out[i] == 0)) continue;
      const double has = out[i];
      const double rank = classes[i].weight / (left > 0 ? 2 * has + 1 : 2 * has - 1);
      if (best == classes.size() || (left > 0 ? rank > best_rank : rank <= best_rank)) {
        best = i;
        best_rank = rank;
      }
    }
    out[best] = left > 0 ? out[best] + 1 : out[best] - 1;
  }
  return out;
}

Shape::Shape(const Scenario& scenario)
    : scenario_(scenario), controllers_(scenario.stages.size()), searches_(scenario.stages.size()) {
  begin(0, 0);
}

void Shape::begin(std::uint32_t stage, MonoNs at) {
  stage_ = stage;
  if (stage_ >= scenario_.stages.size()) {
    over_ = true;
    return;
  }
  spans_.push_back({.stage = stage, .from_ns = at});
  const Stage& next = scenario_.stages[stage];
  if (next.kind == StageKind::sustained) {
    const double least = next.vary == Vary::users ? 1 : 1e-3;
    controllers_[stage].emplace(ControllerOptions{.goal = next.goal.limit,
                                                  .start = std::max(next.from, least),
                                                  .load_min = std::min(least, next.to),
                                                  .load_max = next.to});
  } else if (next.kind == StageKind::stress) {
    searches_[stage].emplace(next, at);
  }
}

void Shape::end(MonoNs at) {
  if (searches_[stage_]) searches_[stage_]->end(at);
  spans_.back().until_ns = at;
}

double Shape::level(MonoNs now) const {
  if (controllers_[stage_]) return controllers_[stage_]->load();
  if (searches_[stage_]) return searches_[stage_]->level();
  return level_at(stage(), now - spans_.back().from_ns);
}

// No more than connect_rate lets come.
std::uint32_t Shape::paced(std::uint32_t users, MonoNs now) {
  const double pace = stage().connect_rate;
  const double wanted = users;
  if (pace <= 0 || wanted <= coming_) {
    coming_ = wanted;
  } else {
    const double more = pace * static_cast<double>(now - coming_ns_) /
                        static_cast<double>(ns_per_s);
    coming_ = std::min(wanted, coming_ + more);
  }
  coming_ns_ = now;
  return static_cast<std::uint32_t>(coming_);
}

Aim Shape::at(MonoNs since_start) {
  while (!over_) {
    const MonoNs from = spans_.back().from_ns;
    const bool found = searches_[stage_] && searches_[stage_]->finished();
    if (!found && since_start - from < stage().duration_ns) break;
    // A search ends when it has found what it looks for, other stages when they should.
    const MonoNs until = found ? std::max(from, std::min(since_start, from + stage().duration_ns))
                               : from + stage().duration_ns;
    end(until);
    begin(stage_ + 1, until);
  }
  Aim aim;
  aim.at_ns = since_start;
  aim.over = over_;
  aim.classes.resize(scenario_.classes.size());
  if (over_) {
    aim.stage = static_cast<std::uint32_t>(scenario_.stages.size() - 1);
    return aim;
  }
  aim.stage = stage_;
  const double level_now = level(since_start);
  const bool users_vary = stage().vary == Vary::users;
  const auto users = users_vary ? static_cast<std::uint32_t>(std::lround(level_now))
                                : stage().users;
  const std::vector<std::uint32_t> each =
      spread(scenario_.classes, paced(users, since_start));
  for (std::size_t i = 0; i < each.size(); ++i) {
    aim.classes[i] = {.users = each[i], .rate_factor = users_vary ? stage().rate : level_now};
  }
  return aim;
}

void Shape::observe(const Observation& observation) {
  if (over_ || observation.from_ns < spans_.back().from_ns) return;
  if (std::optional<Controller>& controller = controllers_[stage_]) {
    const std::optional<double> value = stage().goal.value(observation.all);
    if (value) controller->next(*value, observation.all.seconds, observation.to_ns);
  } else if (searches_[stage_]) {
    searches_[stage_]->observe(observation.from_ns, observation.to_ns, observation.all);
  }
}

MonoNs Shape::planned_end_ns() const {
  if (over_) return spans_.back().until_ns;
  MonoNs end = spans_.back().from_ns;
  for (std::size_t i = stage_; i < scenario_.stages.size(); ++i) {
    end += scenario_.stages[i].duration_ns;
  }
  return end;
}

const StressResult* Shape::stress(std::uint32_t stage) const {
  return searches_[stage] ? &searches_[stage]->result() : nullptr;
}

const ControlState* Shape::control(std::uint32_t stage) const {
  return controllers_[stage] ? &controllers_[stage]->state() : nullptr;
}

std::string Shape::doing() const {
  if (over_) return {};
  const bool users = stage().vary == Vary::users;
  const auto load = [&](double level) {
    return users ? fmt::format("{:.0f} users", level) : fmt::format("{:.3g} x rate", level);
  };
  if (const ControlState* state = control(stage_)) {
    return fmt::format("holds {} at {}: {}{}", stage().goal.text, load(state->load),
                       format_value(stage().goal.unit, state->measured),
                       state->out_of_reach ? ", out of reach" : state->settled ? ", settled" : "");
  }
  if (const StressResult* result = stress(stage_)) {
    const double level = searches_[stage_]->level();
    if (result->state != StressResult::State::raising) {
      return result->first_bad ? fmt::format("knee found; recovering at {}", load(level))
                               : fmt::format("every level up to {} was borne", load(level));
    }
    return fmt::format("level {}: {} of at most {}", result->levels.size() + 1, load(level),
                       load(stage().to));
  }
  return {};
}

}  // namespace ringgate::load
