#include "engine/shard/cpus.hpp"

#include <sched.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <sstream>

namespace ringgate::shard {

namespace {

// Lines are "0::/user.slice/..." for cgroup v2; the path is below /sys/fs/cgroup. A limit of any
// parent holds for this process too.
unsigned cgroup_limit() {
  std::ifstream self("/proc/self/cgroup");
  unsigned least = 0;
  for (std::string line; std::getline(self, line);) {
    if (line.rfind("0::", 0) != 0) continue;
    for (std::string path = line.substr(3); !path.empty();) {
      std::ifstream file("/sys/fs/cgroup" + path + "/cpu.max");
      std::string text;
      if (std::getline(file, text)) {
        const unsigned limit = cpus_of_quota(text);
        if (limit != 0 && (least == 0 || limit < least)) least = limit;
      }
      const std::size_t slash = path.rfind('/');
      if (slash == std::string::npos) break;
      path.resize(slash);
    }
  }
  return least;
}

}  // namespace

unsigned cpus_of_quota(const std::string& cpu_max) {
  std::istringstream text(cpu_max);
  std::string quota;
  std::uint64_t period_us = 0;
  text >> quota >> period_us;
  if (quota.empty() || quota == "max" || period_us == 0) return 0;
  if (quota.find_first_not_of("0123456789") != std::string::npos || quota.size() > 15) return 0;
  const std::uint64_t quota_us = std::stoull(quota);
  return static_cast<unsigned>(std::max<std::uint64_t>(1, (quota_us + period_us - 1) / period_us));
}

std::vector<int> usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(static_cast<unsigned>(cpu), &set)) cpus.push_back(cpu);
    }
  }
  if (cpus.empty()) cpus.push_back(0);
  const unsigned limit = cgroup_limit();
  if (limit != 0 && cpus.size() > limit) cpus.resize(limit);
  return cpus;
}

}  // namespace ringgate::shard
