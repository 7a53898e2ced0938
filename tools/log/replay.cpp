// replay: what devices have sent, sent again to a gateway.
#include <fmt/format.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "engine/base/json_writer.hpp"
#include "engine/io/sys.hpp"
#include "tools/log/commands.hpp"
#include "tools/log/common.hpp"
#include "tools/log/replay_links.hpp"
#include "tools/log/replay_protocol.hpp"
#include "tools/log/scanning.hpp"
#include "tools/log/selecting.hpp"

namespace ringgate::log_tool {

namespace {

constexpr const char* footer = R"(
Sends the stored frames of devices again, byte for byte, one TCP connection a device. What signs in
and out is left out: each device registers and authenticates anew, since another gateway gives other
codes. Messages that were put together from parts go as their parts. Frames keep the times between
them, divided by --speed; --speed 0 sends as fast as the gateway acknowledges. At most 64 frames of
a device wait for an answer; what a broken connection leaves unanswered is sent again on the next.

Commands that the gateway gives meanwhile are not carried out. The log of the new gateway says when
frames were received there; the times that devices say stay as they are.

Exit code 1: some frames were not acknowledged.

Examples:
  ringgate-log replay /var/lib/ringgate --target 127.0.0.1:7808 --from -1d --speed 60
  ringgate-log replay /var/lib/ringgate --target gateway:7808 --device 13800138000 --speed 0
  ringgate-log replay /var/lib/ringgate --target gateway:7808 --from -1h --dry-run)";

// Without any news for so long the rest counts as not acknowledged.
constexpr MonoNs patience_ns = 30 * ns_per_s;

struct Options {
  SelectOptions select;
  std::string target;
  std::string protocol = "jt808";
  double speed = 1;
  bool dry_run = false;
  bool json = false;
};

// The frames of the log in the order of receipt, and when each is due.
class Source {
 public:
  Source(Scanning& scanning, const ReplayProtocol& protocol, double speed)
      : scanning_(scanning), protocol_(protocol), speed_(speed) {}

  // The frame to be sent next; it stays until taken(). Null: there is none.
  const log::Record* next() {
    while (!loaded_ && scanning_.next(found_)) {
      const log::Record& record = found_.record;
      if (record.ns() != protocol_.ns()) {
        ++other_protocols_;
      } else if (!record.whole()) {
        if (protocol_.replays(record.view())) {
          loaded_ = true;
        } else {
          ++signing_;
        }
      }
    }
    if (!loaded_) return nullptr;
    if (!first_us_) first_us_ = found_.record.header.received_us;
    last_us_ = found_.record.header.received_us;
    return &found_.record;
  }
  void taken() { loaded_ = false; }
  // After the replay's start, of the frame that next() gave.
  MonoNs due_ns() const {
    if (speed_ <= 0) return 0;
    return static_cast<MonoNs>(static_cast<double>(last_us_ - *first_us_) * ns_per_us / speed_);
  }
  double span_s() const {
    return first_us_ ? static_cast<double>(last_us_ - *first_us_) / 1e6 : 0;
  }
  std::uint64_t signing() const { return signing_; }
  std::uint64_t other_protocols() const { return other_protocols_; }

 private:
  Scanning& scanning_;
  const ReplayProtocol& protocol_;
  double speed_;
  query::Found found_;
  bool loaded_ = false;
  std::optional<WallUs> first_us_;
  WallUs last_us_ = 0;
  std::uint64_t signing_ = 0;
  std::uint64_t other_protocols_ = 0;
};

void raise_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// Longest delay of a frame behind the pace.
MonoNs send_all(Source& source, ReplayLinks& links) {
  const MonoNs started = io::real_sys().mono_now();
  MonoNs latest = 0;
  bool more = true;
  while (!interrupted()) {
    MonoNs wait = 20 * ns_per_ms;
    while (more && !interrupted()) {
      const log::Record* record = source.next();
      more = record != nullptr;
      if (!more) break;
      const MonoNs early = source.due_ns() - (io::real_sys().mono_now() - started);
      if (early > 0) {
        wait = std::min(wait, early);
        break;
      }
      if (!links.take(record->device, record->payload)) break;
      if (source.due_ns() > 0) latest = std::max(latest, -early);
      source.taken();
    }
    if (!more && links.idle()) return latest;
    links.turn(wait);
    const bool silent = io::real_sys().mono_now() - links.progressed_ns() > patience_ns;
    if (silent && !links.idle()) return latest;
  }
  return latest;
}

int dry_run(const Options& options, Source& source, Scanning& scanning) {
  std::set<std::string, std::less<>> devices;
  std::uint64_t frames = 0;
  std::uint64_t bytes = 0;
  while (const log::Record* record = source.next()) {
    ++frames;
    bytes += record->payload.size();
    if (!devices.contains(record->device)) devices.emplace(record->device);
    source.taken();
  }
  const int code = scanning.finish();
  fmt::print("{} frames ({} bytes) of {} devices over {}; {} that sign in or out are left out",
             frames, bytes, devices.size(), duration_text(source.span_s()), source.signing());
  if (options.speed > 0) {
    fmt::print("; takes {} at speed {:g}", duration_text(source.span_s() / options.speed),
               options.speed);
  }
  fmt::print("\n");
  return scanning.cut_short() ? exit_problems : code;
}

void report(const Options& options, const Source& source, const ReplayLinks& links, MonoNs latest,
            double seconds) {
  const ReplayCounts& counts = links.counts();
  const std::uint64_t unanswered =
      counts.frames - counts.acknowledged - counts.refused - counts.no_answer_due;
  if (options.json) {
    std::string text;
    JsonWriter json(text);
    json.begin_object().key("command").text("replay");
    const std::pair<const char*, std::uint64_t> numbers[] = {
        {"devices", counts.devices},
        {"frames", counts.frames},
        {"sent", counts.sent},
        {"sent_again", counts.again},
        {"acknowledged", counts.acknowledged},
        {"refused", counts.refused},
        {"no_answer_due", counts.no_answer_due},
        {"not_acknowledged", unanswered},
        {"broken_links", counts.broken_links},
        {"devices_given_up", counts.given_up},
        {"left_out_signing", source.signing()},
        {"left_out_other_protocols", source.other_protocols()}};
    for (const auto& [name, value] : numbers) json.key(name).unsigned_integer(value);
    json.key("behind_max_ms").integer(latest / ns_per_ms);
    json.key("seconds").number(seconds, 3);
    json.end_object();
    fmt::print("{}\n", text);
  } else {
    fmt::print("{} frames of {} devices: {} sent, {} acknowledged, {} refused, {} not answered\n",
               counts.frames, counts.devices, counts.sent, counts.acknowledged, counts.refused,
               unanswered);
    fmt::print("{} get no answer by the protocol; {} that sign in or out were left out\n",
               counts.no_answer_due, source.signing());
    fmt::print("{:.1f} s, {:.0f} frames/s, at most {} ms behind; {} sent again after {} broken "
               "connections\n",
               seconds, static_cast<double>(counts.sent) / std::max(seconds, 1e-3),
               latest / ns_per_ms, counts.again, counts.broken_links);
  }
  if (!links.trouble().empty()) {
    fmt::print(stderr, "ringgate-log: {} devices given up; the first, {}\n", counts.given_up,
               links.trouble());
  }
}

int replay(const Options& options) {
  const auto protocols = replay_protocols();
  const auto protocol = std::ranges::find(protocols, options.protocol, &ReplayProtocol::name);
  auto selection = to_selection(options.select, io::real_sys().wall_now());
  if (!selection) return refuse(selection.error());
  selection->add_kind(log::Kind::frame_up);
  selection->duplicates = !options.select.no_duplicates;
  if (options.target.empty() && !options.dry_run) {
    return refuse({0, "--target HOST:PORT says which gateway to send to"});
  }
  tool::SocketAddress target;
  if (!options.dry_run) {
    const auto resolved = tool::resolve_address(options.target, "--target");
    if (!resolved) return refuse(resolved.error());
    target = *resolved;
  }
  const Catalogs catalogs;
  Scanning scanning(catalogs.set);
  if (auto opened = scanning.open(options.select.directory, *selection, "replaying"); !opened) {
    return refuse(opened.error());
  }
  Source source(scanning, **protocol, options.speed);
  if (options.dry_run) return dry_run(options, source, scanning);
  raise_file_limit();
  ReplayLinks links(**protocol, target);
  const MonoNs started = io::real_sys().mono_now();
  const MonoNs latest = send_all(source, links);
  const double seconds = static_cast<double>(io::real_sys().mono_now() - started) / 1e9;
  const int code = scanning.finish();
  report(options, source, links, latest, seconds);
  const ReplayCounts& counts = links.counts();
  const bool all = counts.acknowledged + counts.no_answer_due == counts.frames;
  return all && !interrupted() ? code : exit_problems;
}

}  // namespace

Command add_replay(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("replay", "Send stored frames to a gateway again");
  add_basic_options(*command, options->select);
  command->add_option("--target", options->target, "HOST:PORT of the gateway");
  command->add_option("--speed", options->speed, "So many times as fast; 0: as fast as it takes")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--protocol", options->protocol, "Whose devices: jt808, jsonl")
      ->check(CLI::IsMember({"jt808", "jsonl"}))
      ->capture_default_str();
  command->add_flag("--no-duplicates", options->select.no_duplicates, "No retransmissions");
  command->add_flag("--dry-run", options->dry_run, "Only say what would be sent");
  command->add_flag("--json", options->json, "The result as one JSON object");
  command->footer(footer);
  return {command, [options] { return replay(*options); }};
}

}  // namespace ringgate::log_tool
