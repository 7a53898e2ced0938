// The table at the end of a run: what is worst first, then classes, stages, conditions, the server
// and this tool.
#include <fmt/core.h>

#include <algorithm>

#include "tools/load/run/run_result.hpp"

namespace ringgate::load {
namespace {

class Table {
 public:
  Table(const RunResult& result, bool colours) : result_(result), colours_(colours) {}

  std::string text() {
    head();
    warnings();
    classes();
    stages();
    errors();
    faults();
    server();
    verification();
    verdicts();
    return std::move(out_);
  }

 private:
  std::string paint(const char* code, const std::string& text) const {
    return colours_ ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : text;
  }
  std::string bad(const std::string& text) const { return paint("1;31", text); }
  std::string good(const std::string& text) const { return paint("32", text); }
  std::string title(const std::string& text) const { return paint("1", text); }
  void line(const std::string& text) {
    out_ += text;
    out_ += '\n';
  }

  void head() {
    line(title(fmt::format("{}  {:.1f} s, {} worker{}", result_.scenario->name,
                           static_cast<double>(result_.duration_ns) / 1e9,
                           result_.workers.size(), result_.workers.size() == 1 ? "" : "s")));
  }

  void warnings() {
    for (const WorkerResult& worker : result_.workers) {
      if (worker.lost_ns < 0) continue;
      line(bad(fmt::format("  {} was lost at {:.1f} s: {}. Its {} users were gone from then on; "
                           "all figures are those of the rest", worker.name,
                           static_cast<double>(worker.lost_ns) / 1e9, worker.lost_why,
                           worker.users_lost)));
    }
    if (const std::string own = result_.bottleneck(); !own.empty()) {
      line(bad(fmt::format("  {}", own)));
    }
    if (result_.interrupted) line(bad("  interrupted: the stages were not played to their end"));
    if (!result_.aborted.empty()) {
      line(bad(fmt::format("  ended early: \"{}\" was broken", result_.aborted)));
    }
  }

  // The most that were ready at the end of a row; -1 stands for all classes or stages.
  std::uint64_t most_users(const Scope& scope) const {
    std::uint64_t most = 0;
    for (const Row& one : result_.timeline->rows()) {
      if (scope.stage_index >= 0 && one.stage != static_cast<std::uint32_t>(scope.stage_index)) {
        continue;
      }
      std::uint64_t ready = 0;
      for (std::size_t i = 0; i < one.classes.size(); ++i) {
        if (scope.class_index < 0 || i == static_cast<std::size_t>(scope.class_index)) {
          ready += std::max(one.classes[i].ready, one.classes[i].users);
        }
      }
      most = std::max(most, ready);
    }
    return most;
  }

  void row(const std::string& name, const Scope& scope) {
    const Measured* found = result_.timeline->measured(scope);
    if (found == nullptr) return;
    const Measured& of = *found;
    const Tally& tally = of.tally;
    const double seconds = std::max(of.seconds, 1e-9);
    const Latency& seen = tally.response.count() > 0 ? tally.response : tally.delivery;
    const auto p = [](const Latency& latency, double percent) {
      return latency.count() == 0 ? std::string("-") : latency_text(latency.percentile(percent));
    };
    line(fmt::format("  {:<18} {:>7} {:>9} {:>9} {:>7} {:>9} {:>9} {:>9} {:>9} {:>9}",
                     name.substr(0, 18), most_users(scope),
                     count_text(static_cast<double>(tally.sent) / seconds),
                     count_text(static_cast<double>(tally.acknowledged + tally.delivered) /
                                seconds),
                     tally.error_count(), p(seen, 50), p(seen, 90), p(seen, 99), p(seen, 100),
                     p(tally.service, 99)));
  }

  void columns(const char* first) {
    line(paint("2", fmt::format("  {:<18} {:>7} {:>9} {:>9} {:>7} {:>9} {:>9} {:>9} {:>9} {:>9}",
                                first, "users", "sent/s", "done/s", "errors", "p50", "p90", "p99",
                                "max", "svc p99")));
  }

  void classes() {
    columns("class");
    const std::vector<UserClass>& all = result_.scenario->classes;
    for (std::size_t i = 0; i < all.size(); ++i) {
      row(all[i].name, {static_cast<std::int32_t>(i), -1});
    }
    if (all.size() > 1) row("all", {});
  }

  void stages() {
    const std::vector<Stage>& all = result_.scenario->stages;
    if (all.size() > 1) columns("stage");
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (all.size() > 1) {
        row(all[i].warmup ? fmt::format("{} (warm-up)", all[i].name) : all[i].name,
            {-1, static_cast<std::int32_t>(i)});
      }
      if (i < result_.stage_notes.size() && !result_.stage_notes[i].empty()) {
        line(fmt::format("  {}: {}", all[i].name, result_.stage_notes[i]));
      }
    }
  }

  void errors() {
    const Measured* all = result_.timeline->measured(Scope{});
    if (all == nullptr) return;
    const Tally& tally = all->tally;
    if (!tally.errors.empty()) {
      std::string text;
      for (const auto& [name, count] : tally.errors) text += fmt::format("  {} {}", name, count);
      line(bad(fmt::format("  errors{}", text)));
    }
    if (!tally.last_error.empty()) line(fmt::format("  last error: {}", tally.last_error));
    if (!tally.notes.empty()) {
      std::string text;
      for (const auto& [name, count] : tally.notes) text += fmt::format("  {} {}", name, count);
      line(fmt::format("  noted {}", text));
    }
    const auto share = [&](std::uint64_t part) {
      return tally.due == 0 ? 0.0
                            : static_cast<double>(part) * 100 / static_cast<double>(tally.due);
    };
    if (tally.dropped > 0) {
      line(fmt::format("  {} operations were due and never sent ({:.2f} %): their users were not "
                       "ready", tally.dropped, share(tally.dropped)));
    }
    if (tally.lag.count() > 0) {
      line(fmt::format("  generator: lag p99 {}, max {}; busiest worker {:.0f} % of a CPU",
                       latency_text(tally.lag.percentile(99)), latency_text(tally.lag.max_ns()),
                       all->own_cpu.value_or(0) * 100));
    }
  }

  void faults() {
    for (const FaultMark& mark : result_.faults) {
      if (!mark.problem.empty()) {
        line(bad(fmt::format("  fault {}: {}", mark.name, mark.problem)));
      } else if (mark.from_ns >= 0) {
        line(fmt::format("  fault {}: {:.1f} s to {:.1f} s", mark.name,
                         static_cast<double>(mark.from_ns) / 1e9,
                         static_cast<double>(mark.until_ns) / 1e9));
      } else {
        line(fmt::format("  fault {}: the run ended before its time", mark.name));
      }
    }
  }

  void server() {
    const ServerResult& server = result_.server;
    if (!server.problem.empty()) line(fmt::format("  server: {}", server.problem));
    if (server.pid == 0) return;
    std::uint64_t done = 0;
    double seconds = 0;
    for (const Row& one : result_.timeline->rows()) {
      for (const Tally& tally : one.classes) done += tally.acknowledged;
      seconds += one.seconds();
    }
    std::string each = "-";
    std::string switches = "-";
    if (done > 0) {
      each = fmt::format("{:.2f} us", server.cpu_s * 1e6 / static_cast<double>(done));
      switches = fmt::format("{:.3f}", static_cast<double>(server.context_switches) /
                                           static_cast<double>(done));
    }
    line(fmt::format("  server (pid {}): {:.0f} % of a CPU, {} per answer, {} context switches "
                     "per answer, {} resident (+{})", server.pid,
                     seconds > 0 ? server.cpu_s * 100 / seconds : 0, each, switches,
                     bytes_text(static_cast<double>(server.rss_end_bytes)),
                     bytes_text(static_cast<double>(
                         server.rss_end_bytes -
                         std::min(server.rss_begin_bytes, server.rss_end_bytes)))));
  }

  void verification() {
    if (!result_.verification_problem.empty()) {
      line(bad(fmt::format("  not verified: {}", result_.verification_problem)));
    }
    if (!result_.verification) return;
    const Verification& found = *result_.verification;
    const std::string text = fmt::format(
        "  verified by {}: {} acknowledged, {} lost, {} duplicated, {} reordered ({:.1f} s)",
        found.how, found.looked_up, found.lost, found.duplicated, found.reordered, found.took_s);
    line(found.lost > 0 ? bad(text) : good(text));
    for (const std::string& example : found.examples) line(fmt::format("    {}", example));
    for (const std::string& problem : found.problems) line(fmt::format("    {}", problem));
  }

  void verdicts() {
    for (const Verdict& verdict : result_.verdicts) {
      const Threshold& of = result_.scenario->thresholds.all[verdict.threshold];
      std::string where;
      if (of.scope.class_index >= 0) {
        where += fmt::format(" [{}]", result_.scenario->classes[static_cast<std::size_t>(
                                          of.scope.class_index)].name);
      }
      if (of.scope.stage_index >= 0) {
        where += fmt::format(" [{}]", result_.scenario->stages[static_cast<std::size_t>(
                                          of.scope.stage_index)].name);
      }
      const std::string value =
          verdict.value ? format_value(of.condition.unit, *verdict.value) : "not measured";
      line(verdict.holds ? good(fmt::format("  ok      {}{}: {}", of.condition.text, where, value))
                         : bad(fmt::format("  BROKEN  {}{}: {}", of.condition.text, where, value)));
    }
  }

  const RunResult& result_;
  bool colours_;
  std::string out_;
};

}  // namespace

std::string run_table(const RunResult& result, bool colours) {
  return Table(result, colours).text();
}

}  // namespace ringgate::load
