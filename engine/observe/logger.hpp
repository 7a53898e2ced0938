// Structured logs that never block the thread that writes them.
//
//   LogSource& log = logger.add_source("shard-0");          // once, at start
//   log.warn("frame refused", {{"device", id}, {"bytes", size}});
//
// Each producing thread has a LogSource of its own: a bounded ring of finished lines. One writer
// thread drains all rings to the sink, stderr by default. A full ring drops the line and counts it;
// the writer reports the loss as `msg="log lines dropped" dropped=12` from the same source. A place
// in the code that logs more than `site_limit_per_s` lines in a second is held back; its next line
// carries suppressed=M. Messages are constant text, what varies goes into fields; secrets are the
// caller's business.
//
// Threads: a LogSource belongs to one thread; its log call formats (about a microsecond), never
// waits, never allocates. At most it wakes the writer when that one sleeps. Logger's methods may be
// called from any thread; add_source, flush, drain and dropped may wait for the sink. The Logger
// outlives its users.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "engine/base/clock.hpp"
#include "engine/base/result.hpp"
#include "engine/observe/kept_lines.hpp"
#include "engine/observe/log_format.hpp"

namespace ringgate::observe {

class Logger;

// The longest line, with its '\n'. Holds an address, a device, an error text and some figures.
constexpr std::size_t log_line_size_max = 1022;

// "debug", "info", "warn", "error"; "logfmt", "json".
Result<Level> parse_level(std::string_view text);
Result<LogFormat> parse_log_format(std::string_view text);

enum class Colour : std::uint8_t { automatic, always, never };  // automatic: fd is a terminal

enum class Delivery : std::uint8_t {
  thread,     // a writer thread drains the rings
  manual,     // nobody drains but Logger::drain(); for tests of full rings
  immediate,  // log() hands the line to the sink before it returns; for simulations in one thread
};

struct LoggerOptions {
  Level level = Level::info;
  LogFormat format = LogFormat::logfmt;
  Colour colour = Colour::automatic;
  Delivery delivery = Delivery::thread;
  int fd = 2;                      // not owned
  unsigned lines_per_source = 256;  // a power of two; 1 KiB each
  unsigned site_limit_per_s = 10;  // 0: no limit
  // Instead of fd. One call a line, with its '\n'; from the draining thread.
  std::function<void(std::string_view)> sink = {};
  // Instead of CLOCK_REALTIME; called by every producer, also at the same time.
  std::function<WallUs()> clock = {};
};

class LogSource {
 public:
  LogSource(const LogSource&) = delete;
  LogSource& operator=(const LogSource&) = delete;

  using Fields = std::initializer_list<Field>;
  // The defaulted arguments name the place in the code for the rate limit: leave them.
  void debug(std::string_view message, Fields fields = {}, const char* file = __builtin_FILE(),
             int line = __builtin_LINE()) {
    if (enabled(Level::debug))
      log(Level::debug, message, {fields.begin(), fields.size()}, file, line);
  }
  void info(std::string_view message, Fields fields = {}, const char* file = __builtin_FILE(),
            int line = __builtin_LINE()) {
    if (enabled(Level::info))
      log(Level::info, message, {fields.begin(), fields.size()}, file, line);
  }
  void warn(std::string_view message, Fields fields = {}, const char* file = __builtin_FILE(),
            int line = __builtin_LINE()) {
    if (enabled(Level::warn))
      log(Level::warn, message, {fields.begin(), fields.size()}, file, line);
  }
  void error(std::string_view message, Fields fields = {}, const char* file = __builtin_FILE(),
             int line = __builtin_LINE()) {
    if (enabled(Level::error))
      log(Level::error, message, {fields.begin(), fields.size()}, file, line);
  }
  // For fields that are put together at run time.
  void log(Level level, std::string_view message, std::span<const Field> fields,
           const char* file = __builtin_FILE(), int line = __builtin_LINE());

  // Names the places that held lines back and have been silent since; for a timer of the producer,
  // every few seconds. Without it, a burst's suppressed=M waits for the next line of the same
  // place.
  void report_suppressed();

  bool enabled(Level level) const;
  const std::string& name() const { return name_; }
  // Lines lost to a full ring, and lines held back by the rate limit. Any thread.
  std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }
  std::uint64_t suppressed() const { return suppressed_.load(std::memory_order_relaxed); }

 private:
  friend class Logger;
  struct Line {
    WallUs time;
    std::uint64_t repeats;  // those of its place that were held back, and itself
    LineExtent extent;
    Level level;
    char text[log_line_size_max];
  };
  // What one place in the code wrote in the second that began at window_start.
  struct Site {
    const char* file = nullptr;
    int line = 0;
    unsigned written = 0;
    WallUs window_start = 0;
    std::uint64_t suppressed = 0;
  };
  static constexpr std::size_t site_count = 128;

  LogSource(Logger& logger, std::string name, unsigned lines);
  Site& site_of(const char* file, int line);
  bool admit(Site& site, WallUs now);
  bool put(const LineHead& head, std::span<const Field> fields, std::uint64_t repeats);
  void report_site(Site& site, WallUs now);

  Logger& logger_;
  const std::string name_;
  std::vector<Line> lines_;
  std::array<Site, site_count> sites_{};
  Site shared_site_{};  // places beyond site_count share one limit
  alignas(64) std::atomic<std::uint64_t> written_{0};  // producer: lines put into the ring
  std::atomic<std::uint64_t> dropped_{0};
  std::atomic<std::uint64_t> suppressed_{0};
  alignas(64) std::atomic<std::uint64_t> drained_{0};  // consumer: lines taken out
  std::uint64_t dropped_reported_ = 0;
};

class Logger {
 public:
  explicit Logger(LoggerOptions options = {});
  // Writes what is in the rings, for at most a second when the sink does not take it.
  ~Logger();
  Logger(const Logger&) = delete;
  Logger& operator=(const Logger&) = delete;

  // Lives as long as the logger. One for each thread that logs.
  LogSource& add_source(std::string name);

  void set_level(Level level) { level_.store(level, std::memory_order_relaxed); }
  Level level() const { return level_.load(std::memory_order_relaxed); }

  // Returns after everything logged before the call is in the sink.
  void flush() { drain(); }
  // Empties the rings once; true when there was anything.
  bool drain();

  // The last warnings and errors, newest first. Any thread; waits for no sink.
  std::vector<KeptLine> kept_lines() const { return kept_.all(); }

  std::uint64_t dropped() const;
  // Lines that the sink refused (closed pipe, full disk).
  std::uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }

 private:
  friend class LogSource;
  WallUs now() const;
  void deliver(std::string_view line);
  bool drain_source(LogSource& source);
  void report_drops(LogSource& source);
  void write_out();
  bool wait_writable();
  void run();

  LoggerOptions options_;
  LineStyle style_;
  std::atomic<Level> level_;
  // Guards sources_ and batch_; no producer takes it while logging.
  mutable std::mutex drain_mutex_;
  std::vector<std::unique_ptr<LogSource>> sources_;
  std::string batch_;
  std::uint64_t batch_lines_ = 0;
  KeptLines kept_;
  std::atomic<std::uint64_t> lost_{0};
  std::atomic<int> wake_{0};
  std::atomic<bool> stop_{false};
  std::atomic<bool> give_up_{false};
  std::thread writer_;
};

inline bool LogSource::enabled(Level level) const { return level >= logger_.level(); }

}  // namespace ringgate::observe
