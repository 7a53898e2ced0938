// `ringgate-load jt808`: simulated JT/T 808 terminals against a gateway, all alike, in one thread.
// Progress goes to stderr, the final table to stdout.
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <bit>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include <fmt/core.h>

#include "tools/common/sockets.hpp"
#include "tools/load/command.hpp"
#include "tools/load/fleet.hpp"

namespace ringgate::load {
namespace {

volatile sig_atomic_t signals = 0;
void on_signal(int) {
  signals = signals + 1;
  if (signals > 1) _exit(130);  // the second one means it
}

struct Arguments {
  std::string target;
  std::string version = "2013";
  std::string json_file;
  std::string acked_log_file;
  std::string sources;
  std::string events_file;
  double duration_s = 0;
  double warmup_s = 0;
  int cpu = -1;
  bool demo = false;
  bool quiet = false;
  FleetOptions fleet;
};

// "127.0.0.2,127.0.0.3" or a count: so many addresses from 127.0.0.1 up.
Result<void> parse_sources(const std::string& text, std::vector<in_addr>& out) {
  if (text.empty()) return {};
  if (text.find_first_not_of("0123456789") == std::string::npos && text.size() < 5) {
    const unsigned long count = std::stoul(text);
    for (unsigned long i = 0; i < count; ++i) {
      out.push_back({htonl(INADDR_LOOPBACK + static_cast<std::uint32_t>(i))});
    }
    return {};
  }
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    in_addr address{};
    const std::string one = text.substr(at, comma - at);
    if (inet_pton(AF_INET, one.c_str(), &address) != 1) {
      return Error{0, "--source-ips: " + one + " is no IPv4 address"};
    }
    out.push_back(address);
    at = comma + 1;
  }
  return {};
}

Result<void> raise_file_limit(std::uint32_t devices) {
  const rlim_t need = rlim_t{devices} + 64 + Uploads::connections_max;
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur >= need) return {};
  limit.rlim_cur = need;
  if (limit.rlim_max < need) limit.rlim_max = need;
  if (setrlimit(RLIMIT_NOFILE, &limit) == 0) return {};
  return errno_error(errno, fmt::format("{} devices need {} open files and the limit is lower: "
                                        "raise it (ulimit -n, LimitNOFILE=) or lower --devices",
                                        devices, need));
}

Result<std::unique_ptr<shard::Shard>> open_shard(const Arguments& arguments) {
  io::RingOptions options;
  options.cq_entries = std::clamp(std::bit_ceil(arguments.fleet.devices * 4), 4096U, 65536U);
  Result<std::unique_ptr<io::Ring>> ring = io::Ring::open(io::make_uring_backend(), options);
  if (!ring.ok()) return ring.error();
  return std::make_unique<shard::Shard>(shard::ShardOptions{.cpu = arguments.cpu},
                                        std::move(*ring), io::real_sys());
}

// One line, updated in place on a terminal; elsewhere a line a second (ten seconds in a demo).
class Progress {
 public:
  Progress(const Arguments& arguments, MonoNs now)
      : on_terminal_(isatty(STDERR_FILENO) != 0), quiet_(arguments.quiet),
        every_ns_(!on_terminal_ && arguments.demo ? 10 * ns_per_s : ns_per_s), last_ns_(now) {}

  void show(const Fleet& fleet, MonoNs now) {
    if (quiet_ || now - last_ns_ < every_ns_) return;
    const double seconds = static_cast<double>(now - last_ns_) / static_cast<double>(ns_per_s);
    const Counts& counts = fleet.counts();
    fmt::print(stderr,
               "{}{}: {} online, {} sent, {} acknowledged ({:.0f}/s), {} outstanding, {} errors"
               "{}{}{}",
               on_terminal_ ? "\r\x1b[K" : "", fleet.phase_name(), fleet.ready(), counts.sent,
               counts.acknowledged,
               static_cast<double>(counts.acknowledged - last_acknowledged_) / seconds,
               fleet.outstanding(), counts.errors(), fleet.last_error().empty() ? "" : ", last: ",
               fleet.last_error(), on_terminal_ ? "" : "\n");
    std::fflush(stderr);
    last_ns_ = now;
    last_acknowledged_ = counts.acknowledged;
    shown_ = true;
  }
  void end() const {
    if (shown_ && on_terminal_) fmt::print(stderr, "\n");
  }

 private:
  bool on_terminal_;
  bool quiet_;
  bool shown_ = false;
  MonoNs every_ns_;
  MonoNs last_ns_;
  std::uint64_t last_acknowledged_ = 0;
};

Result<void> write_json(const Arguments& arguments, const Report& report) {
  if (arguments.json_file.empty()) return {};
  const std::string text = json(report);
  if (arguments.json_file == "-") {
    std::fputs(text.c_str(), stdout);
    return {};
  }
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{
      std::fopen(arguments.json_file.c_str(), "we"), std::fclose};
  if (!file || std::fputs(text.c_str(), file.get()) < 0 || std::fflush(file.get()) != 0) {
    return errno_error(errno, "--json " + arguments.json_file);
  }
  return {};
}

Result<bool> run(Arguments& arguments) {
  FleetOptions& options = arguments.fleet;
  const auto target = tool::resolve_address(arguments.target, "--target");
  if (!target.ok()) return target.error();
  options.target = target->address;
  options.target_bytes = target->bytes;
  if (Result<void> r = parse_sources(arguments.sources, options.sources); !r.ok()) return r.error();
  if (Result<void> r = raise_file_limit(options.devices); !r.ok()) return r.error();
  if (options.server_pid != 0) {
    const Result<ServerUse> use = server_use(options.server_pid);
    if (!use.ok()) return use.error();
  }
  if (!arguments.acked_log_file.empty()) {
    options.acked_log_fd = open(arguments.acked_log_file.c_str(),
                                O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (options.acked_log_fd < 0) {
      return errno_error(errno, "--acked-log " + arguments.acked_log_file);
    }
  }
  if (arguments.events_file == "-") {
    options.events_fd = STDERR_FILENO;
  } else if (!arguments.events_file.empty()) {
    options.events_fd = open(arguments.events_file.c_str(),
                             O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (options.events_fd < 0) return errno_error(errno, "--events " + arguments.events_file);
  }
  Result<std::unique_ptr<shard::Shard>> shard = open_shard(arguments);
  if (!shard.ok()) return shard.error();
  constexpr std::uint32_t receive_buffers = 2048;
  constexpr std::uint32_t receive_bytes = 2048 + 64;  // not all in one set of the cache
  Result<std::unique_ptr<io::BufferRing>> buffers =
      io::BufferRing::open((*shard)->ring(), 0, receive_buffers, receive_bytes);
  if (!buffers.ok()) return buffers.error();
  Fleet fleet(**shard, std::move(*buffers), options);
  prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);  // reports leave when they are due
  Progress progress(arguments, (*shard)->sys().mono_now());
  while (!fleet.finished()) {
    if (signals > 0) fleet.stop();
    (*shard)->turn(fleet.sleep_budget());
    progress.show(fleet, (*shard)->now());
  }
  progress.end();
  Report report;
  report.target = arguments.target;
  report.devices = options.devices;
  report.in_flight = options.rate > 0 ? 0 : options.in_flight;
  report.rate_per_device = options.rate;
  report.idle = options.idle;
  report.server_pid = options.server_pid;
  fleet.fill(report);
  if (arguments.json_file != "-") std::fputs(table(report).c_str(), stdout);
  if (report.failed() && !fleet.last_error().empty()) {
    fmt::print(stderr, "ringgate-load: last error: {}\n", fleet.last_error());
  }
  if (Result<void> r = write_json(arguments, report); !r.ok()) return r.error();
  return !report.failed();
}

constexpr const char* examples =
    "Terminals do what the platform tells them: parameters, areas, photographs, recordings,\n"
    "attachments, texts. Examples:\n"
    "  ringgate-load jt808 --target 127.0.0.1:7808 --devices 20000 --rate 0.2 --duration 60\n"
    "      20,000 terminals that report every five seconds, measured for a minute\n"
    "  ringgate-load jt808 --target 127.0.0.1:7808 --devices 10 --demo --events -\n"
    "      ten vehicles that drive about; what they are told and do is shown\n"
    "  ringgate-load jt808 --target 127.0.0.1:7808 --devices 1 --demo --loss 0.2 --files /tmp\n"
    "      every fifth part of a photograph gets lost and has to be asked for again\n"
    "  ringgate-load jt808 --target 127.0.0.1:7808 --devices 5 --demo --alarms 0.1\n"
    "      an alarm of a driver assistant every ten seconds, with attachments to ask for";

void declare_options(CLI::App& app, Arguments& arguments) {
  FleetOptions& fleet = arguments.fleet;
  app.add_option("--target", arguments.target, "HOST:PORT of the gateway")->required();
  app.add_option("--devices", fleet.devices, "How many terminals")
      ->required()->check(CLI::Range(1U, 4'000'000U));
  app.add_option("--version", arguments.version, "Of JT/T 808: 2013 or 2019")
      ->check(CLI::IsMember({"2013", "2019"}));
  CLI::Option* rate = app.add_option("--rate", fleet.rate,
      "Open model: reports per second and device, whatever the server does")
      ->check(CLI::Range(1e-6, 1e6));
  app.add_option("--in-flight", fleet.in_flight,
      "Closed model: reports of each device that wait for an answer (default 1)")
      ->check(CLI::Range(1U, 4096U))->excludes(rate);
  app.add_option("--connect-rate", fleet.connect_rate, "New links per second (default: no limit)")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--duration", arguments.duration_s, "Measured seconds (default: until Ctrl-C)")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--warmup", arguments.warmup_s,
      "Seconds of the same load before the measured ones")
      ->check(CLI::NonNegativeNumber);
  app.add_flag("--idle", fleet.idle, "Authenticate, then only hold the links");
  app.add_flag("--reconnect", fleet.reconnect, "Come back a second after a link is lost");
  app.add_flag("--drive", fleet.drive, "Vehicles that drive, instead of one fixed position");
  app.add_flag("--demo", arguments.demo,
      "Same as --drive --reconnect, one report a second unless --rate says otherwise");
  app.add_option("--phone-base", fleet.phone_base, "Phone number of the first terminal")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{999'999'999'999}));
  app.add_option("--source-ips", arguments.sources,
      "Local addresses to connect from: a list, or how many from 127.0.0.1 up (28,000 links each)");
  app.add_option("--cpu", arguments.cpu, "Run on this CPU only");
  app.add_option("--server-pid", fleet.server_pid, "Sample this process's CPU time and memory");
  app.add_option("--acked-log", arguments.acked_log_file,
      "Append `phone,serial` of each acknowledged report to this file");
  CLI::Option* udp =
      app.add_flag("--udp", fleet.udp, "Datagrams; what is not answered is sent again");
  app.add_flag("--tls", fleet.tls, "TLS; the server's certificate is not checked")->excludes(udp);
  app.add_option("--loss", fleet.loss,
      "Chance (0 to 0.5) of a part of a message, a block of an attachment, a datagram to get lost")
      ->check(CLI::Range(0.0, 0.5));
  app.add_option("--alarms", fleet.alarms,
      "Alarms of driver assistants (T/JSATL 12) per second and device")
      ->check(CLI::Range(0.0, 1000.0));
  app.add_option("--seed", fleet.seed, "Of what terminals leave to chance (default 1)");
  app.add_option("--events", arguments.events_file,
      "Append a JSON line for each thing a terminal did for the platform (-: standard error)");
  app.add_option("--files", fleet.files_dir,
      "Keep what terminals photograph, record and attach in this directory")
      ->check(CLI::ExistingDirectory);
  app.add_option("--json", arguments.json_file,
      "Write the results to this file (-: standard output)");
  app.add_flag("--quiet", arguments.quiet, "No progress");
}

class Jt808Command final : public Subcommand {
 public:
  CLI::App* declare(CLI::App& app) override {
    CLI::App* own =
        app.add_subcommand("jt808", "Vehicle terminals, JT/T 808-2013 or -2019 over TCP or UDP");
    declare_options(*own, arguments_);
    own->footer(examples);
    return own;
  }

  int run() override {
    FleetOptions& fleet = arguments_.fleet;
    if (arguments_.demo) {
      fleet.drive = fleet.reconnect = true;
      if (fleet.rate <= 0) fleet.rate = 1;
    }
    if (fleet.idle) fleet.rate = 0;
    fleet.version = arguments_.version == "2019" ? Version::v2019 : Version::v2013;
    fleet.duration_ns = static_cast<MonoNs>(arguments_.duration_s * static_cast<double>(ns_per_s));
    fleet.warmup_ns = static_cast<MonoNs>(arguments_.warmup_s * static_cast<double>(ns_per_s));
    struct sigaction action{};
    action.sa_handler = on_signal;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    const Result<bool> result = load::run(arguments_);
    if (!result.ok()) {
      fmt::print(stderr, "ringgate-load: {}\n", result.error().message);
      return 2;
    }
    return result.value() ? 0 : 1;
  }

 private:
  Arguments arguments_;
};

}  // namespace

std::unique_ptr<Subcommand> make_jt808_command() { return std::make_unique<Jt808Command>(); }

}  // namespace ringgate::load
