// Judging what was measured. See thresholds.hpp and measured.hpp.
#include "tools/load/scenario/thresholds.hpp"

#include <algorithm>

#include "tools/load/scenario/measured.hpp"

namespace ringgate::load {

namespace {

bool only_after_the_run(Metric metric) {
  return metric == Metric::lost || metric == Metric::duplicated || metric == Metric::reordered;
}

}  // namespace

void Measured::append(const Measured& later) {
  const bool first = seconds == 0;
  seconds += later.seconds;
  tally.append(later.tally);
  if (first) {
    server_cpu_s = later.server_cpu_s;
  } else if (server_cpu_s && later.server_cpu_s) {
    *server_cpu_s += *later.server_cpu_s;
  } else {
    server_cpu_s.reset();
  }
  if (later.own_cpu) own_cpu = std::max(own_cpu.value_or(0), *later.own_cpu);
  if (later.server_rss_bytes) {
    server_rss_bytes = std::max(server_rss_bytes.value_or(0), *later.server_rss_bytes);
  }
  const auto add = [](std::optional<std::uint64_t>& to, const std::optional<std::uint64_t>& more) {
    if (more) to = to.value_or(0) + *more;
  };
  add(lost, later.lost);
  add(duplicated, later.duplicated);
  add(reordered, later.reordered);
}

std::vector<Verdict> judge(const Thresholds& thresholds, const MeasuredOf& measured) {
  std::vector<Verdict> verdicts;
  for (std::size_t i = 0; i < thresholds.all.size(); ++i) {
    const Threshold& threshold = thresholds.all[i];
    Verdict verdict;
    verdict.threshold = i;
    if (const Measured* figures = measured(threshold.scope); figures != nullptr) {
      verdict.value = threshold.condition.value(*figures);
    }
    verdict.holds = verdict.value && threshold.condition.holds(*verdict.value);
    verdicts.push_back(verdict);
  }
  return verdicts;
}

AbortWatch::AbortWatch(const Thresholds& thresholds)
    : thresholds_(thresholds), broken_since_ns_(thresholds.all.size(), -1) {}

std::optional<std::size_t> AbortWatch::look(MonoNs since_start, const MeasuredOf& measured) {
  if (!thresholds_.abort) return {};
  std::optional<std::size_t> ends;
  for (const Verdict& verdict : judge(thresholds_, measured)) {
    MonoNs& since = broken_since_ns_[verdict.threshold];
    const Condition& condition = thresholds_.all[verdict.threshold].condition;
    if (verdict.holds || !verdict.value || only_after_the_run(condition.metric)) {
      since = -1;
      continue;
    }
    if (since < 0) since = since_start;
    const bool long_enough = since_start - since >= thresholds_.abort_after_ns;
    if (long_enough && !ends) ends = verdict.threshold;
  }
  return ends;
}

}  // namespace ringgate::load
