// ringgate-analyze: command line.
#include <fmt/core.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "engine/config/units.hpp"
#include "tools/analyze/report.hpp"
#include "tools/analyze/sources.hpp"

using namespace ringgate;
using namespace ringgate::analyze;

namespace {

constexpr int exit_good = 0;
constexpr int exit_found = 1;
constexpr int exit_usage = 2;

volatile sig_atomic_t interrupted = 0;
void on_interrupt(int) { interrupted = 1; }

struct Arguments {
  std::vector<std::string> sources;
  std::string duration = "60s";
  std::string interval = "1s";
  std::string format = "text";
  std::string out;
  std::string token_file;
  int pid = -1;
  std::vector<std::string> thresholds;
  bool json = false;
  bool quiet = false;
};

constexpr const char* main_footer = R"(
SOURCE is the URL of a gateway's HTTP interface, which is then watched; a run file of
'ringgate-load run --json'; or answers of Prometheus' /api/v1/query_range for
{__name__=~"ringgate_.*"}.

Examples:
  ringgate-analyze live http://127.0.0.1:7880 --duration 5m
  ringgate-analyze run baseline.json
  ringgate-analyze report http://127.0.0.1:7880 --duration 300 --format html -o report.html
  ringgate-analyze report export.json --format json | jq .bottleneck
  ringgate-analyze live http://127.0.0.1:7880 --threshold commit.p99=50ms --threshold cpu.busy=0.7
  ringgate-analyze signals

Exit codes: 0 nothing is over its threshold, 1 a bottleneck is named, or the source failed,
  2 wrong usage.)";

// "300", "300s", "5m"; 0: it is none of these.
double seconds_of(const std::string& text) {
  const bool plain = !text.empty() && text.find_first_not_of("0123456789.") == std::string::npos;
  if (plain) return std::strtod(text.c_str(), nullptr);
  const auto duration = config::parse_duration(text);
  return duration ? static_cast<double>(*duration) / 1e9 : 0;
}

bool fail(const std::string& what) {
  fmt::print(stderr, "ringgate-analyze: {}\n", what);
  return false;
}

bool read_token(const std::string& file, std::string& token) {
  if (file.empty()) return true;
  std::ifstream in(file);
  if (!(in >> token)) return fail(fmt::format("{} holds no token", file));
  return true;
}

bool live_options(const Arguments& arguments, LiveOptions& out) {
  out.url = arguments.sources.front();
  out.duration_s = seconds_of(arguments.duration);
  out.interval_s = seconds_of(arguments.interval);
  out.pid = arguments.pid;
  if (!(out.interval_s >= 0.05)) return fail("--interval: 50ms or more is expected");
  if (!(out.duration_s >= 2 * out.interval_s)) {
    return fail("--duration: a time such as 300 or 5m, at least two intervals, is expected");
  }
  if (!read_token(arguments.token_file, out.token)) return false;
  const bool shown = isatty(STDERR_FILENO) != 0 && !arguments.quiet;
  const double all = out.duration_s;
  out.progress = [shown, all](double done, double messages) {
    if (shown) {
      fmt::print(stderr, "\r{:.0f} of {:.0f} s, {:.0f} messages/s (Ctrl-C ends early) \033[K", done,
                 all, messages);
      std::fflush(stderr);
      if (done >= all - 0.5) fmt::print(stderr, "\r\033[K");
    }
    return interrupted == 0;
  };
  return true;
}

bool is_url(const std::string& text) { return text.find("://") != std::string::npos; }

bool write_out(const std::string& file, const std::string& text) {
  if (file.empty() || file == "-") {
    std::fputs(text.c_str(), stdout);
    return true;
  }
  std::ofstream out(file, std::ios::binary);
  out << text;
  out.close();
  if (!out) return fail(fmt::format("{} can't be written", file));
  return true;
}

std::string formatted(const Arguments& arguments, const Case& subject,
                      const Judgement& judgement) {
  if (arguments.json || arguments.format == "json") return report_json(subject, judgement);
  if (arguments.format == "html") return report_html(subject, judgement);
  const bool colours = arguments.out.empty() && isatty(STDOUT_FILENO) != 0;
  return report_text(subject, judgement, colours);
}

int report(const Arguments& arguments) {
  std::vector<Override> overrides;
  for (const std::string& text : arguments.thresholds) {
    auto one = parse_override(text);
    if (!one) return fail("--threshold " + one.error().message), exit_usage;
    overrides.push_back(*one);
  }
  const bool live = is_url(arguments.sources.front());
  if (live && arguments.sources.size() > 1) return fail("one gateway at a time"), exit_usage;
  LiveOptions options;
  if (live && !live_options(arguments, options)) return exit_usage;
  auto subject = live ? live_case(options) : file_case(arguments.sources);
  if (!subject) return fail(subject.error().message), exit_found;
  apply_overrides(overrides, *subject);
  const Judgement judgement = judge(*subject);
  if (!write_out(arguments.out, formatted(arguments, *subject, judgement))) return exit_found;
  return judgement.verdicts.empty() ? exit_good : exit_found;
}

void print_signals() {
  for (const SignalSpec& spec : all_signals()) {
    fmt::print("{:<22}{:<12}{:>10}  {}\n{:46}{}\n", spec.id, cause_name(spec.cause),
               value_text(spec.unit, spec.threshold), spec.what, "", spec.why);
  }
}

void add_common(CLI::App& command, Arguments& arguments) {
  command.add_option("--threshold", arguments.thresholds,
                     "Another threshold: signal=value; more than once")
      ->type_name("SIGNAL=VALUE")
      ->take_all();
  command.add_flag("--json", arguments.json, "The same as --format json");
  command.add_option("--format", arguments.format, "text, json or html")
      ->check(CLI::IsMember({"text", "json", "html"}));
  command.add_option("-o,--out", arguments.out, "Write it to this file")->type_name("FILE");
}

void add_live(CLI::App& command, Arguments& arguments) {
  command.add_option("--duration", arguments.duration, "How long to watch: 300, 5m (60s)");
  command.add_option("--interval", arguments.interval, "Time between samples (1s)");
  command.add_option("--token-file", arguments.token_file,
                     "A file with a token (scopes read, admin)")
      ->type_name("FILE");
  command.add_option("--pid", arguments.pid,
                     "The gateway's process on this machine; else who listens there; 0: none");
  command.add_flag("--quiet", arguments.quiet, "No progress");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Names the bottleneck of a gateway or of a run, and what to change.",
               "ringgate-analyze");
  app.require_subcommand(1);
  app.footer(main_footer);
  app.set_version_flag("--version", "ringgate-analyze " RINGGATE_VERSION);
  Arguments arguments;
  CLI::App* live = app.add_subcommand("live", "Watch a gateway, then say what slows it");
  live->add_option("URL", arguments.sources, "http://127.0.0.1:7880")->required()->expected(1);
  CLI::App* run = app.add_subcommand("run", "A run file of ringgate-load");
  run->add_option("FILE", arguments.sources, "of ringgate-load run --json")
      ->required()
      ->expected(1);
  CLI::App* any = app.add_subcommand("report", "Any source, as text, JSON or a page");
  any->add_option("SOURCE", arguments.sources, "URL, run file or exports of Prometheus")
      ->required();
  CLI::App* signals = app.add_subcommand("signals", "Name the signals, their thresholds and why");
  for (CLI::App* command : {live, run, any}) add_common(*command, arguments);
  for (CLI::App* command : {live, any}) add_live(*command, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? exit_good : exit_usage;
  }
  if (signals->parsed()) return print_signals(), exit_good;
  if (live->parsed() && !is_url(arguments.sources.front())) {
    return fail(fmt::format("'{}' is no URL such as http://127.0.0.1:7880",
                            arguments.sources.front())), exit_usage;
  }
  struct sigaction action {};
  action.sa_handler = &on_interrupt;  // without SA_RESTART: the wait for the next sample ends
  sigaction(SIGINT, &action, nullptr);
  return report(arguments);
}
