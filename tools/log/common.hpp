// What the commands of ringgate-log share: exit codes, progress, signals, output. One
// thread.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/clock.hpp"
#include "engine/base/result.hpp"
#include "engine/base/time_text.hpp"

namespace ringgate::log_tool {

inline constexpr int exit_well = 0;
inline constexpr int exit_problems = 1;
inline constexpr int exit_unusable = 2;  // the directory or an argument can't be used

// Set by SIGINT and SIGTERM: commands end at the next record.
void catch_signals();
bool interrupted();

// Between two looks at the progress line.
constexpr std::uint64_t progress_records = 4096;

// A line on stderr that says how far a long piece of work is and how long it will take: only after
// a second, only on a terminal.
class ProgressLine {
 public:
  explicit ProgressLine(std::string_view what);
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  void update(std::uint64_t done_bytes, std::uint64_t total_bytes);

 private:
  std::string what_;
  bool terminal_;
  bool shown_ = false;
  MonoNs started_ns_;
  MonoNs printed_ns_;
};

// Says why on stderr; exit_unusable.
int refuse(const Error& error);
// Prints what is new in `problems` to stderr; how many were told.
std::size_t tell_problems(const std::vector<std::string>& problems, std::size_t told);

// Where lines go: stdout or a file. Gathers them.
class Output {
 public:
  Output() = default;
  ~Output();
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;
  // Empty or "-": stdout.
  Result<void> open(const std::string& path);

  std::string text;  // append here, then flush()
  // Writes when much is there, or always. False: nobody reads any more, or the disk is full.
  bool flush(bool always);
  // Writes the rest; `code`, or exit_unusable where not all could be written (says so). That nobody
  // reads a pipe any more is no failure.
  int finish(int code);

 private:
  static constexpr std::size_t flush_at = 256 * 1024;
  std::string path_;
  std::FILE* file_ = nullptr;
  int failed_ = 0;  // errno of the first write that failed
};

}  // namespace ringgate::log_tool
