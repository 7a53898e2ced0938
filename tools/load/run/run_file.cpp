// The run file: everything of a run as JSON, for reports, comparisons and ringgate-analyze. Its
// schema stands in tools/load/README.md, "Run file".
#include <fmt/core.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/base/csv.hpp"
#include "engine/base/time_text.hpp"
#include "tools/load/run/run_result.hpp"

namespace ringgate::load {
namespace {

using nlohmann::json;

double seconds_of(MonoNs ns) { return static_cast<double>(ns) / 1e9; }

json machine() {
  utsname kernel{};
  uname(&kernel);
  std::string cpu;
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) != 0) continue;
    cpu = line.substr(line.find(':') + 2);
    break;
  }
  return {{"host", kernel.nodename},
          {"kernel", kernel.release},
          {"cpu", cpu},
          {"cpus", sysconf(_SC_NPROCESSORS_ONLN)},
          {"memory_bytes", std::uint64_t{static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES))} *
                               static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE))}};
}

json scenario_json(const Scenario& scenario) {
  json classes = json::array();
  for (const UserClass& one : scenario.classes) {
    classes.push_back({{"name", one.name}, {"kind", name_of(one.kind)}});
  }
  json stages = json::array();
  for (const Stage& one : scenario.stages) {
    stages.push_back({{"name", one.name}, {"kind", name_of(one.kind)}, {"warmup", one.warmup}});
  }
  return {{"name", scenario.name},       {"description", scenario.description},
          {"seed", scenario.seed},       {"shorten", scenario.read_with.shorten},
          {"sets", scenario.read_with.sets}, {"text", scenario.text},
          {"classes", classes},          {"stages", stages}};
}

json measured_json(const Measured* measured) {
  if (measured == nullptr) return nullptr;
  json out = to_json(measured->tally);
  out["seconds"] = measured->seconds;
  if (measured->server_cpu_s) out["server_cpu_s"] = *measured->server_cpu_s;
  if (measured->own_cpu) out["own_cpu"] = *measured->own_cpu;
  return out;
}

json totals_json(const RunResult& result) {
  const Timeline& timeline = *result.timeline;
  const auto of_stage = [&](std::int32_t stage) {
    json classes = json::array();
    for (std::size_t i = 0; i < result.scenario->classes.size(); ++i) {
      classes.push_back(measured_json(timeline.measured({static_cast<std::int32_t>(i), stage})));
    }
    return json{{"all", measured_json(timeline.measured({-1, stage}))}, {"classes", classes}};
  };
  json stages = json::array();
  for (std::size_t i = 0; i < result.scenario->stages.size(); ++i) {
    stages.push_back(of_stage(static_cast<std::int32_t>(i)));
  }
  json out = of_stage(-1);
  out["stages"] = std::move(stages);
  return out;
}

json row_json(const Row& row) {
  json classes = json::array();
  for (const Tally& tally : row.classes) classes.push_back(to_json(tally));
  json out = {{"stage", row.stage},
              {"from_s", seconds_of(row.from_ns)},
              {"to_s", seconds_of(row.to_ns)},
              {"workers", row.workers},
              {"own_cpu", row.own_cpu},
              {"own_cpu_s", row.own_cpu_sum},
              {"loop_lag_ns", row.loop_lag_ns},
              {"classes", std::move(classes)}};
  if (row.server) {
    out["server"] = {{"cpu_s", row.server->cpu_s},
                     {"rss_bytes", row.server->rss_bytes},
                     {"context_switches", row.server->context_switches}};
    if (row.server->shard_wait_s >= 0) {
      out["server"]["shard_wait_s"] = row.server->shard_wait_s;
      out["server"]["shard_slices"] = row.server->shard_slices;
    }
  }
  return out;
}

json stress_json(const Stage& stage, const StressResult& stress) {
  json levels = json::array();
  for (const StressLevel& level : stress.levels) {
    levels.push_back({{"level", level.level},
                      {"from_s", seconds_of(level.from_ns)},
                      {"until_s", seconds_of(level.until_ns)},
                      {"acked_per_s", level.acked_per_s},
                      {"p99_ns", level.p99_ns},
                      {"error_share", level.error_share}});
  }
  json out = {{"levels", levels}};
  if (stress.last_good) out["last_good"] = *stress.last_good;
  if (stress.first_bad) {
    out["first_bad"] = *stress.first_bad;
    out["broken"] = stress.broken;
    out["broken_value"] = stress.broken_value ? json(*stress.broken_value) : json(nullptr);
    out["back_s"] = seconds_of(stress.back_ns);
    out["back_level"] = stress.back_level;
  }
  out["stage"] = stage.name;
  out["out_of_time"] = stress.out_of_time;
  if (stress.recovered_after_ns >= 0) {
    out["recovered_after_s"] = seconds_of(stress.recovered_after_ns);
  }
  return out;
}

json spans_json(const RunResult& result) {
  json out = json::array();
  for (const StageSpan& span : result.spans) {
    out.push_back({{"stage", span.stage},
                   {"from_s", seconds_of(span.from_ns)},
                   {"until_s", seconds_of(span.until_ns)},
                   {"note", result.stage_notes[span.stage]}});
  }
  return out;
}

json faults_json(const RunResult& result) {
  json out = json::array();
  for (const FaultMark& mark : result.faults) {
    json one = {{"name", mark.name}, {"proxy", mark.proxy}, {"rule", mark.rule}};
    if (mark.from_ns >= 0) one["from_s"] = seconds_of(mark.from_ns);
    if (mark.until_ns >= 0) one["until_s"] = seconds_of(mark.until_ns);
    if (!mark.problem.empty()) one["problem"] = mark.problem;
    out.push_back(std::move(one));
  }
  return out;
}

json verdicts_json(const RunResult& result) {
  json out = json::array();
  for (const Verdict& verdict : result.verdicts) {
    const Threshold& of = result.scenario->thresholds.all[verdict.threshold];
    json one = {{"condition", of.condition.text}, {"holds", verdict.holds}};
    one["class"] = of.scope.class_index < 0 ? json(nullptr) : json(of.scope.class_index);
    one["stage"] = of.scope.stage_index < 0 ? json(nullptr) : json(of.scope.stage_index);
    one["value"] = verdict.value ? json(*verdict.value) : json(nullptr);
    if (verdict.value) one["value_text"] = format_value(of.condition.unit, *verdict.value);
    out.push_back(std::move(one));
  }
  return out;
}

json workers_json(const RunResult& result) {
  json out = json::array();
  for (const WorkerResult& worker : result.workers) {
    json one = {{"name", worker.name},       {"host", worker.host},
                {"pid", worker.pid},         {"cpus", worker.cpus},
                {"remote", worker.remote},   {"users_max", worker.users_max},
                {"round_trip_us", static_cast<double>(worker.round_trip_ns) / 1e3},
                {"clock_offset_us", static_cast<double>(worker.clock_offset_ns) / 1e3},
                {"cpu_s", worker.cpu_s},     {"rss_bytes", worker.rss_bytes},
                {"acked", worker.acked}};
    if (worker.lost_ns >= 0) {
      one["lost"] = {{"at_s", seconds_of(worker.lost_ns)},
                     {"why", worker.lost_why},
                     {"users", worker.users_lost}};
    }
    out.push_back(std::move(one));
  }
  return out;
}

json server_json(const ServerResult& server) {
  json out = json::object();
  if (!server.problem.empty()) out["problem"] = server.problem;
  if (server.pid == 0) return out;
  out["pid"] = server.pid;
  out["command"] = server.command;
  out["cpu_s"] = server.cpu_s;
  out["rss_begin_bytes"] = server.rss_begin_bytes;
  out["rss_end_bytes"] = server.rss_end_bytes;
  out["rss_max_bytes"] = server.rss_max_bytes;
  out["context_switches"] = server.context_switches;
  return out;
}

// What never moved is told once.
json gateway_json(const GatewayMetrics& gateway) {
  json steady = json::object();
  json series = json::object();
  const auto moves = [](const std::vector<double>& values) {
    return std::any_of(values.begin(), values.end(), [&values](double value) {
      return !(value == values.front());
    });
  };
  for (const auto& [key, values] : gateway.series) {
    if (moves(values)) series[key] = values;  // NaN is null in JSON
    else steady[key] = values.front();
  }
  json config = json::object();
  for (const auto& [key, value] : gateway.config) config[key] = value;
  json out = {{"times_s", gateway.times_s}, {"steady", std::move(steady)},
              {"series", std::move(series)}, {"config", std::move(config)}};
  if (!gateway.problem.empty()) out["problem"] = gateway.problem;
  return out;
}

json verification_json(const RunResult& result) {
  if (!result.verification) {
    return result.verification_problem.empty() ? json(nullptr)
                                               : json{{"problem", result.verification_problem}};
  }
  const Verification& found = *result.verification;
  return {{"how", found.how},               {"looked_up", found.looked_up},
          {"lost", found.lost},             {"duplicated", found.duplicated},
          {"reordered", found.reordered},   {"records", found.records},
          {"examples", found.examples},     {"problems", found.problems},
          {"took_s", found.took_s}};
}

}  // namespace

std::string run_json(const RunResult& result) {
  json timeline = json::array();
  for (const Row& row : result.timeline->rows()) timeline.push_back(row_json(row));
  json stress = json::array();
  std::size_t searches = 0;
  for (const Stage& stage : result.scenario->stages) {
    if (stage.kind != StageKind::stress || searches == result.stress.size()) continue;
    stress.push_back(stress_json(stage, result.stress[searches++]));
  }
  json out = {{"format", "ringgate-load run"},
              {"format_version", 1},
              {"version", RINGGATE_VERSION},
              {"id", result.id},
              {"started", time_text(result.started_us)},
              {"started_unix_us", result.started_us},
              {"duration_s", seconds_of(result.duration_ns)},
              {"exit_status", result.exit_status()},
              {"interrupted", result.interrupted},
              {"aborted", result.aborted},
              {"bottleneck", result.bottleneck()},
              {"scenario", scenario_json(*result.scenario)},
              {"machine", machine()},
              {"workers", workers_json(result)},
              {"server", server_json(result.server)},
              {"stages", spans_json(result)},
              {"stress", stress},
              {"faults", faults_json(result)},
              {"thresholds", verdicts_json(result)},
              {"verification", verification_json(result)},
              {"totals", totals_json(result)},
              {"timeline", std::move(timeline)}};
  if (result.gateway != nullptr) out["gateway"] = gateway_json(*result.gateway);
  return out.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

std::string run_csv(const RunResult& result) {
  std::string out =
      "from_s,to_s,stage,class,users_wanted,users,ready,outstanding,sent,acknowledged,delivered,"
      "dropped,errors,response_p50_us,response_p90_us,response_p99_us,response_max_us,"
      "service_p50_us,service_p99_us,lag_p99_us,own_cpu,server_cpu,server_rss_bytes\n";
  const auto us = [](const Latency& latency, double percent) {
    return latency.count() == 0
               ? std::string{}
               : fmt::format("{:.1f}", static_cast<double>(latency.percentile(percent)) / 1e3);
  };
  for (const Row& row : result.timeline->rows()) {
    for (std::size_t i = 0; i < row.classes.size(); ++i) {
      const Tally& tally = row.classes[i];
      out += fmt::format("{:.3f},{:.3f},", seconds_of(row.from_ns), seconds_of(row.to_ns));
      put_csv_cell(out, result.scenario->stages[row.stage].name);
      out += ',';
      put_csv_cell(out, result.scenario->classes[i].name);
      out += fmt::format(",{},{},{},{},{},{},{},{},{}", tally.users_wanted, tally.users,
                         tally.ready, tally.outstanding, tally.sent, tally.acknowledged,
                         tally.delivered, tally.dropped, tally.error_count());
      out += fmt::format(",{},{},{},{},{},{},{}", us(tally.response, 50), us(tally.response, 90),
                         us(tally.response, 99), us(tally.response, 100), us(tally.service, 50),
                         us(tally.service, 99), us(tally.lag, 99));
      out += fmt::format(",{:.4f}", row.own_cpu);
      if (row.server) {
        out += fmt::format(",{:.4f},{}\n", row.server->cpu_s / std::max(row.seconds(), 1e-9),
                           row.server->rss_bytes);
      } else {
        out += ",,\n";
      }
    }
  }
  return out;
}

}  // namespace ringgate::load
