// The three commands of ringgate-log. Each returns the exit code: 0 all well, 1 problems found, 2
// the directory or an argument can't be used.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/base/clock.hpp"
#include "engine/base/result.hpp"

namespace ringgate::log_tool {

struct DumpOptions {
  std::string directory;
  bool decode = false;
  bool follow = false;
  std::string device;
  std::string message_id;
  std::string from;
  std::string to;
  std::uint64_t limit = 0;  // 0: none
};

struct ReportOptions {
  std::string directory;
  bool json = false;
};

int dump(const DumpOptions& options);
int verify(const ReportOptions& options);
int stat(const ReportOptions& options);

// Set by SIGINT and SIGTERM: commands end at the next record.
void catch_signals();
bool interrupted();

// "2026-11-20T22:00:00.123Z"
std::string time_text(WallUs time_us);
// A date, a time (UTC unless it says otherwise), seconds since 1970 or an age: 2026-11-20,
// 2026-11-20T22:00:00, ...Z, ...+08:00, 1795212000, -90s, -15m, -2h, -1d.
Result<WallUs> parse_time(std::string_view text, WallUs now_us);

// A line on stderr that says how far a long piece of work is: only after a second, only on a
// terminal.
class ProgressLine {
 public:
  explicit ProgressLine(std::string_view what);
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  void update(std::uint64_t done, std::uint64_t total);

 private:
  std::string what_;
  bool terminal_;
  bool shown_ = false;
  MonoNs started_ns_;
  MonoNs printed_ns_;
};

}  // namespace ringgate::log_tool
