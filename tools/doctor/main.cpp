// ringgate-doctor: command line. The checks are in checks_*.cpp.
#include <fmt/core.h>
#include <limits.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <vector>

#include "tools/doctor/figures.hpp"
#include "tools/doctor/print.hpp"
#include "tools/doctor/text.hpp"

using namespace ringgate;
using namespace ringgate::doctor;

namespace {

constexpr int exit_good = 0;
constexpr int exit_wrong = 1;
constexpr int exit_usage = 2;

struct Arguments {
  ConfigCall config;
  std::uint64_t devices = 0;
  double rate = 0;
  std::string data;
  std::string process = "self";
  std::string root;
  std::vector<std::string> only;
  bool json = false;
  bool apply = false;
  bool dry = false;
  bool list = false;
};

constexpr const char* footer = R"(
For each check: good, costs (works, at a price), blocks (this fleet does not work with it) or
unknown; the value found; the price for this fleet, measured here, by arithmetic or documented; the
command that cures it and where that lasts.
--apply runs the commands that are meant for it, prints each, asks nothing, and leaves alone what is
good. Give --pid of a running gateway where its limits and cgroup differ from this shell's.

Examples:
  ringgate-doctor --config /etc/ringgate.toml --devices 100000
  ringgate-doctor --only nofile,disk_speed --data /var/lib/ringgate
  ringgate-doctor --pid $(pidof ringgate) --json | jq '.findings[] | select(.state != "good")'
  ringgate-doctor --devices 100000 --apply --dry-run

Exit codes: 0 nothing costs or blocks, 1 something does (or a cure failed), 2 wrong usage.)";

void add_options(CLI::App& app, Arguments& arguments) {
  app.add_option("--config", arguments.config.files, "TOML file of the gateway; more than once")
      ->type_name("FILE")
      ->take_all();
  app.add_option("--set", arguments.config.sets, "One value of it: section.key=value")
      ->type_name("KEY=VALUE")
      ->take_all();
  app.add_option("--devices", arguments.devices,
                 "Devices of the fleet; else server.max_links, else 10,000")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{100'000'000}));
  app.add_option("--rate", arguments.rate, "Reports of each device a second; else 0.1")
      ->check(CLI::Range(0.0, 10'000.0));
  app.add_option("--data", arguments.data, "Data directory; else server.data_dir")
      ->type_name("DIR");
  app.add_option("--pid", arguments.process,
                 "The process whose limits and cgroup count; else this one")
      ->type_name("PID");
  app.add_option("--only", arguments.only, "Only these checks: a,b")->delimiter(',');
  app.add_flag("--json", arguments.json, "One JSON object");
  app.add_flag("--apply", arguments.apply, "Run the cures that can be run");
  app.add_flag("--dry-run", arguments.dry, "With --apply: print them only");
  app.add_flag("--list", arguments.list, "Name the checks and exit");
  app.add_option("--gateway", arguments.config.program,
                 "The program ringgate that reads the configuration; else the one beside this")
      ->type_name("FILE");
  app.add_option("--root", arguments.root,
                 "Look at the /proc, /sys and /etc below this directory")
      ->type_name("DIR");
  app.set_version_flag("--version", "ringgate-doctor " RINGGATE_VERSION);
  app.footer(footer);
}

// A path that does not hang on where this program was started.
std::string absolute(const std::string& path) {
  char resolved[PATH_MAX];
  if (realpath(path.c_str(), resolved) != nullptr) return resolved;
  if (!path.empty() && path.front() == '/') return path;
  return getcwd(resolved, sizeof resolved) == nullptr ? path
                                                      : fmt::format("{}/{}", resolved, path);
}

Result<Fleet> read_fleet(const Arguments& arguments, Machine& machine) {
  const auto printed = printed_config(arguments.config);
  if (!printed) return printed.error();
  const auto cpus = machine.usable_cpus();
  auto fleet = fleet_of_config(*printed, cpus ? static_cast<unsigned>(cpus->size()) : 1U);
  if (!fleet) return fleet.error();
  if (arguments.devices != 0) {
    fleet->devices = arguments.devices;
    fleet->devices_from = "--devices";
  }
  if (arguments.rate > 0) fleet->rate = arguments.rate;
  fleet->data_dir = absolute(arguments.data.empty() ? fleet->data_dir : arguments.data);
  return fleet;
}

// "disk_speed 40 %, 2 s left" on a terminal, gone when the check is.
class ProgressLine {
 public:
  explicit ProgressLine(bool shown) : shown_(shown) {}
  void begin(std::string_view id) {
    id_ = id;
    began_ = shown_at_ = now();
    drawn_ = false;
  }
  void show(double done) {
    const double at = now();
    if (!shown_ || at - shown_at_ < 0.1) return;
    shown_at_ = at;
    drawn_ = true;
    const double left = done > 0.01 ? (at - began_) * (1 - done) / done : 0;
    fmt::print(stderr, "\r{} {:.0f} %, {:.0f} s left \033[K", id_, done * 100, left);
    std::fflush(stderr);
  }
  void end() {
    if (drawn_) fmt::print(stderr, "\r\033[K");
  }

 private:
  static double now() {
    timespec at{};
    clock_gettime(CLOCK_MONOTONIC, &at);
    return static_cast<double>(at.tv_sec) + static_cast<double>(at.tv_nsec) * 1e-9;
  }
  bool shown_;
  bool drawn_ = false;
  std::string_view id_;
  double began_ = 0;
  double shown_at_ = 0;
};

// The checks that were asked for; an unknown name ends the program.
std::vector<const Check*> chosen(const std::vector<std::string>& only) {
  std::vector<const Check*> out;
  for (const std::string& name : only) {
    if (find_check(name) != nullptr) continue;
    fmt::print(stderr, "ringgate-doctor: there is no check '{}'; --list names them\n", name);
    std::exit(exit_usage);
  }
  for (const Check& check : all_checks()) {
    const bool named = std::find(only.begin(), only.end(), check.id) != only.end();
    if (only.empty() || named) out.push_back(&check);
  }
  return out;
}

void print_head(const Fleet& fleet) {
  fmt::print("{} devices ({}), {} reports/s in all, {} shard{}, data in {}\n\n",
             grouped(fleet.devices), fleet.devices_from,
             grouped(static_cast<std::uint64_t>(fleet.messages_per_s())), fleet.shards,
             fleet.shards == 1 ? "" : "s", fleet.data_dir);
}

int examine(const Arguments& arguments) {
  const std::vector<const Check*> checks = chosen(arguments.only);
  RealMachine machine(arguments.root);
  auto fleet = read_fleet(arguments, machine);
  if (!fleet) {
    fmt::print(stderr, "ringgate-doctor: {}\n", fleet.error().message);
    return exit_usage;
  }
  const bool colours = isatty(STDOUT_FILENO) != 0;
  ProgressLine progress(isatty(STDERR_FILENO) != 0);
  const Patient patient{.machine = machine,
                        .fleet = *fleet,
                        .process = arguments.process,
                        .progress = [&](double done) { progress.show(done); }};
  if (!arguments.json) print_head(*fleet);
  std::vector<Finding> findings;
  for (const Check* check : checks) {
    progress.begin(check->id);
    findings.push_back(check->look(patient));
    progress.end();
    findings.back().id = check->id;
    if (arguments.json) continue;
    fmt::print("{}", finding_text(findings.back(), colours));
    std::fflush(stdout);
  }
  bool cured = true;
  if (arguments.apply) {
    std::FILE* out = arguments.json ? stderr : stdout;
    if (!arguments.json) fmt::print("\n");
    cured = apply_cures(patient, findings, arguments.dry, out);
  }
  if (arguments.json) {
    fmt::print("{}", findings_json(*fleet, findings));
  } else {
    fmt::print("\n{}", summary_text(findings, colours));
  }
  return anything_wrong(findings) || !cured ? exit_wrong : exit_good;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Looks at the machine that a gateway is to run on: what does its fleet need?",
               "ringgate-doctor");
  Arguments arguments;
  add_options(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? exit_good : exit_usage;
  }
  if (arguments.dry && !arguments.apply) {
    fmt::print(stderr, "ringgate-doctor: --dry-run goes with --apply\n");
    return exit_usage;
  }
  const bool number_of_process = doctor::number(arguments.process).has_value();
  if (arguments.process != "self" && !number_of_process) {
    fmt::print(stderr, "ringgate-doctor: --pid takes a number, not '{}'\n", arguments.process);
    return exit_usage;
  }
  if (arguments.list) {
    for (const Check& check : all_checks()) fmt::print("{:<20}{}\n", check.id, check.what);
    return exit_good;
  }
  return examine(arguments);
}
