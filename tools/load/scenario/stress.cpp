// The search for the load that a server no longer bears. See stress.hpp.
#include "tools/load/scenario/stress.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "engine/config/units.hpp"
#include "tools/load/scenario/scenario.hpp"

namespace ringgate::load {

namespace {

// Where not even the first level is borne, the load goes back to this share of it.
constexpr double below_the_first = 0.5;
// Of the share of users that is ready at lower levels; flapping and silent ones never all are.
constexpr double ready_least = 0.9;
// New users have this long to get in, beyond the stage's patience; the level waits for them.
constexpr MonoNs come_within_ns = 5 * ns_per_s;

bool awaits_answers(Metric metric) {
  return metric == Metric::response || metric == Metric::service;
}

double ready_share(const Tally& tally) {
  return tally.users_wanted == 0
             ? 1
             : static_cast<double>(tally.ready) / static_cast<double>(tally.users_wanted);
}

// The level as people say it.
std::string said(const Stage& stage, double level) {
  if (stage.vary == Vary::users) return fmt::format("{:.0f} users", level);
  return fmt::format("{:.4g} times the rate", level);
}

}  // namespace

StressSearch::StressSearch(const Stage& stage, MonoNs start) : stage_(stage) {
  begin_level(stage.from, start);
}

void StressSearch::begin_level(double level, MonoNs at) {
  // Users are whole.
  level_ = stage_.vary == Vary::users ? static_cast<double>(static_cast<std::uint32_t>(level))
                                      : level;
  level_from_ns_ = at;
  broken_from_ns_ = -1;
  sum_ = {};
  broken_sum_ = {};
}

double StressSearch::next_level() const {
  double next = stage_.increment > 0 ? level_ + stage_.increment : level_ * stage_.growth;
  if (stage_.vary == Vary::users) next = std::max(next, level_ + 1);
  return std::min(next, stage_.to);
}

// The first bound that these figures break. No answer at all where some are awaited breaks those
// on answers' times.
std::optional<std::size_t> StressSearch::broken_bound(const Measured& measured) const {
  for (std::size_t i = 0; i < stage_.bounds.size(); ++i) {
    const Condition& bound = stage_.bounds[i];
    const std::optional<double> value = bound.value(measured);
    if (value ? !bound.holds(*value)
              : awaits_answers(bound.metric) && measured.tally.outstanding > 0) {
      return i;
    }
  }
  return {};
}

void StressSearch::tell_broken(std::optional<std::size_t> bound) {
  if (!bound) {
    const Tally& tally = broken_sum_.tally;
    result_.broken = StressResult::users_do_not_come;
    result_.broken_value = ready_share(tally);
    result_.broken_text = fmt::format("{} of {} are ready", tally.ready, tally.users_wanted);
    return;
  }
  const Condition& broken = stage_.bounds[*bound];
  result_.broken = broken.text;
  result_.broken_value = broken.value(broken_sum_);
  result_.broken_text = result_.broken_value ? format_value(broken.unit, *result_.broken_value)
                                             : std::string("nothing was answered");
}

void StressSearch::close_level(MonoNs at) {
  StressLevel closed;
  closed.level = level_;
  closed.from_ns = level_from_ns_;
  closed.until_ns = at;
  const Tally& tally = sum_.tally;
  if (sum_.seconds > 0) {
    closed.acked_per_s = static_cast<double>(tally.acknowledged) / sum_.seconds;
  }
  closed.p99_ns = static_cast<double>(tally.response.percentile(99));
  closed.error_share = tally.error_share();
  for (const Condition& bound : stage_.bounds) closed.values.push_back(bound.value(sum_));
  result_.levels.push_back(std::move(closed));
}

// The level that was on is the first bad one.
void StressSearch::found(MonoNs at, std::optional<std::size_t> bound) {
  close_level(at);
  result_.first_bad = result_.levels.size() - 1;
  tell_broken(bound);
  const double back = result_.last_good ? result_.levels[*result_.last_good].level
                                        : level_ * below_the_first;
  begin_level(back, at);
  result_.back_ns = at;
  result_.back_level = level_;
  good_from_ns_ = -1;
  result_.state = StressResult::State::recovering;
}

void StressSearch::watch_recovery(MonoNs from, MonoNs to, bool good) {
  if (!good) {
    good_from_ns_ = -1;
  } else if (good_from_ns_ < 0) {
    good_from_ns_ = from;
  }
  if (good && to - good_from_ns_ >= stage_.patience_ns) {
    result_.recovered_after_ns = std::max<MonoNs>(good_from_ns_ - result_.back_ns, 0);
    result_.state = StressResult::State::done;
  } else if (to - result_.back_ns >= stage_.recover_ns) {
    result_.state = StressResult::State::done;
  }
}

void StressSearch::observe(MonoNs from, MonoNs to, const Measured& measured) {
  if (finished() || from < level_from_ns_) return;
  const std::optional<std::size_t> broken = broken_bound(measured);
  if (result_.state == StressResult::State::recovering) {
    return watch_recovery(from, to, !broken);
  }
  sum_.append(measured);
  if (broken) {
    if (broken_from_ns_ < 0) {
      broken_from_ns_ = from;
      broken_ = *broken;
      broken_sum_ = {};
    }
    broken_sum_.append(measured);
    if (to - broken_from_ns_ < stage_.patience_ns) return;
    // Of the whole time that it was broken, if that says anything else.
    const std::optional<std::size_t> longest = broken_bound(broken_sum_);
    return found(to, longest ? *longest : broken_);
  }
  broken_from_ns_ = -1;
  if (ready_share(measured.tally) < ready_least * ready_share_) {
    if (to - level_from_ns_ < stage_.patience_ns + come_within_ns) return;
    broken_sum_ = measured;
    return found(to, std::nullopt);
  }
  if (to - level_from_ns_ < stage_.every_ns) return;
  ready_share_ = std::max(ready_share_, ready_share(measured.tally));
  close_level(to);
  result_.last_good = result_.levels.size() - 1;
  if (level_ >= stage_.to) {
    result_.state = StressResult::State::done;
  } else {
    begin_level(next_level(), to);
  }
}

void StressSearch::end(MonoNs now) {
  if (finished()) return;
  if (result_.state == StressResult::State::raising) {
    result_.out_of_time = true;
    const bool good = broken_from_ns_ < 0 && sum_.seconds > 0 &&
                      now - level_from_ns_ >= stage_.patience_ns;
    if (good) {
      close_level(now);
      result_.last_good = result_.levels.size() - 1;
    }
  }
  result_.state = StressResult::State::done;
}

std::string StressResult::text(const Stage& stage) const {
  const auto level_text = [&](const StressLevel& level) {
    return fmt::format("{} ({:.0f}/s, p99 {}, errors {})", said(stage, level.level),
                       level.acked_per_s, format_value(Unit::time_ns, level.p99_ns),
                       format_value(Unit::share, level.error_share));
  };
  std::string out = last_good ? fmt::format("borne: {}", level_text(levels[*last_good]))
                              : std::string("no level was borne");
  if (!first_bad) {
    if (out_of_time) return out.append("; the stage's time ended before a bound was broken");
    return out.append(state == State::raising ? "; still raising" : "; no bound was ever broken");
  }
  out.append(fmt::format("; not borne: {}, where \"{}\" was broken: {}",
                         level_text(levels[*first_bad]), broken, broken_text));
  if (recovered_after_ns >= 0) {
    out.append(fmt::format("; back at {}, it recovered {}", said(stage, back_level),
                           recovered_after_ns == 0
                               ? std::string("at once")
                               : fmt::format("within {}", format_value(
                                     Unit::time_ns, static_cast<double>(recovered_after_ns)))));
  } else if (state == State::done) {
    out.append(fmt::format("; back at {}, it did not recover within {}", said(stage, back_level),
                           config::format_duration(stage.recover_ns)));
  }
  return out;
}

}  // namespace ringgate::load
