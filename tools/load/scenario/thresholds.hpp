// Conditions on what a run measures: "p99 < 20ms", "errors < 0.1%", "lost == 0". Parsed with
// columns, evaluated on merged figures. Plain values; no clock, no I/O.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/clock.hpp"
#include "engine/base/result.hpp"

namespace ringgate::load {

struct Measured;  // measured.hpp

enum class Metric : std::uint8_t {
  response, service, lag, connect, delivery,  // times; a Statistic goes with them (see Tally)
  errors,                       // a share of what ended, or a count
  dropped,                      // a share of what was due, or a count
  lost, duplicated, reordered,  // counts, or shares of what was acknowledged
  acked_rate, sent_rate, delivered_rate, connect_rate,  // per second
  server_cpu, own_cpu,          // CPUs; in text 100 % is one CPU
  server_rss,                   // bytes
};
enum class Statistic : std::uint8_t { none, percentile, mean, max };
enum class Unit : std::uint8_t { time_ns, share, count, per_second, cpus, bytes };
enum class Comparison : std::uint8_t { less, at_most, greater, at_least, equal, not_equal };

struct Condition {
  std::string text;  // as it was written
  Metric metric = Metric::response;
  Statistic statistic = Statistic::none;
  double percent = 0;  // of Statistic::percentile
  Unit unit = Unit::count;
  Comparison comparison = Comparison::less;
  double limit = 0;  // nanoseconds, share (0.001 is 0.1 %), count, per second, CPUs, bytes
  // The value of its metric; empty when that is not known.
  std::optional<double> value(const Measured& measured) const;
  bool holds(double value) const;
  // Another limit, and a text that says so; of metrics per second only.
  void scale_rate(double factor);
};
// "12.3 ms", "0.05 %", "3", "912/s", "74 % CPU", "120 MiB".
std::string format_value(Unit unit, double value);

// Where in the text of a condition something is wrong, from 0, and what.
struct ConditionError {
  std::size_t offset = 0;
  std::string message;
};
Result<Condition, ConditionError> parse_condition(std::string_view text);
// "acked_rate 900/s", "server_cpu 60%": what a sustained stage holds. The same without comparison.
Result<Condition, ConditionError> parse_goal(std::string_view text);

// Which users, and when. -1: all of them; all stages but warm-ups.
struct Scope {
  std::int32_t class_index = -1;
  std::int32_t stage_index = -1;
  bool operator==(const Scope&) const = default;
};

struct Threshold {
  Scope scope;
  Condition condition;
};

struct Thresholds {
  std::vector<Threshold> all;  // in the order of the text
  bool abort = false;          // end the run when one is broken
  MonoNs abort_after_ns = 10 * ns_per_s;  // ... and stays so for this long
};

struct Verdict {
  std::size_t threshold = 0;    // index into Thresholds::all
  std::optional<double> value;  // empty: not measured
  bool holds = false;           // false when not measured
};
// The figures of a scope so far; null: there are none (its stage has not begun).
using MeasuredOf = std::function<const Measured*(const Scope&)>;
std::vector<Verdict> judge(const Thresholds& thresholds, const MeasuredOf& measured);

// Whether a run should end early: some threshold that has figures was broken at every look for
// abort_after_ns. Conditions on what only verification tells never end one.
class AbortWatch {
 public:
  explicit AbortWatch(const Thresholds& thresholds);
  // Once a merged interval, with its end. The index of the threshold that ends the run.
  std::optional<std::size_t> look(MonoNs since_start, const MeasuredOf& measured);

 private:
  const Thresholds& thresholds_;
  std::vector<MonoNs> broken_since_ns_;  // -1: not broken
};

}  // namespace ringgate::load
