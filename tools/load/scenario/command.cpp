// `ringgate-load scenarios`: lists what comes with the program, prints one, checks a file.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <vector>

#include "engine/config/units.hpp"
#include "tools/load/command.hpp"
#include "tools/load/scenario/scenario.hpp"

namespace ringgate::load {
namespace {

constexpr const char* examples =
    "Examples:\n"
    "  ringgate-load scenarios\n"
    "      what comes with the program\n"
    "  ringgate-load scenarios peak > mine.toml\n"
    "      one to begin with\n"
    "  ringgate-load scenarios --check mine.toml --set stage.0.users=200\n"
    "      whether it would run, and what it would do; every error with line and column";

// "tcp terminals of 2013" is told by the file; here is what one must know to choose.
std::string stage_line(const Stage& stage) {
  std::string level;
  const std::string_view unit = stage.vary == Vary::users ? " users" : " x rate";
  if (stage.kind == StageKind::constant) {
    level = fmt::format("{:g}{}", stage.to, unit);
  } else if (stage.kind == StageKind::day) {
    level = fmt::format("up to {:g}{}", stage.to, unit);
  } else {
    level = fmt::format("{:g} to {:g}{}", stage.from, stage.to, unit);
  }
  if (stage.kind == StageKind::sustained) level += fmt::format(", {}", stage.goal.text);
  for (const Condition& bound : stage.bounds) level += fmt::format(", {}", bound.text);
  return fmt::format("  {:<20} {:<10} {:>8}  {}{}\n", stage.name, name_of(stage.kind),
                     config::format_duration(stage.duration_ns), level,
                     stage.warmup ? ", warm-up" : "");
}

void tell(const Scenario& scenario) {
  fmt::print("{}{}{}\n", scenario.name, scenario.description.empty() ? "" : ": ",
             scenario.description);
  fmt::print("{} users at most, {}, seed {}\nclasses\n", scenario.users_max(),
             config::format_duration(scenario.duration_ns()), scenario.seed);
  const std::vector<std::uint32_t> most = scenario.users_max_by_class();
  for (std::size_t i = 0; i < most.size(); ++i) {
    const UserClass& one = scenario.classes[i];
    fmt::print("  {:<20} {:<10} {:>8} users at most\n", one.name, name_of(one.kind), most[i]);
  }
  fmt::print("stages\n");
  for (const Stage& stage : scenario.stages) fmt::print("{}", stage_line(stage));
  if (scenario.thresholds.all.empty()) return;
  fmt::print("thresholds\n");
  for (const Threshold& threshold : scenario.thresholds.all) {
    std::string of = "all";
    if (threshold.scope.class_index >= 0) {
      of = scenario.classes[static_cast<std::size_t>(threshold.scope.class_index)].name;
    } else if (threshold.scope.stage_index >= 0) {
      of = scenario.stages[static_cast<std::size_t>(threshold.scope.stage_index)].name;
    }
    fmt::print("  {:<20} {}\n", of, threshold.condition.text);
  }
}

class ScenariosCommand final : public Subcommand {
 public:
  CLI::App* declare(CLI::App& app) override {
    CLI::App* command = app.add_subcommand(
        "scenarios", "The scenarios that come with the program; checks of others");
    CLI::Option* name = command->add_option("NAME", name_, "Print this one");
    CLI::Option* check =
        command->add_option("--check", file_, "Tell what FILE (or a name) does, or all its errors")
            ->excludes(name);
    command->add_option("--set", options_.sets, "KEY=VALUE instead of what the file says")
        ->needs(check);
    command->add_option("--shorten", options_.shorten, "Users and times are so much smaller")
        ->needs(check);
    command->add_flag("--keys", keys_, "Every key of a scenario, as README.md lists them")
        ->excludes(name)->excludes(check);
    command->footer(examples);
    return command;
  }

  int run() override {
    if (keys_) return tell_keys();
    if (!file_.empty()) return check();
    if (!name_.empty()) return print();
    for (const ShippedScenario& shipped : shipped_scenarios()) {
      const Result<Scenario, Problems> read =
          read_scenario(shipped.text, std::string(shipped.name));
      if (!read) return failed(read.error());
      fmt::print("{:<14} {:>7} users {:>7}  {}\n", shipped.name, read->users_max(),
                 config::format_duration(read->duration_ns()), read->description);
    }
    return 0;
  }

 private:
  static int failed(const Problems& problems) {
    for (const Problem& problem : problems) fmt::print(stderr, "{}\n", problem.text());
    return 2;
  }

  // A line for each key; a heading for each table.
  static int tell_keys() {
    std::string_view table = "none";
    for (const ScenarioKey& key : scenario_keys()) {
      if (key.table != table) {
        table = key.table;
        const bool list = table == "class" || table == "stage" || table == "fault" ||
                          table == "class.route";
        fmt::print("### {}\n", table.empty() ? std::string("Top of the file")
                               : list         ? fmt::format("`[[{}]]`", table)
                                              : fmt::format("`[{}]`", table));
      }
      fmt::print("- **`{}`**: {}", key.name, key.type);
      if (key.initial == "required") {
        fmt::print("; required");
      } else if (!key.initial.empty()) {
        fmt::print("; `{}`", key.initial);
      }
      if (!key.of.empty()) fmt::print("; of {}", key.of);
      fmt::print(". {}\n", key.doc);
    }
    return 0;
  }

  int print() const {
    for (const ShippedScenario& shipped : shipped_scenarios()) {
      if (shipped.name != name_) continue;
      std::fwrite(shipped.text.data(), 1, shipped.text.size(), stdout);
      return 0;
    }
    const Result<std::string> text = scenario_text(name_);
    fmt::print(stderr, "ringgate-load scenarios: {}\n",
               text ? fmt::format("{} is a file: --check tells what it does", name_)
                    : text.error().message);
    return 2;
  }

  int check() const {
    const Result<std::string> text = scenario_text(file_);
    if (!text) {
      fmt::print(stderr, "ringgate-load scenarios: {}\n", text.error().message);
      return 2;
    }
    const Result<Scenario, Problems> read = read_scenario(*text, file_, options_);
    if (!read) return failed(read.error());
    tell(*read);
    return 0;
  }

  std::string name_;
  std::string file_;
  bool keys_ = false;
  ReadOptions options_;
};

}  // namespace

std::unique_ptr<Subcommand> make_scenarios_command() {
  return std::make_unique<ScenariosCommand>();
}

}  // namespace ringgate::load
