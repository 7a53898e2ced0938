// Limits that cgroups put on a process, version 1 and 2, the tightest of all parents.
#pragma once

#include <cstdint>
#include <string>

#include "tools/doctor/machine.hpp"

namespace ringgate::doctor {

struct CpuQuota {
  double cpus = 0;  // 0: none
  double period_ns = 0;
  std::uint64_t periods = 0;    // that have passed with work
  std::uint64_t throttled = 0;  // in which the quota was used up
  std::string place;            // the file
};
// Error: the process's cgroups can't be read. `process`: "self" or a number.
Result<CpuQuota> cpu_quota(Machine& machine, const std::string& process);

struct MemoryLimit {
  std::uint64_t bytes = 0;  // 0: none
  std::string place;
};
Result<MemoryLimit> memory_limit(Machine& machine, const std::string& process);

}  // namespace ringgate::doctor
