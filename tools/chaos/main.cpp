// ringgate-chaos: command line, start and end. What it does stands in README.md.
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "engine/config/toml_file.hpp"
#include "engine/io/feature_names.hpp"
#include "engine/net/links.hpp"
#include "engine/net/listener.hpp"
#include "engine/shard/mailbox.hpp"
#include "engine/shard/shard.hpp"
#include "protocols/http/session.hpp"
#include "tools/chaos/control.hpp"
#include "tools/chaos/counters.hpp"
#include "tools/chaos/plan.hpp"
#include "tools/chaos/proxies.hpp"

namespace ringgate::chaos {
namespace {

constexpr int exit_failed = 1;
constexpr int exit_usage = 2;

constexpr const char* footer = R"(
PLAN is TOML: proxies, each with where it listens, its target and its rules. Without a plan all of
it comes by HTTP (GET /proxies, PUT /proxies/NAME, PUT /proxies/NAME/rules/RULE; JSON of the same
shape). Kinds of rules: latency, bandwidth, loss, duplicate, reorder, corrupt, slice, reset,
half_open, slow_close, partition, blackhole, refuse, limit. All have direction (up, down, both),
probability, from, for, every, seed. tools/chaos/README.md has everything.

  [proxies.terminals]
  listen = "127.0.0.1:7908"
  target = "127.0.0.1:7808"
  [proxies.terminals.rules.far-away]
  kind = "latency"
  latency = "120ms"
  jitter = "40ms"

Examples:
  ringgate-chaos chaos.toml --check
  ringgate-chaos chaos.toml --json > status.jsonl
  ringgate-chaos --control 127.0.0.1:8474
  curl -X PUT -H 'Content-Type: application/json' localhost:8474/proxies/terminals/rules/cut \
      -d '{"kind": "reset", "after_bytes": "10KiB", "probability": 0.1}'

Exit code: 0 stopped by SIGINT or SIGTERM (or --check found nothing), 1 the plan is wrong or
something could not be opened, 2 wrong usage.)";

struct Arguments {
  std::string plan_file;
  std::string control;
  bool has_control = false;
  bool check = false;
  bool json = false;
  int cpu = -1;
  std::string without;  // features of the ring, for tests of what older kernels lack
};

volatile sig_atomic_t stopping = 0;
void on_signal(int) {
  if (stopping != 0) _exit(130);  // the second one means it
  stopping = 1;
}

int fail(const std::string& message) {
  fmt::print(stderr, "ringgate-chaos: {}\n", message);
  return exit_failed;
}

// As many descriptors as the system allows: two for each connection.
void raise_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// False: it was told what is wrong.
bool read(const Arguments& arguments, Plan& plan) {
  if (!arguments.plan_file.empty()) {
    const auto text = config::read_config_file(arguments.plan_file);
    if (!text) {
      fail(text.error().text());
      return false;
    }
    auto found = read_plan(*text);
    if (!found) {
      for (const Problem& one : found.error()) {
        fmt::print(stderr, "{}:{}:{}: {}\n", arguments.plan_file, one.line, one.column,
                   one.message);
      }
      return false;
    }
    plan = std::move(*found);
  }
  if (arguments.has_control) plan.control.listen = arguments.control;
  return true;
}

// The HTTP interface: the engine's links with one listener.
class Interface {
 public:
  Interface(shard::Shard& shard, shard::MailHub& hub) : mail_(shard, hub), shard_(shard) {}

  // Error: it can't listen there.
  Result<void> open(const ControlPlan& plan, Proxies& proxies) {
    auto links = net::Links::create(shard_, mail_, counters_, {.links_max = 256});
    if (!links) return links.error();
    links_ = std::move(*links);
    session_ = std::make_unique<http::Session>(*links_, counters_, http::SessionOptions{});
    auto control = std::make_unique<Control>(*session_, proxies, plan.hosts);
    control_ = control.get();
    session_->use_handler(std::move(control));
    const std::uint8_t protocol = links_->add_protocol(*session_);
    if (plan.listen.empty()) return {};
    const auto address = config::parse_listen_address(plan.listen);
    if (!address) return address.error();
    auto opened = net::open_listener(shard_.sys(), *address, {}, 1);
    if (!opened) return opened.error();
    address_ = opened->address;
    if (!address->loopback()) {
      fmt::print(stderr, "ringgate-chaos: whoever reaches {} can drive this proxy\n", address_);
    }
    links_->add_listener({.fd = opened->fds[0], .protocol = protocol, .idle_timeout_ms = 300'000,
                          .frame_timeout_ms = 10'000});
    return {};
  }
  void turn() {
    if (control_ != nullptr) control_->answer_settled();
  }
  const std::string& address() const { return address_; }

 private:
  shard::MailRoom mail_;
  shard::Shard& shard_;
  observe::CounterGroup counters_{"shard", "0"};
  std::unique_ptr<net::Links> links_;
  std::unique_ptr<http::Session> session_;
  Control* control_ = nullptr;  // the session's
  std::string address_;
};

void say_ready(const Interface& interface, const Proxies& proxies) {
  std::string line = "ready";
  if (!interface.address().empty()) line.append(" control=").append(interface.address());
  for (const auto& [name, proxy] : proxies.all()) {
    line.append(" ").append(name).append("=").append(proxy->address());
  }
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

int run(const Arguments& arguments, const Plan& plan) {
  raise_file_limit();
  const auto without = io::features_from_names(arguments.without);
  if (!without) return fail(fmt::format("--without: {}", without.error().message));
  auto ring = io::Ring::open(io::make_uring_backend(), {.without = *without});
  if (!ring) return fail(ring.error().message);
  shard::MailHub hub(1, 0);
  shard::Shard shard({.cpu = arguments.cpu}, std::move(*ring), io::real_sys());
  Interface interface(shard, hub);
  auto desk = Desk::create(shard);
  if (!desk) return fail(desk.error().message);
  Proxies proxies(**desk, plan.seed);
  int code = 0;
  if (const auto opened = interface.open(plan.control, proxies); !opened) {
    code = fail(fmt::format("control.listen: {}", opened.error().message));
  }
  for (const ProxyPlan& one : plan.proxies) {
    if (const auto made = proxies.put(one); !made) {
      code = fail(fmt::format("proxy {}: {}", one.name, made.error().message));
    }
  }
  if (code == 0) {
    say_ready(interface, proxies);
  } else {
    stopping = 1;
  }
  prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);  // chunks leave when they are due
  MonoNs told_ns = shard.now();
  for (bool alive = true; alive;) {
    if (stopping != 0) shard.request_stop();
    (*desk)->advance();
    interface.turn();
    alive = shard.turn((*desk)->sleep_budget(250 * ns_per_ms));
    if (!arguments.json || shard.now() - told_ns < ns_per_s) continue;
    told_ns = shard.now();
    fmt::print("{}\n", status_json(proxies));
    std::fflush(stdout);
  }
  return code;
}

int main(int argc, char** argv) {
  CLI::App app("A proxy for TCP and UDP with faults: delay, loss, resets, partitions.",
               "ringgate-chaos");
  Arguments arguments;
  app.add_option("PLAN", arguments.plan_file, "TOML file with proxies and rules");
  CLI::Option* const control =
      app.add_option("--control", arguments.control,
                     "HTTP interface, instead of the plan's control.listen; \"\" for none")
          ->type_name("HOST:PORT");
  app.add_flag("--check", arguments.check, "Only say what is wrong with the plan");
  app.add_flag("--json", arguments.json, "Each second a line of JSON with all counters");
  app.add_option("--cpu", arguments.cpu, "Run on this CPU only")->type_name("N");
  app.add_option("--without", arguments.without)->group("");  // not in --help
  app.set_version_flag("--version", "ringgate-chaos " RINGGATE_VERSION);
  app.footer(footer);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : exit_usage;
  }
  arguments.has_control = control->count() > 0;
  if (arguments.check && arguments.plan_file.empty()) {
    fmt::print(stderr, "ringgate-chaos: --check needs a plan\n");
    return exit_usage;
  }
  if (arguments.has_control && !arguments.control.empty()) {
    if (const auto fine = config::check_listen_address(arguments.control); !fine) {
      fmt::print(stderr, "ringgate-chaos: --control: {}\n", fine.error().message);
      return exit_usage;
    }
  }
  Plan plan;
  if (!read(arguments, plan)) return exit_failed;
  if (arguments.check) {
    fmt::print("{}: {} proxies, no mistakes\n", arguments.plan_file, plan.proxies.size());
    return 0;
  }
  struct sigaction action{};
  action.sa_handler = on_signal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  return run(arguments, plan);
}

}  // namespace
}  // namespace ringgate::chaos

int main(int argc, char** argv) { return ringgate::chaos::main(argc, argv); }
