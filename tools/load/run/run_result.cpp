#include "tools/load/run/run_result.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

namespace ringgate::load {

std::string latency_text(std::uint64_t ns) {
  const auto value = static_cast<double>(ns);
  if (value < 1e3) return fmt::format("{} ns", ns);
  if (value < 1e6) return fmt::format("{:.{}f} us", value / 1e3, value < 1e5 ? 1 : 0);
  if (value < 1e9) return fmt::format("{:.{}f} ms", value / 1e6, value < 1e8 ? 2 : 0);
  return fmt::format("{:.2f} s", value / 1e9);
}

std::string count_text(double count) {
  const bool whole = count >= 10 || count == std::floor(count);
  if (count < 1e4) return fmt::format("{:.{}f}", count, whole ? 0 : 1);
  if (count < 1e7) return fmt::format("{:.1f}k", count / 1e3);
  return fmt::format("{:.1f}M", count / 1e6);
}

std::string bytes_text(double bytes) {
  if (bytes < 1024) return fmt::format("{:.0f} B", bytes);
  if (bytes < 1024 * 1024) return fmt::format("{:.1f} KiB", bytes / 1024);
  if (bytes < 1024.0 * 1024 * 1024) return fmt::format("{:.1f} MiB", bytes / 1024 / 1024);
  return fmt::format("{:.2f} GiB", bytes / 1024 / 1024 / 1024);
}

std::size_t RunResult::workers_lost() const {
  return static_cast<std::size_t>(std::count_if(
      workers.begin(), workers.end(), [](const WorkerResult& one) { return one.lost_ns >= 0; }));
}

bool RunResult::breached() const {
  return std::any_of(verdicts.begin(), verdicts.end(),
                     [](const Verdict& one) { return !one.holds; });
}

bool RunResult::failed() const {
  const auto speaks_of = [&](Metric metric) {
    return std::any_of(scenario->thresholds.all.begin(), scenario->thresholds.all.end(),
                       [&](const Threshold& one) { return one.condition.metric == metric; });
  };
  if (workers_lost() > 0 || !verification_problem.empty()) return true;
  const Measured* all = timeline->measured(Scope{});
  if (all == nullptr) return true;  // nothing was measured
  // A search looks for errors beyond the knee; that it finds them is no failure.
  const bool looks_for_errors = std::any_of(
      scenario->stages.begin(), scenario->stages.end(), [](const Stage& stage) {
        return std::any_of(stage.bounds.begin(), stage.bounds.end(), [](const Condition& bound) {
          return bound.metric == Metric::errors;
        });
      });
  if (all->tally.error_count() > 0 && !speaks_of(Metric::errors) && !looks_for_errors) return true;
  if (verification && verification->lost > 0 && !speaks_of(Metric::lost)) return true;
  return std::any_of(faults.begin(), faults.end(),
                     [](const FaultMark& one) { return !one.problem.empty(); });
}

int RunResult::exit_status() const { return breached() ? 99 : failed() ? 1 : 0; }

// Own CPU near a whole one, or operations that left late because of this tool.
std::string RunResult::bottleneck() const {
  double busy_s = 0;
  double all_s = 0;
  double highest = 0;
  for (const Row& row : timeline->rows()) {
    all_s += row.seconds();
    if (row.own_cpu >= 0.9) busy_s += row.seconds();
    highest = std::max(highest, row.own_cpu);
  }
  if (all_s > 0 && busy_s >= 0.1 * all_s) {
    return fmt::format("THE GENERATOR IS THE BOTTLENECK: its busiest worker used {:.0f} % of a CPU "
                       "({:.0f} % or more in {:.0f} of {:.0f} s). Latencies and rates are its own, "
                       "not the server's: use more workers (--workers, --worker)",
                       highest * 100, 90.0, busy_s, all_s);
  }
  const Measured* all = timeline->measured(Scope{});
  if (all == nullptr || all->tally.lag.count() == 0) return {};
  const std::uint64_t lag = all->tally.lag.percentile(99);
  const std::uint64_t response = all->tally.response.percentile(99);
  if (lag > 1'000'000 && lag > response / 4) {
    return fmt::format("THE GENERATOR WAS LATE: 1 % of operations left {} or more after they were "
                       "due (response p99 {}). It lacks CPU time, or links were full: compare "
                       "response with service", latency_text(lag), latency_text(response));
  }
  return {};
}

}  // namespace ringgate::load
