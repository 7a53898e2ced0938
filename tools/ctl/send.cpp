// ringgate-ctl send: one device, some, or all that a filter names.
#include <fmt/core.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <optional>

#include "engine/base/json_scan.hpp"
#include "engine/config/units.hpp"
#include "tools/ctl/commands.hpp"
#include "tools/ctl/show.hpp"

namespace ringgate::ctl {

namespace {

// Beyond the wait that was asked for: the gateway has a shard to reach and an outcome to store.
constexpr int margin_ms = 30'000;
constexpr std::size_t failures_shown = 20;

std::optional<Json> read_command(std::string text) {
  if (text == "-") {
    text.assign(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
  }
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  text.erase(0, std::min(begin, text.size()));
  text.erase(text.find_last_not_of(" \t\r\n") + 1);
  if (text.empty()) {
    fmt::print(stderr, "ringgate-ctl: the command is empty: a message's name or JSON is wanted\n");
    return {};
  }
  if (!text.starts_with("{")) return Json{{"message", text}};  // a message without fields
  const JsonScan scan = scan_json_object(text, "");
  if (scan.error == JsonScan::Error::too_deep) {
    fmt::print(stderr, "ringgate-ctl: the command is nested more than {} deep\n", json_depth_max);
    return {};
  }
  Json command = Json::parse(text, nullptr, false);
  if (scan.error == JsonScan::Error::none && command.is_object()) return command;
  constexpr std::size_t shown = 60;
  const std::size_t from = scan.offset < shown / 2 ? 0 : scan.offset - shown / 2;
  fmt::print(stderr,
             "ringgate-ctl: the command is no JSON at byte {} (keys and texts stand in \"double "
             "quotes\", the whole in 'single quotes'):\n  {}\n  {:>{}}\n",
             scan.offset + 1, printable(text.substr(from, shown)), '^', scan.offset - from + 1);
  return {};
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    if (comma > at) parts.push_back(text.substr(at, comma - at));
    at = comma + 1;
  }
  return parts;
}

// What was asked for: a command that waits was to wait.
bool is_good(const std::string& status) {
  return status == "answered" || status == "sent" || status == "pending";
}
bool is_good(const Json& outcome) { return is_good(outcome.value("status", "")); }

// On stderr, rewritten in place on a terminal, a line every few seconds elsewhere.
class Progress {
 public:
  void update(const Json& progress) {
    const auto done = progress.value("done", 0.0);
    const auto total = progress.value("total", 0.0);
    const auto now = Clock::now();
    const double elapsed = std::chrono::duration<double>(now - begun_).count();
    if (!terminal_ && std::chrono::duration<double>(now - told_).count() < 5) return;
    told_ = now;
    std::string eta = "?";
    if (done > 0) {
      const double seconds = elapsed / done * (total - done);
      eta = config::format_duration(static_cast<std::int64_t>(seconds + 0.5) * 1'000'000'000);
    }
    fmt::print(stderr, "{}{:.0f} of {:.0f} devices, {} waiting, {} left{}",
               terminal_ ? "\r\x1b[K" : "", done, total, plain(progress, "waiting"), eta,
               terminal_ ? "" : "\n");
    std::fflush(stderr);
    shown_ = true;
  }
  ~Progress() {
    if (shown_ && terminal_) fmt::print(stderr, "\r\x1b[K");
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point begun_ = Clock::now();
  Clock::time_point told_ = begun_;
  bool terminal_ = ::isatty(STDERR_FILENO) == 1;
  bool shown_ = false;
};

void print_outcome(const Json& outcome) {
  const bool good = is_good(outcome);
  std::string text = plain(outcome, "device") + " ";
  text += coloured(good ? Colour::good : Colour::bad, plain(outcome, "status"));
  if (outcome.contains("expires")) {
    text += fmt::format(" as {} until {}", plain(outcome, "id"), plain(outcome, "expires"));
  } else if (outcome.contains("elapsed_ms")) {
    text += fmt::format(" after {:.0f} ms", outcome["elapsed_ms"].get<double>());
  }
  if (outcome.value("transmissions", 0) > 1) {
    text += fmt::format(", {} transmissions", plain(outcome, "transmissions"));
  }
  if (outcome.contains("detail")) text += ": " + plain(outcome, "detail");
  fmt::print("{}\n", text);
  const Json answer = outcome.value("answer", Json::object()).value("body", Json::object());
  if (answer.contains("message")) fmt::print("  {}\n", plain(answer, "message"));
  if (answer.contains("body") && answer["body"].is_object()) print_object(answer["body"], 4);
}

void print_merged(const Json& end, const Json& outcomes) {
  fmt::print("{} devices\n", plain(end, "total"));
  for (const auto& [status, count] : end["by_status"].items()) {
    const bool good = is_good(status);
    fmt::print("  {} {:>8}\n",
               coloured(good ? Colour::good : Colour::bad, fmt::format("{:<12}", status)),
               count.get<std::uint64_t>());
  }
  std::size_t failures = 0;
  for (const Json& outcome : outcomes) {
    if (is_good(outcome)) continue;
    if (++failures <= failures_shown) print_outcome(outcome);
  }
  if (failures > failures_shown) {
    fmt::print("... and {} more; --json lists all\n", failures - failures_shown);
  }
}

// The request, or nothing after a complaint.
std::optional<Json> make_request(const Options& options, int& patience_ms) {
  const std::size_t expected = options.all ? 1 : 2;
  if (options.words.size() != expected) {
    fmt::print(stderr, "ringgate-ctl: send takes {}\n",
               options.all ? "a JSON command with --all, and no PHONE"
                           : "a PHONE (or several: A,B,C) and a JSON command, or --all");
    return {};
  }
  if (!options.all && !options.filter.empty()) {
    fmt::print(stderr, "ringgate-ctl: --filter goes with --all, not with a PHONE\n");
    return {};
  }
  const std::vector<std::string> phones = options.all ? std::vector<std::string>()
                                                      : split(options.words[0]);
  if (!options.all && phones.empty()) {
    fmt::print(stderr, "ringgate-ctl: '{}' names no PHONE\n", options.words[0]);
    return {};
  }
  const auto wait = config::parse_duration(options.wait);
  if (!wait) {
    fmt::print(stderr, "ringgate-ctl: --wait '{}': {}\n", options.wait, wait.error().message);
    return {};
  }
  const auto command = read_command(options.words.back());
  if (!command) return {};
  const std::int64_t wait_ms = *wait / 1'000'000;
  patience_ms = static_cast<int>(std::min<std::int64_t>(wait_ms, 3'600'000)) + margin_ms;
  Json request{{"op", "send"}, {"command", *command}, {"wait_ms", wait_ms},
               {"parallel", options.parallel}};
  if (options.when_online) request["deliver"] = "when_online";
  if (!options.expires.empty()) request["expires"] = options.expires;
  if (options.all) {
    request["all"] = true;
    const char* const everybody = options.when_online ? "" : "online";
    request["filter"] = options.filter.empty() ? everybody : options.filter;
  } else {
    request["devices"] = phones;
  }
  return request;
}

}  // namespace

int send(Client& client, const Options& options) {
  int patience_ms = 0;
  const auto request = make_request(options, patience_ms);
  if (!request) return exit_usage;
  Json outcomes = Json::array();
  Json end;
  int code = 0;
  {
    Progress progress;
    code = converse(client, options, *request, patience_ms, [&](Json& line) {
      if (line.contains("outcome")) {
        // Of many, only failures are shown; --json shows all.
        if (options.json || !options.all || !is_good(line["outcome"])) {
          outcomes.push_back(std::move(line["outcome"]));
        }
      } else if (line.contains("progress") && options.words[0].find(',') != std::string::npos) {
        progress.update(line["progress"]);
      } else if (line.contains("progress") && options.all) {
        progress.update(line["progress"]);
      }
    }, &end);
  }
  if (code != 0) return code;
  const bool single = !options.all && outcomes.size() == 1;
  if (options.json) {
    end["outcomes"] = outcomes;
    fmt::print("{}\n", single ? outcomes[0].dump() : end.dump());
  } else if (single) {
    print_outcome(outcomes[0]);
  } else {
    print_merged(end, outcomes);
  }
  for (const auto& [status, count] : end["by_status"].items()) {
    if (!is_good(status)) return exit_failed;
  }
  return 0;
}

}  // namespace ringgate::ctl
