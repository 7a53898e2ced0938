#include <fmt/format.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <optional>
#include <utility>

#include "engine/io/sys.hpp"
#include "tools/log/common.hpp"

namespace ringgate::log_tool {

namespace {

volatile sig_atomic_t signalled = 0;

void on_signal(int) { signalled = 1; }

// Takes `digits` decimal digits off the front of `text`.
bool take_number(std::string_view& text, std::size_t digits, int& out) {
  if (text.size() < digits) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + digits, out);
  if (error != std::errc() || end != text.data() + digits) return false;
  text.remove_prefix(digits);
  return true;
}

bool take_sign(std::string_view& text, char sign) {
  if (text.empty() || text.front() != sign) return false;
  text.remove_prefix(1);
  return true;
}

std::optional<WallUs> age(std::string_view text, WallUs now_us) {
  std::int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data() + 1, text.data() + text.size(), count);
  if (error != std::errc() || end + 1 != text.data() + text.size()) return std::nullopt;
  std::int64_t unit_s = 0;
  switch (*end) {
    case 's':
      unit_s = 1;
      break;
    case 'm':
      unit_s = 60;
      break;
    case 'h':
      unit_s = 3600;
      break;
    case 'd':
      unit_s = 86400;
      break;
    default:
      return std::nullopt;
  }
  return now_us - count * unit_s * us_per_s;
}

std::optional<WallUs> calendar(std::string_view text) {
  tm parts{};
  if (!take_number(text, 4, parts.tm_year) || !take_sign(text, '-') ||
      !take_number(text, 2, parts.tm_mon) || !take_sign(text, '-') ||
      !take_number(text, 2, parts.tm_mday)) {
    return std::nullopt;
  }
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  int micros = 0;
  int zone_minutes = 0;
  if (take_sign(text, 'T') || take_sign(text, ' ')) {
    if (!take_number(text, 2, parts.tm_hour) || !take_sign(text, ':') ||
        !take_number(text, 2, parts.tm_min)) {
      return std::nullopt;
    }
    if (take_sign(text, ':') && !take_number(text, 2, parts.tm_sec)) return std::nullopt;
    if (take_sign(text, '.')) {
      for (int unit = 100'000; !text.empty() && std::isdigit(text.front()) != 0; unit /= 10) {
        micros += (text.front() - '0') * unit;
        text.remove_prefix(1);
      }
    }
    const bool east = take_sign(text, '+');
    if (east || take_sign(text, '-')) {
      int hours = 0;
      int minutes = 0;
      if (!take_number(text, 2, hours)) return std::nullopt;
      take_sign(text, ':');
      if (!text.empty() && !take_number(text, 2, minutes)) return std::nullopt;
      zone_minutes = (hours * 60 + minutes) * (east ? 1 : -1);
    } else {
      take_sign(text, 'Z');
    }
  }
  if (!text.empty()) return std::nullopt;
  return (std::int64_t{::timegm(&parts)} - zone_minutes * 60) * us_per_s + micros;
}

}  // namespace

void catch_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &action, nullptr);
}

bool interrupted() { return signalled != 0; }

std::string time_text(WallUs time_us) {
  std::int64_t seconds = time_us / us_per_s;
  std::int64_t micros = time_us % us_per_s;
  if (micros < 0) {
    micros += us_per_s;
    --seconds;
  }
  const time_t whole = seconds;
  tm parts{};
  ::gmtime_r(&whole, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                     micros / 1000);
}

Result<WallUs> parse_time(std::string_view text, WallUs now_us) {
  std::optional<WallUs> time;
  if (text.size() > 2 && text.front() == '-') {
    time = age(text, now_us);
  } else if (text.find('-') != std::string_view::npos) {
    time = calendar(text);
  } else {
    std::int64_t seconds = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (error == std::errc() && end == text.data() + text.size()) time = seconds * us_per_s;
  }
  if (!time) {
    return Error{0,
                 fmt::format("'{}' is no time: use 2026-11-20, 2026-11-20T22:00:00Z, "
                             "2026-11-21T06:00:00+08:00, seconds since 1970, or an age like -15m",
                             text)};
  }
  return *time;
}

Result<std::int64_t> parse_seconds(std::string_view text) {
  std::int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  constexpr std::pair<std::string_view, std::int64_t> units[] = {
      {"", 1}, {"s", 1}, {"m", 60}, {"min", 60}, {"h", 3600}, {"d", 86400}};
  for (const auto& [name, seconds] : units) {
    constexpr std::int64_t most = INT64_MAX / 86400 / us_per_s;
    if (error == std::errc() && unit == name && count >= 0 && count < most) return count * seconds;
  }
  return Error{0, fmt::format("'{}' is no duration: use one like 30s, 5m or 2h", text)};
}

std::string duration_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds + 0.5);
  if (whole < 100) return fmt::format("{} s", whole);
  if (whole < 100 * 60) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole / 60 % 60);
}

ProgressLine::ProgressLine(std::string_view what)
    : what_(what),
      terminal_(::isatty(STDERR_FILENO) != 0),
      started_ns_(io::real_sys().mono_now()),
      printed_ns_(started_ns_ + ns_per_s - ns_per_s / 4) {}

ProgressLine::~ProgressLine() {
  if (shown_) fmt::print(stderr, "\r\033[K");
}

void ProgressLine::update(std::uint64_t done, std::uint64_t total) {
  if (!terminal_ || total == 0) return;
  const MonoNs now = io::real_sys().mono_now();
  if (now - printed_ns_ < ns_per_s / 4) return;
  printed_ns_ = now;
  shown_ = true;
  const double part = static_cast<double>(done) / static_cast<double>(total);
  const double elapsed_s = static_cast<double>(now - started_ns_) / 1e9;
  fmt::print(stderr, "\r\033[K{}: {} of {} MiB, {:.0f} %, {}", what_, done >> 20, total >> 20,
             part * 100,
             part > 0 ? fmt::format("about {} left", duration_text(elapsed_s / part - elapsed_s))
                      : std::string("no guess yet"));
  std::fflush(stderr);
}

int refuse(const Error& error) {
  fmt::print(stderr, "ringgate-log: {}\n", error.message);
  return exit_unusable;
}

std::size_t tell_problems(const std::vector<std::string>& problems, std::size_t told) {
  for (; told < problems.size(); ++told) fmt::print(stderr, "ringgate-log: {}\n", problems[told]);
  return told;
}

Output::~Output() {
  if (file_ != nullptr && file_ != stdout) std::fclose(file_);
}

Result<void> Output::open(const std::string& path) {
  path_ = path;
  if (path.empty() || path == "-") {
    file_ = stdout;
    return {};
  }
  file_ = std::fopen(path.c_str(), "we");
  if (file_ == nullptr) return errno_error(errno, "cannot write " + path);
  return {};
}

bool Output::flush(bool always) {
  if (!always && text.size() < flush_at) return !failed_;
  failed_ = failed_ || std::fwrite(text.data(), 1, text.size(), file_) != text.size() ||
            (always && std::fflush(file_) != 0);
  text.clear();
  return !failed_;
}

int Output::finish(int code) {
  // Nobody reads any more: as other tools in a pipe, no reason to complain.
  if (!flush(true) && file_ == stdout) return code;
  if (file_ == stdout) return code;
  const bool closed = std::fclose(std::exchange(file_, nullptr)) == 0;
  if (!failed_ && closed) return code;
  fmt::print(stderr, "ringgate-log: cannot write {}: {}\n", path_, std::strerror(errno));
  return exit_unusable;
}

}  // namespace ringgate::log_tool
