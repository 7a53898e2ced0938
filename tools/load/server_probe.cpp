#include "tools/load/server_probe.hpp"

#include <dirent.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

namespace ringgate::load {
namespace {

// The first number of /proc/PID/task/TID/schedstat: nanoseconds on a CPU. Finer than the clock
// ticks of stat, which is what is left where the kernel has no schedstat.
Result<std::int64_t> thread_cpu_ns(const std::string& task) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{
      std::fopen((task + "/schedstat").c_str(), "re"), std::fclose};
  if (!file) return errno_error(errno, "cannot read " + task + "/schedstat");
  long long ns = 0;
  if (std::fscanf(file.get(), "%lld", &ns) != 1) {
    return Error{0, task + "/schedstat holds no number"};
  }
  return std::int64_t{ns};
}

}  // namespace

Result<std::int64_t> server_cpu_ns(int pid) {
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
  const std::unique_ptr<DIR, int (*)(DIR*)> directory{opendir(tasks.c_str()), closedir};
  if (!directory) return errno_error(errno, "--server-pid: cannot read " + tasks);
  std::int64_t sum_ns = 0;
  while (const dirent* entry = readdir(directory.get())) {
    if (entry->d_name[0] == '.') continue;
    Result<std::int64_t> ns = thread_cpu_ns(tasks + "/" + entry->d_name);
    if (ns.ok()) sum_ns += *ns;  // a thread may have ended meanwhile
  }
  return sum_ns;
}

Result<ServerUse> server_use(int pid) {
  Result<std::int64_t> cpu = server_cpu_ns(pid);
  if (!cpu.ok()) return cpu.error();
  ServerUse use;
  use.cpu_ns = *cpu;
  const std::string path = "/proc/" + std::to_string(pid) + "/smaps_rollup";
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{std::fopen(path.c_str(), "re"),
                                                             std::fclose};
  if (!file) return errno_error(errno, "--server-pid: cannot read " + path);
  char line[256];
  while (std::fgets(line, sizeof line, file.get()) != nullptr) {
    char name[64];
    unsigned long long kib = 0;
    if (std::sscanf(line, "%63[^:]: %llu kB", name, &kib) != 2) continue;
    const std::uint64_t bytes = kib * 1024;
    if (std::strcmp(name, "Rss") == 0) use.rss_bytes = bytes;
    if (std::strncmp(name, "Private_", 8) == 0 && std::strcmp(name, "Private_Hugetlb") != 0) {
      use.uss_bytes += bytes;
    }
    if (std::strcmp(name, "Anonymous") == 0) use.anonymous_bytes = bytes;
  }
  return use;
}

}  // namespace ringgate::load
