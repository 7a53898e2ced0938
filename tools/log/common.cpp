#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "engine/io/sys.hpp"
#include "tools/log/common.hpp"

namespace ringgate::log_tool {

namespace {

volatile sig_atomic_t signalled = 0;

void on_signal(int) { signalled = 1; }

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
  if (!always && text.size() < flush_at) return failed_ == 0;
  errno = 0;
  const bool written = failed_ == 0 &&
                       std::fwrite(text.data(), 1, text.size(), file_) == text.size() &&
                       (!always || std::fflush(file_) == 0);
  if (!written && failed_ == 0) failed_ = errno != 0 ? errno : EIO;
  text.clear();
  return failed_ == 0;
}

int Output::finish(int code) {
  flush(true);
  if (file_ != stdout) {
    errno = 0;
    const bool closed = std::fclose(std::exchange(file_, nullptr)) == 0;
    if (!closed && failed_ == 0) failed_ = errno != 0 ? errno : EIO;
  } else if (failed_ == EPIPE) {
    return code;  // nobody reads any more: as other tools in a pipe, no reason to complain
  }
  if (failed_ == 0) return code;
  fmt::print(stderr, "ringgate-log: cannot write {}: {}\n",
             file_ == stdout ? "to stdout" : path_, std::strerror(failed_));
  return exit_unusable;
}

}  // namespace ringgate::log_tool
