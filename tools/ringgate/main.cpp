// ringgate: command line, configuration, signals. The gateway itself is in server.cpp.
#include <fmt/core.h>
#include <poll.h>
#include <signal.h>
#include <time.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "engine/net/tls/keys.hpp"
#include "protocols/fabric/keys.hpp"
#include "storage/blob/keys.hpp"
#include "storage/log/keys.hpp"
#include "storage/state/keys.hpp"
#include "tools/ringgate/keys.hpp"
#include "tools/ringgate/notify.hpp"
#include "tools/ringgate/plugs.hpp"
#include "tools/ringgate/reload_desk.hpp"
#include "tools/ringgate/server.hpp"
#include "tools/ringgate/sinks.hpp"
#include "tools/ringgate/status.hpp"

namespace {

using namespace ringgate;

constexpr int exit_failure = 1;
constexpr int exit_usage = 2;

struct Arguments {
  std::vector<std::string> files;
  std::vector<std::string> sets;
  bool check_config = false;
  bool print_config = false;
  bool sample_config = false;
  std::string log_format = "logfmt";
  std::string log_level = "info";
};

constexpr const char* examples = R"(Examples:
  ringgate                                        start on the built-in defaults
  ringgate --config /etc/ringgate.toml            with a file; later files win over earlier ones
  ringgate --set 'jt808.listen=0.0.0.0:7808'      one value; a list is a,b
  RINGGATE_SERVER__SHARDS=2 ringgate              the same by the environment
  ringgate --sample-config > ringgate.toml        a commented file with every key
  ringgate --config ringgate.toml --check-config  does it parse? exit code 0 or 2
Signals: TERM, INT drain and stop (twice: at once); USR1 prints all counters to stderr;
  HUP reads the configuration again, all or nothing, and certificates.
Exit codes: 0 stopped as asked, 1 could not start or run, 2 wrong arguments or configuration.)";

config::Schema make_schema() {
  config::Schema schema;
  schema.add(server::keys);
  for (const server::Plug& plug : server::plugs) schema.add(plug.keys);
  schema.add(net::tls::keys);
  schema.add(log::keys);
  schema.add(state::keys);
  schema.add(blob::keys);
  schema.add(server::node_keys);
#ifdef RINGGATE_NATS
  schema.add(server::fabric_keys);
  schema.add(sink::nats_keys);
#endif
  server::add_sink_keys(schema);
  return schema;
}

sigset_t handled_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1, SIGHUP}) sigaddset(&set, signal);
  return set;
}

// Waits for one of the handled signals; 0 when the time is over.
int wait_signal(const sigset_t& set, MonoNs timeout_ns) {
  const timespec timeout{timeout_ns / ns_per_s, timeout_ns % ns_per_s};
  const int signal = sigtimedwait(&set, nullptr, &timeout);
  return signal > 0 ? signal : 0;
}

void print_counters(const observe::Registry& registry) {
  std::string text;
  registry.print(text);
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
}

// The running gateway and what is done for it on the main thread.
struct Running {
  std::shared_ptr<const config::Settings> settings;
  const Arguments& arguments;
  const sigset_t signals;
  observe::LogSource& logs;
  const observe::Registry& registry;
  io::Sys& sys;
  server::Server& gateway;
  server::Watchdog watchdog;
  bool stuck = false;  // somebody was told so
};

// Reads the configuration again. All or nothing: an error, or a change that needs a restart,
// changes nothing.
server::ReloadOutcome read_again(Running& run, std::string by) {
  server::ReloadOutcome outcome;
  auto loaded = config::load_settings(run.settings->schema(), run.arguments.files,
                                      config::process_environment(), run.arguments.sets);
  if (!loaded) {
    for (const config::ConfigError& error : loaded.error()) {
      run.logs.error("reload refused, nothing changed", {{"why", error.text()}});
      outcome.lines.push_back(error.text());
    }
    return outcome;
  }
  const std::vector<config::Change> changes = config::diff(*run.settings, *loaded);
  for (const config::Change& change : changes) {
    if (change.key->apply != config::Apply::restart) continue;
    run.logs.error("reload refused, nothing changed: this key needs a restart",
                   {{"key", change.key->name}, {"is", change.before}, {"asked", change.after}});
    outcome.lines.push_back(fmt::format("{} = {}: changing it (from {}) takes a restart",
                                        change.key->name, change.after, change.before));
    return outcome;
  }
  state::Deed deed{.action = "config reload", .by = std::move(by)};
  for (const config::Change& change : changes) {
    run.logs.info("setting changed",
                  {{"key", change.key->name}, {"was", change.before}, {"is", change.after}});
    outcome.lines.push_back(
        fmt::format("{} = {} (was {})", change.key->name, change.after, change.before));
    deed.details.emplace_back(change.key->name,
                              fmt::format("{} -> {}", change.before, change.after));
  }
  run.settings = std::make_shared<const config::Settings>(std::move(*loaded));
  run.gateway.reload(run.settings, std::move(deed));
  run.logs.info("configuration reloaded", {{"changes", changes.size()}});
  outcome.done = true;
  return outcome;
}

void reload(Running& run) {
  const server::ReloadDesk::Asked asked = run.gateway.reloads().begin();
  server::notify_reloading(run.sys.mono_now());
  server::ReloadOutcome outcome = read_again(run, asked.by);
  run.gateway.look_at_certificates(true);
  // Whoever waits for the end finds every shard with the new settings. One that hangs is the
  // watchdog's.
  constexpr MonoNs longest = 2 * ns_per_s;
  if (!run.gateway.all_turned(longest)) {
    run.logs.warn("reload: not every thread has taken the settings yet");
  }
  const std::string status =
      outcome.done ? "configuration reloaded"
      : outcome.lines.empty() ? "reload refused"
                              : "reload refused, nothing changed: " + outcome.lines[0];
  server::notify_manager("READY=1");
  server::notify_status(status);
  run.gateway.reloads().end(asked.number, std::move(outcome));
}

// Feeds the manager's watchdog while all turn, and says who does not.
void look_at_watchdog(Running& run) {
  switch (run.watchdog.look(run.sys.mono_now())) {
    case server::Watchdog::Verdict::wait:
      return;
    case server::Watchdog::Verdict::feed:
      server::notify_manager(run.stuck ? "WATCHDOG=1\nSTATUS=all threads turn again"
                                       : "WATCHDOG=1");
      if (run.stuck) run.logs.warn("all threads turn again");
      run.stuck = false;
      run.gateway.wake_pulse();
      return;
    case server::Watchdog::Verdict::stuck:
      server::notify_status("stuck: " + run.watchdog.stuck_text());
      if (!run.stuck) run.logs.error("stuck", {{"who", run.watchdog.stuck_text()}});
      run.stuck = true;
      return;
  }
}

// Until a signal asks to stop.
void serve(Running& run) {
  MonoNs interval = run.settings->duration_ns("server.status_interval");
  server::Status status(run.registry, run.gateway.sinks(), run.sys.mono_now());
  MonoNs next = run.sys.mono_now() + interval;
  while (!run.gateway.stopped()) {
    look_at_watchdog(run);
    const MonoNs now = run.sys.mono_now();
    MonoNs left = interval > 0 ? next - now : 3600 * ns_per_s;
    if (run.gateway.has_tls()) left = std::min(left, limits::tls_look_interval_ms * ns_per_ms);
    left = std::max<MonoNs>(std::min(left, run.watchdog.next() - now), 0);
    switch (wait_signal(run.signals, left)) {
      case SIGTERM:
      case SIGINT:
        return;
      case SIGUSR1:
        print_counters(run.registry);
        break;
      case SIGHUP:
        reload(run);
        interval = run.settings->duration_ns("server.status_interval");
        next = run.sys.mono_now() + interval;
        break;
      default:
        run.gateway.look_at_certificates(false);
        break;
    }
    if (interval > 0 && run.sys.mono_now() >= next) {
      status.log(run.logs, run.sys.mono_now());
      if (!run.stuck) server::notify_status(status.text());
      next = run.sys.mono_now() + interval;
    }
  }
}

// Drains; a second signal, or the deadline and a second more for the kernel's last completions,
// ends it.
void shut_down(Running& run) {
  const MonoNs timeout = run.settings->duration_ns("server.drain_timeout");
  run.logs.info("draining", {{"timeout_s", static_cast<double>(timeout) / ns_per_s}});
  // The manager's own patience is for what comes after the drain.
  constexpr MonoNs after = 60 * ns_per_s;
  server::notify_manager(
      fmt::format("STOPPING=1\nEXTEND_TIMEOUT_USEC={}\nSTATUS=draining: no new links, what is "
                  "there is stored and answered",
                  (timeout + after) / ns_per_us));
  run.gateway.drain(timeout);
  const MonoNs deadline = run.sys.mono_now() + timeout;
  while (!run.gateway.stopped() && run.sys.mono_now() < deadline) {
    look_at_watchdog(run);
    const int signal = wait_signal(run.signals, 10 * ns_per_ms);
    if (signal == SIGTERM || signal == SIGINT) break;
    if (signal == SIGUSR1) print_counters(run.registry);
  }
  run.gateway.stop();
  while (!run.gateway.stopped()) wait_signal(run.signals, 10 * ns_per_ms);
  run.logs.info("stopped");
}

int run(std::shared_ptr<const config::Settings> settings, const Arguments& arguments,
        observe::LoggerOptions log_options) {
  const sigset_t signals = handled_signals();
  // Before any thread is made, so that all inherit it and only the main thread takes signals.
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  observe::Logger logger(std::move(log_options));
  observe::Registry registry;
  observe::LogSource& logs = logger.add_source("main");
  io::Sys& sys = io::real_sys();
  server::notify_status("starting: the log is recovered, the state is read");
  auto gateway = server::Server::start(settings, sys, logger, registry);
  if (!gateway) {
    logger.flush();
    std::fprintf(stderr, "ringgate: %s\n", gateway.error().message.c_str());
    server::notify_status(gateway.error().message);
    return exit_failure;
  }
  std::printf("%s\n", (*gateway)->ready_line().c_str());
  std::fflush(stdout);
  server::notify_manager("READY=1\nSTATUS=" + (*gateway)->ready_line());
  Running running{settings, arguments, signals, logs, registry, sys, **gateway,
                  server::Watchdog((*gateway)->pulse(), server::watchdog_interval(),
                                   sys.mono_now())};
  serve(running);
  shut_down(running);
  return 0;
}

void add_options(CLI::App& app, Arguments& arguments) {
  app.add_option("--config", arguments.files, "TOML file; may be given more than once")
      ->type_name("FILE")
      ->take_all();
  app.add_option("--set", arguments.sets, "One value: section.key=value")
      ->type_name("KEY=VALUE")
      ->take_all();
  app.add_flag("--check-config", arguments.check_config, "Check the configuration and exit");
  app.add_flag("--print-config", arguments.print_config,
               "Print every value with its source and exit");
  app.add_flag("--sample-config", arguments.sample_config,
               "Print a commented file with every key and exit");
  app.add_option("--log-format", arguments.log_format, "logfmt or json")
      ->check(CLI::IsMember({"logfmt", "json"}));
  app.add_option("--log-level", arguments.log_level, "debug, info, warn or error")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}));
  app.set_version_flag("--version", "ringgate " RINGGATE_VERSION);
  app.footer(examples);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Gateway for fleets of devices: stores first, then acknowledges.", "ringgate");
  Arguments arguments;
  add_options(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : exit_usage;
  }
  const config::Schema schema = make_schema();
  if (arguments.sample_config) {
    std::fputs(config::sample_config(schema).c_str(), stdout);
    return 0;
  }
  const auto environment = config::process_environment();
  auto settings = config::load_settings(schema, arguments.files, environment, arguments.sets);
  if (!settings) {
    for (const config::ConfigError& error : settings.error()) {
      std::fprintf(stderr, "ringgate: %s\n", error.text().c_str());
    }
    return exit_usage;
  }
  if (arguments.print_config) std::fputs(config::print_config(*settings).c_str(), stdout);
  if (arguments.check_config && !arguments.print_config) std::puts("configuration ok");
  if (arguments.print_config || arguments.check_config) return 0;
  observe::LoggerOptions log_options;
  log_options.format = *observe::parse_log_format(arguments.log_format);
  log_options.level = *observe::parse_level(arguments.log_level);
  return run(std::make_shared<const config::Settings>(std::move(*settings)), arguments,
             std::move(log_options));
}
