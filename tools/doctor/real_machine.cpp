// The real machine: files and small system calls. What measures is in measure.cpp.
#include <fcntl.h>
#include <sched.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "engine/io/ring.hpp"
#include "tools/common/owned_fd.hpp"
#include "tools/doctor/machine.hpp"

namespace ringgate::doctor {

namespace {

// Files of /proc and /sys that anybody looks at here are shorter; /proc/interrupts of 512 CPUs is
// the longest.
constexpr std::size_t file_bytes_max = 4U << 20;

}  // namespace

Result<std::string> RealMachine::read(const std::string& path) {
  const tool::OwnedFd fd(::open((root_ + path).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) return errno_error(errno, path);
  std::string out;
  char part[16 * 1024];
  while (out.size() < file_bytes_max) {
    const ssize_t got = ::read(fd.get(), part, sizeof part);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error(errno, path);
    if (got == 0) break;
    out.append(part, static_cast<std::size_t>(got));
  }
  return out;
}

Result<std::vector<std::string>> RealMachine::list(const std::string& path) {
  std::error_code error;
  std::filesystem::directory_iterator at(root_ + path, error);
  std::vector<std::string> out;
  while (!error && at != std::filesystem::directory_iterator()) {
    out.push_back(at->path().filename().string());
    at.increment(error);
  }
  if (error) return errno_error(error.value(), path);
  std::sort(out.begin(), out.end());
  return out;
}

Result<std::string> RealMachine::kernel_release() {
  utsname name{};
  if (uname(&name) != 0) return errno_error(errno, "uname");
  return std::string(name.release);
}

Result<std::vector<int>> RealMachine::usable_cpus() {
  // Not shard::usable_cpus(): a quota of the cgroup is a finding of its own here.
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return errno_error(errno, "sched_getaffinity");
  std::vector<int> out;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<unsigned>(cpu), &set)) out.push_back(cpu);
  }
  return out;
}

Result<Space> RealMachine::space(const std::string& directory) {
  struct statvfs info {};
  if (statvfs((root_ + directory).c_str(), &info) != 0) return errno_error(errno, directory);
  return Space{.free_bytes = std::uint64_t{info.f_bavail} * info.f_frsize,
               .total_bytes = std::uint64_t{info.f_blocks} * info.f_frsize};
}

Result<bool> RealMachine::clock_is_kept() {
  timex state{};
  const int code = adjtimex(&state);
  if (code < 0) return errno_error(errno, "adjtimex");
  return (state.status & STA_UNSYNC) == 0 && code != TIME_ERROR;
}

Result<std::uint32_t> RealMachine::try_rings(unsigned count) {
  std::vector<std::unique_ptr<io::Ring>> rings;
  std::uint32_t features = ~0U;
  for (unsigned i = 0; i < count; ++i) {
    auto ring = io::Ring::open(io::make_uring_backend(), io::RingOptions{});
    if (!ring) return ring.error();
    features &= (*ring)->features();
    rings.push_back(std::move(*ring));
  }
  return features;
}

Result<int> RealMachine::run(const std::string& command) {
  const int status = std::system(command.c_str());
  if (status < 0) return errno_error(errno, "/bin/sh");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace ringgate::doctor
