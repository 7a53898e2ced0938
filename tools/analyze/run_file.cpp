// A run file of ringgate-load (tools/load/README.md, "Run file"): what the generator saw, second by
// second, what it cost itself and the server, and what the gateway's metrics said meanwhile.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "engine/observe/histogram.hpp"
#include "tools/analyze/sources.hpp"

namespace ringgate::analyze {

namespace {

using nlohmann::json;
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

// The highest nanoseconds that a step of the histogram holds; the reverse of step_of().
double step_highest_ns(std::uint64_t step) {
  constexpr unsigned bits = observe::detail::step_bits;
  if (step < (1U << bits)) return static_cast<double>(step);
  const std::uint64_t shift = (step >> bits) - 1;
  const std::uint64_t mantissa = step - (shift << bits);
  return static_cast<double>(((mantissa + 1) << std::min<std::uint64_t>(shift, 50)) - 1);
}

// Of {"buckets": [step, count, step, count, ...]}, added up over classes.
class Steps {
 public:
  void add(const json& tally, const char* name) {
    const auto latency = tally.find(name);
    if (latency == tally.end() || !latency->is_object()) return;
    const auto buckets = latency->find("buckets");
    if (buckets == latency->end() || !buckets->is_array()) return;
    for (std::size_t i = 0; i + 1 < buckets->size(); i += 2) {
      if (!(*buckets)[i].is_number_unsigned() || !(*buckets)[i + 1].is_number_unsigned()) return;
      const auto count = (*buckets)[i + 1].get<std::uint64_t>();
      steps_[(*buckets)[i].get<std::uint64_t>()] += count;
      count_ += count;
    }
  }
  double percentile_s(double percent) const {
    if (count_ == 0) return nan;
    const double rank = percent / 100 * static_cast<double>(count_);
    double seen = 0;
    for (const auto& [step, count] : steps_) {
      seen += static_cast<double>(count);
      if (seen >= rank) return step_highest_ns(step) / 1e9;
    }
    return nan;
  }

 private:
  std::map<std::uint64_t, std::uint64_t> steps_;
  std::uint64_t count_ = 0;
};

double count_in(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

double errors_in(const json& tally) {
  const auto errors = tally.find("errors");
  double sum = 0;
  if (errors == tally.end() || !errors->is_object()) return 0;
  for (const auto& [kind, count] : errors->items()) sum += count.is_number() ? count.get<double>()
                                                                             : 0;
  return sum;
}

struct Columns {
  std::vector<double> dropped, lag, own_cpu, server, wait;
  double waited_s = 0;
  double slices = 0;
};

// Error: what the row lacks.
Result<void> add_row(const json& row, double cpus, Columns& columns, Case& out) {
  if (!row.is_object() || !row.contains("from_s") || !row.contains("to_s") ||
      !row["from_s"].is_number() || !row["to_s"].is_number() || !row.contains("classes") ||
      !row["classes"].is_array()) {
    return Error{0, "a row of the timeline has no from_s, to_s or classes"};
  }
  const double seconds = row["to_s"].get<double>() - row["from_s"].get<double>();
  // Pieces at the edges of stages say little in themselves.
  if (seconds < 0.2) return {};
  double due = 0;
  double dropped = 0;
  double acknowledged = 0;
  double errors = 0;
  Steps lag;
  Steps response;
  for (const json& tally : row["classes"]) {
    if (!tally.is_object()) continue;
    due += count_in(tally, "due");
    dropped += count_in(tally, "dropped");
    acknowledged += count_in(tally, "acknowledged");
    errors += errors_in(tally);
    lag.add(tally, "lag");
    response.add(tally, "response");
  }
  out.times_s.push_back(row["to_s"].get<double>());
  out.errors.push_back((errors + dropped) / seconds);
  out.replies.push_back(response.percentile_s(99));
  out.messages.push_back(acknowledged / seconds);
  columns.dropped.push_back(due > 0 ? dropped / due : 0);
  columns.lag.push_back(lag.percentile_s(99));
  columns.own_cpu.push_back(count_in(row, "own_cpu"));
  const auto server = row.find("server");
  const bool seen = server != row.end() && server->is_object() && cpus > 0;
  columns.server.push_back(seen ? count_in(*server, "cpu_s") / seconds / cpus : nan);
  const bool waits = server != row.end() && server->is_object() && server->contains("shard_wait_s");
  const double waited_s = waits ? count_in(*server, "shard_wait_s") : 0;
  columns.wait.push_back(waits ? std::min(1.0, waited_s / seconds) : nan);
  if (waits) {
    columns.waited_s += waited_s;
    columns.slices += count_in(*server, "shard_slices");
  }
  return {};
}

void add(Case& out, std::string_view id, std::vector<double> values) {
  const bool any = std::any_of(values.begin(), values.end(),
                               [](double one) { return !std::isnan(one); });
  const SignalSpec* spec = find_signal(id);
  if (any) out.signals.push_back({spec, spec->threshold, std::move(values), {}});
}

// "name{labels}" -> a series of the history. Error: it is none.
Result<void> add_series(const std::string& key, const std::vector<double>& times_s,
                        const json& values, History& history) {
  const auto named = parse_exposition(key + " 0\n");
  if (!named || named->size() != 1) return Error{0, fmt::format("gateway: '{}' is no metric", key)};
  std::vector<std::pair<double, double>> points;
  for (std::size_t i = 0; i < times_s.size(); ++i) {
    const json& value = values.is_array() ? values[i] : values;
    if (value.is_number()) points.emplace_back(times_s[i], value.get<double>());
  }
  history.add_range(named->front().name, named->front().labels, points);
  return {};
}

Result<History> history_of(const json& gateway) {
  const Error wrong{0, "gateway: times_s, series and steady are expected"};
  if (!gateway.contains("times_s") || !gateway["times_s"].is_array()) return wrong;
  std::vector<double> times_s;
  for (const json& at : gateway["times_s"]) {
    if (!at.is_number() || (!times_s.empty() && !(at > times_s.back()))) return wrong;
    times_s.push_back(at.get<double>());
  }
  History history;
  for (const char* part : {"series", "steady"}) {
    if (!gateway.contains(part) || !gateway[part].is_object()) return wrong;
    for (const auto& [key, values] : gateway[part].items()) {
      if (values.is_array() && values.size() != times_s.size()) return wrong;
      if (auto added = add_series(key, times_s, values, history); !added) return added.error();
    }
  }
  history.finish();
  return history;
}

// The gateway was asked at other moments than rows end: each row has the nearest, if it is near.
std::vector<double> at_rows(const std::vector<double>& values, const std::vector<double>& times_s,
                            const std::vector<double>& rows_s) {
  std::vector<double> out;
  for (std::size_t i = 0; i < rows_s.size(); ++i) {
    const auto after = std::lower_bound(times_s.begin(), times_s.end(), rows_s[i]);
    auto nearest = after;
    if (after == times_s.end() ||
        (after != times_s.begin() && rows_s[i] - *(after - 1) < *after - rows_s[i])) {
      --nearest;
    }
    const auto index = static_cast<std::size_t>(nearest - times_s.begin());
    const double step = index > 0 ? times_s[index] - times_s[index - 1] : 1;
    const double row = i > 0 ? rows_s[i] - rows_s[i - 1] : rows_s[i];
    const bool near = std::abs(*nearest - rows_s[i]) <= std::max(step, row);
    out.push_back(near ? values[index] : nan);
  }
  return out;
}

Result<void> add_gateway(const json& gateway, Case& out) {
  if (gateway.contains("config") && gateway["config"].is_object()) {
    for (const auto& [key, value] : gateway["config"].items()) {
      if (value.is_string()) out.config.emplace_back(key, value.get<std::string>());
    }
  }
  const auto history = history_of(gateway);
  if (!history) return history.error();
  if (gateway.contains("problem") && gateway["problem"].is_string()) {
    out.notes.push_back("the gateway's metrics: " + gateway["problem"].get<std::string>());
  }
  if (history->size() < 2) return {};
  Case seen;
  seen.config = out.config;
  add_gateway_signals(*history, {}, {}, seen);
  for (Signal& signal : seen.signals) {
    signal.values = at_rows(signal.values, seen.times_s, out.times_s);
    out.signals.push_back(std::move(signal));
  }
  return {};
}

}  // namespace

Result<Case> run_case(const std::string& name, const std::string& text) {
  const json all = json::parse(text, nullptr, false);
  const auto wrong = [&](std::string_view what) {
    return Error{0, fmt::format("{}: {}", name, what)};
  };
  if (!all.is_object() || all.value("format", "") != "ringgate-load run") {
    return wrong("neither a run file (ringgate-load run --json) nor an export of Prometheus");
  }
  if (count_in(all, "format_version") > 1) {
    return wrong("of a newer ringgate-load than this program knows");
  }
  if (!all.contains("timeline") || !all["timeline"].is_array()) return wrong("it has no timeline");
  Case out;
  out.source = name;
  out.begin_unix_s = count_in(all, "started_unix_us") / 1e6;
  const auto machine = all.find("machine");
  const double cpus =
      machine != all.end() && machine->is_object() ? count_in(*machine, "cpus") : 0;
  Columns columns;
  for (const json& row : all["timeline"]) {
    if (auto added = add_row(row, cpus, columns, out); !added) {
      return wrong(added.error().message);
    }
  }
  add(out, "generator.dropped", std::move(columns.dropped));
  add(out, "generator.lag", std::move(columns.lag));
  add(out, "generator.cpu", std::move(columns.own_cpu));
  add(out, "cpu.process", std::move(columns.server));
  add(out, "cpu.wait", std::move(columns.wait));
  if (columns.slices > 0) out.run_queue_wait_s = columns.waited_s / columns.slices;
  add(out, "reply.p99", out.replies);
  const auto gateway = all.find("gateway");
  if (gateway != all.end() && gateway->is_object()) {
    if (auto added = add_gateway(*gateway, out); !added) return wrong(added.error().message);
  } else {
    out.notes.push_back("this run did not ask the gateway for its metrics (target.http names "
                        "where): commits, memory, subscribers and sinks are not known");
  }
  return out;
}

}  // namespace ringgate::analyze
