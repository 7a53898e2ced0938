// `ringgate-load run` and `ringgate-load worker`.
#include <fmt/core.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>

#include "tools/load/command.hpp"
#include "tools/load/crowd/worker.hpp"
#include "tools/load/run/coordinator.hpp"
#include "tools/load/run/html.hpp"
#include "tools/load/run/verify.hpp"
#include "tools/load/run/view.hpp"
#include "tools/load/scenario/scenario.hpp"

namespace ringgate::load {
namespace {

volatile sig_atomic_t signals = 0;
void on_signal(int) {
  signals = signals + 1;
  if (signals > 2) {  // the third one means it
    restore_terminal();
    _exit(130);
  }
}

void catch_signals() {
  struct sigaction action{};
  action.sa_handler = on_signal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  struct sigaction present{};  // who logs out gets the report, too; not who said nohup
  sigaction(SIGHUP, nullptr, &present);
  if (present.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

// The first line; nobody else may read the file.
Result<std::string> read_secret(const std::string& file) {
  if (file.empty()) return std::string{};
  struct stat status{};
  if (stat(file.c_str(), &status) != 0) {
    return errno_error(errno, fmt::format("--secret-file {}", file));
  }
  if ((status.st_mode & 077) != 0) {
    return Error{0, fmt::format("--secret-file {}: others may read it; chmod 600 {}", file, file)};
  }
  std::ifstream in(file);
  std::string secret;
  std::getline(in, secret);
  if (secret.size() < 16) {
    return Error{0, fmt::format("--secret-file {}: its first line must have 16 characters or more, "
                                "such as from `openssl rand -hex 16`", file)};
  }
  return secret;
}

Result<void> write_file(const std::string& option, const std::string& file,
                        const std::string& text) {
  if (file.empty()) return {};
  if (file == "-") {
    std::fputs(text.c_str(), stdout);
    return {};
  }
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out << text;
  out.flush();
  if (!out) return errno_error(errno, fmt::format("{} {}", option, file));
  return {};
}

// Told before the run, not after it: the file can be written.
Result<void> try_file(const std::string& option, const std::string& file) {
  if (file.empty() || file == "-") return {};
  std::ofstream out(file, std::ios::binary | std::ios::app);
  if (!out) return errno_error(errno, fmt::format("{} {}", option, file));
  return {};
}

int fail(const std::string& message) {
  fmt::print(stderr, "ringgate-load: {}\n", message);
  return 2;
}

class RunCommand final : public Subcommand {
 public:
  CLI::App* declare(CLI::App& app) override {
    CLI::App* own = app.add_subcommand("run", "A scenario: classes of users, stages, thresholds");
    own->add_option("scenario", scenario_, "A file (TOML), or the name of a shipped one")
        ->required();
    own->add_flag("--check", check_, "Only say what is wrong with the scenario");
    own->add_option("--shorten", read_.shorten,
                    "Users and times are multiplied by this (above 0, at most 1)")
        ->check(CLI::Range(1e-6, 1.0));
    own->add_option("--set", read_.sets, "KEY=VALUE of the scenario, such as stage.0.users=10")
        ->allow_extra_args(false);
    own->add_option("--seed", read_.seed, "Instead of the scenario's")->check(CLI::PositiveNumber);
    own->add_option("--target", read_.target, "HOST:PORT of the gateway's JT/T 808 listener");
    own->add_option("--workers", options_.workers,
                    "Processes on this host (default: as many as its limit of open files wants)")
        ->check(CLI::Range(1U, 256U));
    own->add_option("--worker", options_.remote,
                    "HOST:PORT where `ringgate-load worker --listen` runs; may be repeated")
        ->allow_extra_args(false);
    own->add_option("--secret-file", secret_file_, "Shared with those workers");
    own->add_option("--json", json_, "Write the run file here (-: standard output)");
    own->add_option("--csv", csv_, "Write a line for each second and class here");
    own->add_option("--report", report_, "Write a page (HTML) with plots here");
    own->add_option("--verify-log", verify_log_,
                    "The gateway's data directory: look up all that was acknowledged");
    own->add_option("--verify-api", verify_api_, "HOST:PORT of the gateway's HTTP: the same")
        ->excludes("--verify-log");
    own->add_flag("--abort-early", abort_, "End the run when a threshold is broken for a while");
    own->add_flag("--quiet", quiet_, "Nothing until the table at the end");
    own->add_flag("--plain", plain_, "Lines instead of a screen, on a terminal too");
    own->footer(examples);
    return own;
  }

  int run() override {
    Result<std::string> text = scenario_text(scenario_);
    if (!text.ok()) return fail(text.error().message);
    Result<Scenario, Problems> read = read_scenario(*text, scenario_, read_);
    if (!read.ok()) {
      for (const Problem& problem : read.error()) fmt::print(stderr, "{}\n", problem.text());
      return 2;
    }
    Scenario& scenario = *read;
    if (check_) {
      fmt::print("{}: well: {} users at most, {:.0f} s\n", scenario.name, scenario.users_max(),
                 static_cast<double>(scenario.duration_ns()) / 1e9);
      return 0;
    }
    if (abort_) scenario.thresholds.abort = true;
    if (!verify_log_.empty() || !verify_api_.empty()) {  // not what the scenario names besides
      scenario.verify = {.log_dir = verify_log_, .api = verify_api_};
    }
    options_.keep_acked = !scenario.verify.log_dir.empty() || !scenario.verify.api.empty();
    const Result<std::string> secret = read_secret(secret_file_);
    if (!secret.ok()) return fail(secret.error().message);
    options_.secret = *secret;
    for (const Result<void>& tried : {try_file("--json", json_), try_file("--csv", csv_),
                                      try_file("--report", report_)}) {
      if (!tried.ok()) return fail(tried.error().message);
    }
    if (!scenario.verify.log_dir.empty()) {  // not a day later
      const Result<void> there = can_verify_by_log(scenario.verify.log_dir);
      if (!there.ok()) return fail(there.error().message);
    }
    catch_signals();
    return play(scenario);
  }

 private:
  static constexpr const char* examples =
      "Examples:\n"
      "  ringgate-load run baseline --target 127.0.0.1:7808\n"
      "      the smallest shipped scenario (`ringgate-load scenarios` lists all)\n"
      "  ringgate-load run city.toml --json run.json --report run.html --verify-log /var/lib/rg\n"
      "      everything kept, and every acknowledged report looked up afterwards\n"
      "  ringgate-load run peak --shorten 0.1\n"
      "      a first look: a tenth of the users in a tenth of the time\n"
      "  ringgate-load run 100k --worker 10.0.0.7:7900 --worker 10.0.0.8:7900 --secret-file s\n"
      "      load from two other hosts, one merged report\n"
      "Exit status: 0 well, 1 errors in the run, 2 it could not start, 99 a threshold is broken.\n"
      "Ctrl-C ends the run in order, a second one without waiting for answers.";

  std::unique_ptr<View> make_view(const Scenario& scenario) const {
    if (quiet_) return make_quiet_view(STDERR_FILENO);
    const bool terminal = isatty(STDERR_FILENO) != 0;
    return terminal && !plain_ ? make_screen_view(scenario, STDERR_FILENO)
                               : make_plain_view(scenario, STDERR_FILENO);
  }

  int play(const Scenario& scenario) {
    const std::unique_ptr<View> view = make_view(scenario);
    Coordinator coordinator(scenario, options_, *view, [] { return static_cast<int>(signals); });
    const Result<void> played = coordinator.run(run_worker);
    view->end();
    if (!played.ok()) return fail(played.error().message);
    if (options_.keep_acked) coordinator.verify();
    const RunResult& result = coordinator.result();
    const bool stdout_taken = json_ == "-" || csv_ == "-" || report_ == "-";
    std::fputs(run_table(result, !stdout_taken && isatty(STDOUT_FILENO) != 0).c_str(),
               stdout_taken ? stderr : stdout);
    const std::string run_file = json_.empty() && report_.empty() ? "" : run_json(result);
    for (const Result<void>& written :
         {write_file("--json", json_, json_.empty() ? "" : run_file),
          write_file("--csv", csv_, csv_.empty() ? "" : run_csv(result)),
          write_file("--report", report_, report_.empty() ? "" : html_report({run_file}))}) {
      if (!written.ok()) return fail(written.error().message);
    }
    return result.exit_status();
  }

  std::string scenario_;
  ReadOptions read_;
  RunOptions options_;
  std::string secret_file_, json_, csv_, report_, verify_log_, verify_api_;
  bool check_ = false;
  bool abort_ = false;
  bool quiet_ = false;
  bool plain_ = false;
};

class WorkerCommand final : public Subcommand {
 public:
  CLI::App* declare(CLI::App& app) override {
    CLI::App* own = app.add_subcommand("worker", "Sends load for a `run` on another host");
    own->add_option("--listen", listen_, "HOST:PORT to wait for coordinators")->required();
    own->add_option("--secret-file", secret_file_,
                    "Only who knows its first line may start load from here");
    own->footer("Example:\n"
                "  openssl rand -hex 16 > secret; chmod 600 secret    # the same on both hosts\n"
                "  ringgate-load worker --listen 10.0.0.7:7900 --secret-file secret\n"
                "One run at a time. The secret is proved, never sent; what follows is not "
                "encrypted:\nuse a network that you trust.");
    return own;
  }

  int run() override {
    const Result<std::string> secret = read_secret(secret_file_);
    if (!secret.ok()) return fail(secret.error().message);
    const bool loopback = listen_.rfind("127.", 0) == 0 || listen_.rfind("localhost:", 0) == 0 ||
                          listen_.rfind("[::1]:", 0) == 0;
    if (secret->empty() && !loopback) {
      return fail(fmt::format("--listen {}: whoever reaches this could send load to anybody; give "
                              "--secret-file, or listen on 127.0.0.1", listen_));
    }
    catch_signals();
    const Result<void> served = serve_coordinators(
        listen_, *secret, run_worker, [] { return signals > 0; },
        [](const std::string& line) {
          fmt::print("{}\n", line);
          std::fflush(stdout);
        });
    return served.ok() ? 0 : fail(served.error().message);
  }

 private:
  std::string listen_;
  std::string secret_file_;
};

class ReportCommand final : public Subcommand {
 public:
  CLI::App* declare(CLI::App& app) override {
    CLI::App* own =
        app.add_subcommand("report", "A page (HTML) of one run, or of several compared");
    own->add_option("runs", runs_, "Run files (`run --json`); others are compared with the first")
        ->required();
    own->add_option("-o,--output", output_, "The page (-: standard output)")->required();
    own->footer("Examples:\n"
                "  ringgate-load report run.json -o run.html\n"
                "  ringgate-load report before.json after.json -o compared.html");
    return own;
  }

  int run() override {
    std::vector<std::string> texts;
    for (const std::string& file : runs_) {
      Result<std::string> text = read_run_file(file);
      if (!text.ok()) return fail(text.error().message);
      texts.push_back(std::move(*text));
    }
    const Result<void> written = write_file("--output", output_, html_report(texts));
    return written.ok() ? 0 : fail(written.error().message);
  }

 private:
  std::vector<std::string> runs_;
  std::string output_;
};

}  // namespace

std::unique_ptr<Subcommand> make_report_command() { return std::make_unique<ReportCommand>(); }
std::unique_ptr<Subcommand> make_run_command() { return std::make_unique<RunCommand>(); }
std::unique_ptr<Subcommand> make_worker_command() { return std::make_unique<WorkerCommand>(); }

}  // namespace ringgate::load
