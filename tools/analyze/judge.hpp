// From signals to verdicts: which causes are over their threshold, how badly, since when, how it
// moves, what it goes with, and which comes first. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/analyze/advice.hpp"
#include "tools/analyze/signals.hpp"
#include "tools/analyze/statistics.hpp"

namespace ringgate::analyze {

enum class Severity : std::uint8_t { none, low, medium, high, critical };
std::string_view severity_name(Severity severity);
// 1, 1.2, 1.5 and 2 times the threshold.
Severity severity_of(double ratio);

struct Reading {
  const Signal* signal = nullptr;
  double value = 0;  // by its Level
  double ratio = 0;  // to its threshold
};

struct Verdict {
  Cause cause = Cause::cpu;
  Severity severity = Severity::low;
  Reading main;                  // the signal that is furthest above
  std::vector<Reading> others;   // of the same cause, above theirs
  std::optional<Trend> trend;    // only where significant
  double first_seen_s = 0;       // from the beginning; negative: it never lasted three samples
  std::optional<Correlation> errors;   // of the main signal with errors; only where significant
  std::optional<Correlation> replies;  // with the time to a reply
  std::optional<Cause> follows;  // a cause above that explains this one
  std::vector<Advice> advice;
};

struct Judgement {
  std::vector<Verdict> verdicts;  // the bottleneck first; empty: nothing is over its threshold
  std::vector<Reading> readings;  // all signals, in the table's order
  bool enough = false;            // samples to say something
};

// Intervals below this are too few to call anything sustained.
constexpr std::size_t intervals_min = 5;

// `subject` must outlive the judgement.
Judgement judge(const Case& subject);

}  // namespace ringgate::analyze
