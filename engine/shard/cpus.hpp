// Which CPUs this process may use. Start-up only; any thread.
#pragma once

#include <string>
#include <vector>

namespace ringgate::shard {

// CPUs of the affinity mask, cut to what the cgroup's cpu.max allows (rounded up). Never empty.
std::vector<int> usable_cpus();

// Whole CPUs that a cgroup v2 cpu.max text ("200000 100000", "max 100000") allows; 0: no limit.
unsigned cpus_of_quota(const std::string& cpu_max);

}  // namespace ringgate::shard
