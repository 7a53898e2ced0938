#include "engine/observe/logger.hpp"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstdlib>

#include "engine/base/check.hpp"

namespace ringgate::observe {

namespace {

// A pipe that polls writable takes this much without blocking (PIPE_BUF).
constexpr std::size_t batch_size_max = 4096;
// How long a sink that takes nothing may hold up the end of the process.
constexpr int last_wait_ms = 1000;

bool wants_colour(const LoggerOptions& options) {
  if (options.colour != Colour::automatic) return options.colour == Colour::always;
  if (options.sink || isatty(options.fd) == 0) return false;
  const char* const terminal = std::getenv("TERM");
  return std::getenv("NO_COLOR") == nullptr && terminal != nullptr &&
         std::string_view(terminal) != "dumb";
}

}  // namespace

Result<Level> parse_level(std::string_view text) {
  for (const Level level : {Level::debug, Level::info, Level::warn, Level::error}) {
    if (level_name(level) == text) return level;
  }
  return Error{0, "log level must be debug, info, warn or error, not \"" + std::string(text) + '"'};
}

Result<LogFormat> parse_log_format(std::string_view text) {
  if (text == "logfmt") return LogFormat::logfmt;
  if (text == "json") return LogFormat::json;
  return Error{0, "log format must be logfmt or json, not \"" + std::string(text) + '"'};
}

LogSource::LogSource(Logger& logger, std::string name, unsigned lines)
    : logger_(logger), name_(std::move(name)), lines_(lines) {}

LogSource::Site& LogSource::site_of(const char* file, int line) {
  const auto address = reinterpret_cast<std::uintptr_t>(file);
  const std::size_t start = (address / 8 + static_cast<std::size_t>(line) * 31) % site_count;
  for (std::size_t i = 0; i < site_count; ++i) {
    Site& site = sites_[(start + i) % site_count];
    if (site.file == nullptr) {
      site.file = file;
      site.line = line;
    }
    if (site.file == file && site.line == line) return site;
  }
  return shared_site_;
}

bool LogSource::admit(Site& site, WallUs now) {
  // A wall clock set back must not silence a place until it has caught up.
  if (now - site.window_start >= us_per_s || now < site.window_start) {
    site.window_start = now;
    site.written = 0;
  }
  if (site.written < logger_.options_.site_limit_per_s) {
    ++site.written;
    return true;
  }
  ++site.suppressed;
  suppressed_.store(suppressed() + 1, std::memory_order_relaxed);
  return false;
}

void LogSource::log(Level level, std::string_view message, std::span<const Field> fields,
                    const char* file, int line) {
  if (!enabled(level)) return;
  LineHead head{.time = logger_.now(), .level = level, .source = name_, .message = message};
  if (logger_.options_.site_limit_per_s == 0) {
    put(head, fields, 1);
    return;
  }
  Site& site = site_of(file, line);
  if (!admit(site, head.time)) return;
  head.suppressed = site.suppressed;
  if (put(head, fields, site.suppressed + 1)) site.suppressed = 0;
}

// False when the ring is full and the line was dropped.
bool LogSource::put(const LineHead& head, std::span<const Field> fields, std::uint64_t repeats) {
  if (logger_.options_.delivery == Delivery::immediate) {
    char text[log_line_size_max];
    const LineExtent extent = format_extent(text, logger_.style_, head, fields);
    logger_.kept_.keep(head.time, head.level, name_, text, extent, repeats);
    logger_.deliver({text, extent.size});
    return true;
  }
  const std::uint64_t written = written_.load(std::memory_order_relaxed);
  if (written - drained_.load(std::memory_order_acquire) == lines_.size()) {
    dropped_.store(dropped() + 1, std::memory_order_relaxed);
    return false;
  }
  Line& slot = lines_[written & (lines_.size() - 1)];
  slot.time = head.time;
  slot.level = head.level;
  slot.repeats = repeats;
  slot.extent = format_extent(slot.text, logger_.style_, head, fields);
  written_.store(written + 1, std::memory_order_release);
  if (logger_.options_.delivery == Delivery::thread) {
    logger_.wake_.fetch_add(1, std::memory_order_release);
    logger_.wake_.notify_one();  // enters the kernel only when the writer sleeps
  }
  return true;
}

void LogSource::report_site(Site& site, WallUs now) {
  if (site.suppressed == 0) return;
  if (now - site.window_start < us_per_s && now >= site.window_start) return;  // still at it
  const LineHead head{.time = now,
                      .level = Level::warn,
                      .source = name_,
                      .message = "log lines held back",
                      .suppressed = site.suppressed};
  const Field fields[] = {{"file", site.file == nullptr ? "several" : site.file},
                          {"line", site.line}};
  if (put(head, fields, 1)) site.suppressed = 0;
}

void LogSource::report_suppressed() {
  const WallUs now = logger_.now();
  for (Site& site : sites_) report_site(site, now);
  report_site(shared_site_, now);
}

Logger::Logger(LoggerOptions options)
    : options_(std::move(options)),
      style_{options_.format, wants_colour(options_)},
      level_(options_.level) {
  RG_CHECK(std::has_single_bit(options_.lines_per_source));
  if (options_.delivery != Delivery::thread) return;
  // Signals are for the thread that waits for them; a closed pipe must be EPIPE, not SIGPIPE.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  writer_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Logger::~Logger() {
  stop_.store(true, std::memory_order_release);
  if (writer_.joinable()) {
    wake_.fetch_add(1, std::memory_order_release);
    wake_.notify_one();
    writer_.join();
  } else {
    drain();
  }
}

LogSource& Logger::add_source(std::string name) {
  const std::lock_guard lock(drain_mutex_);
  sources_.push_back(
      std::unique_ptr<LogSource>(new LogSource(*this, std::move(name), options_.lines_per_source)));
  return *sources_.back();
}

WallUs Logger::now() const {
  if (options_.clock) return options_.clock();
  timespec time{};
  clock_gettime(CLOCK_REALTIME, &time);
  return time.tv_sec * us_per_s + time.tv_nsec / ns_per_us;
}

void Logger::run() {
  pthread_setname_np(pthread_self(), "log-writer");
  for (;;) {
    const int seen = wake_.load(std::memory_order_acquire);
    if (drain()) continue;
    if (stop_.load(std::memory_order_acquire)) return;
    wake_.wait(seen, std::memory_order_acquire);
  }
}

bool Logger::drain() {
  const std::lock_guard lock(drain_mutex_);
  bool any = false;
  for (const auto& source : sources_) any = drain_source(*source) || any;
  write_out();
  return any;
}

bool Logger::drain_source(LogSource& source) {
  std::uint64_t drained = source.drained_.load(std::memory_order_relaxed);
  // Only what is there now: a producer that keeps writing must not hold the others up.
  const std::uint64_t written = source.written_.load(std::memory_order_acquire);
  const bool any = drained != written;
  for (; drained != written; ++drained) {
    const LogSource::Line& line = source.lines_[drained & (source.lines_.size() - 1)];
    kept_.keep(line.time, line.level, source.name_, line.text, line.extent, line.repeats);
    deliver({line.text, line.extent.size});
    source.drained_.store(drained + 1, std::memory_order_release);
  }
  report_drops(source);
  return any;
}

void Logger::report_drops(LogSource& source) {
  const std::uint64_t dropped = source.dropped();
  if (dropped == source.dropped_reported_) return;
  const LineHead head{
      .time = now(), .level = Level::warn, .source = source.name_, .message = "log lines dropped"};
  const Field field{"dropped", dropped - source.dropped_reported_};
  source.dropped_reported_ = dropped;
  char text[log_line_size_max];
  const LineExtent extent = format_extent(text, style_, head, {&field, 1});
  kept_.keep(head.time, head.level, source.name_, text, extent, 1);
  deliver({text, extent.size});
}

void Logger::deliver(std::string_view line) {
  if (options_.sink) {
    options_.sink(line);
    return;
  }
  if (batch_.size() + line.size() > batch_size_max) write_out();
  batch_ += line;
  ++batch_lines_;
  if (options_.delivery == Delivery::immediate) write_out();
}

void Logger::write_out() {
  std::string_view rest = batch_;
  while (!rest.empty()) {
    if (!wait_writable()) break;
    const ssize_t size = ::write(options_.fd, rest.data(), rest.size());
    if (size > 0) {
      rest.remove_prefix(static_cast<std::size_t>(size));
    } else if (size < 0 && errno != EINTR && errno != EAGAIN) {
      break;
    }
  }
  if (!rest.empty()) {
    lost_.store(lost() + batch_lines_, std::memory_order_relaxed);
  }
  batch_.clear();
  batch_lines_ = 0;
}

// False when the sink still takes nothing a second after the end was asked for.
bool Logger::wait_writable() {
  if (give_up_.load(std::memory_order_relaxed)) return false;
  for (int waited_ms = 0; waited_ms < last_wait_ms;) {
    pollfd file{options_.fd, POLLOUT, 0};
    constexpr int step_ms = 100;
    const int ready = ::poll(&file, 1, step_ms);
    if (ready > 0) return true;  // writable, or an error that write() will name
    if (ready < 0 && errno != EINTR) return true;
    if (stop_.load(std::memory_order_acquire)) waited_ms += step_ms;
  }
  give_up_.store(true, std::memory_order_relaxed);
  return false;
}

std::uint64_t Logger::dropped() const {
  const std::lock_guard lock(drain_mutex_);
  std::uint64_t sum = 0;
  for (const auto& source : sources_) sum += source->dropped();
  return sum;
}

}  // namespace ringgate::observe
