#include "tools/analyze/judge.hpp"

#include <algorithm>
#include <cmath>

namespace ringgate::analyze {

namespace {

// A fifth of the samples reach it.
constexpr double sustained_percent = 80;
// A bottleneck is seen first when three samples of five are above its threshold.
constexpr std::size_t seen_window = 5;
constexpr std::size_t seen_count = 3;
// Causes and effects that are further apart than this are told by people, not by correlation.
constexpr int lag_max = 10;

std::vector<double> known(const std::vector<double>& values) {
  std::vector<double> out;
  for (const double value : values) {
    if (!std::isnan(value)) out.push_back(value);
  }
  return out;
}

Reading read(const Signal& signal) {
  const std::vector<double> values = known(signal.values);
  Reading out{&signal, 0, 0};
  if (values.empty()) return out;
  out.value = signal.spec->level == Level::mean ? mean_of(values)
                                                : percentile_of(values, sustained_percent);
  out.ratio = out.value / signal.threshold;
  return out;
}

double first_seen(const Case& subject, const Signal& signal) {
  for (std::size_t begin = 0; begin + seen_count <= signal.values.size(); ++begin) {
    if (!(signal.values[begin] >= signal.threshold)) continue;
    const std::size_t end = std::min(begin + seen_window, signal.values.size());
    const auto above =
        std::count_if(signal.values.begin() + static_cast<std::ptrdiff_t>(begin),
                      signal.values.begin() + static_cast<std::ptrdiff_t>(end),
                      [&](double value) { return value >= signal.threshold; });
    if (static_cast<std::size_t>(above) >= seen_count) return subject.times_s[begin];
  }
  return -1;
}

const Verdict* find(const std::vector<Verdict>& verdicts, Cause cause) {
  for (const Verdict& one : verdicts) {
    if (one.cause == cause) return &one;
  }
  return nullptr;
}

// A shard that has no CPU neither ends its turns nor sees its writes complete; and one whose turns
// are long sees writes complete late. Whether they are late by as much is what decides: a disk may
// be slow besides.
std::optional<Cause> explained(const Case& subject, const std::vector<Verdict>& all,
                               const Verdict& one) {
  const Verdict* cpu = find(all, Cause::cpu);
  const Verdict* turn = find(all, Cause::loop_turn);
  const bool starved = cpu != nullptr && cpu->severity >= Severity::medium;
  // Late answers are what causes have as their effect, never one themselves.
  if (one.cause == Cause::replies) {
    for (const Verdict& other : all) {
      if (other.cause != Cause::replies && other.severity >= Severity::medium) return other.cause;
    }
    return {};
  }
  if (one.cause == Cause::loop_turn) {
    return starved && cpu->main.signal->spec->id == "cpu.wait" ? std::optional(Cause::cpu)
                                                               : std::nullopt;
  }
  if (one.cause != Cause::commit || one.main.signal->spec->id != "commit.p99") return {};
  // p99 of waits is some times their mean (a ratio of 5 is that of an exponential).
  const double waits = subject.run_queue_wait_s * 5;
  if (starved && waits >= one.main.value / 2) return Cause::cpu;
  if (turn != nullptr && turn->main.value >= one.main.value / 2) {
    return starved ? Cause::cpu : Cause::loop_turn;
  }
  return {};
}

void examine(const Case& subject, Verdict& verdict) {
  const Signal& signal = *verdict.main.signal;
  const auto trend = trend_of(subject.times_s, signal.values);
  if (trend && trend->significant) verdict.trend = trend;
  verdict.first_seen_s = first_seen(subject, signal);
  verdict.errors = correlate(signal.values, subject.errors, lag_max);
  verdict.replies = correlate(signal.values, subject.replies, lag_max);
}

bool before(const Verdict& a, const Verdict& b) {
  // A generator that can't keep up makes every other figure worthless.
  const bool a_generator = a.cause == Cause::generator;
  const bool b_generator = b.cause == Cause::generator;
  if (a_generator != b_generator) return a_generator;
  if (a.follows.has_value() != b.follows.has_value()) return !a.follows.has_value();
  if (a.severity != b.severity) return a.severity > b.severity;
  if (a.main.ratio != b.main.ratio) return a.main.ratio > b.main.ratio;
  return a.cause < b.cause;
}

}  // namespace

std::string_view severity_name(Severity severity) {
  constexpr std::string_view names[] = {"none", "low", "medium", "high", "critical"};
  return names[static_cast<std::size_t>(severity)];
}

Severity severity_of(double ratio) {
  if (ratio >= 2) return Severity::critical;
  if (ratio >= 1.5) return Severity::high;
  if (ratio >= 1.2) return Severity::medium;
  return ratio >= 1 ? Severity::low : Severity::none;
}

Judgement judge(const Case& subject) {
  Judgement out;
  out.enough = subject.times_s.size() >= intervals_min;
  for (const Signal& signal : subject.signals) {
    const Reading reading = read(signal);
    out.readings.push_back(reading);
    if (!out.enough || severity_of(reading.ratio) == Severity::none) continue;
    const auto same = std::find_if(out.verdicts.begin(), out.verdicts.end(), [&](const Verdict& v) {
      return v.cause == signal.spec->cause;
    });
    if (same == out.verdicts.end()) {
      Verdict verdict;
      verdict.cause = signal.spec->cause;
      verdict.main = reading;
      out.verdicts.push_back(std::move(verdict));
    } else if (reading.ratio > same->main.ratio) {
      same->others.push_back(same->main);
      same->main = reading;
    } else {
      same->others.push_back(reading);
    }
  }
  for (Verdict& verdict : out.verdicts) {
    verdict.severity = severity_of(verdict.main.ratio);
    examine(subject, verdict);
  }
  for (Verdict& verdict : out.verdicts) {
    verdict.follows = explained(subject, out.verdicts, verdict);
  }
  std::sort(out.verdicts.begin(), out.verdicts.end(), before);
  for (Verdict& verdict : out.verdicts) {
    verdict.advice = advice_on(subject, verdict.cause, *verdict.main.signal);
  }
  return out;
}

}  // namespace ringgate::analyze
