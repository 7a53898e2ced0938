#include "tools/doctor/cgroups.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <functional>

#include "tools/doctor/text.hpp"

namespace ringgate::doctor {

namespace {

struct Groups {
  std::string v2;      // "/system.slice/ringgate.service"; empty: not in one
  std::string cpu;     // of version 1
  std::string memory;  // of version 1
};

// Lines are "0::/path" of version 2, "4:memory:/path" of version 1.
Result<Groups> groups_of(Machine& machine, const std::string& process) {
  const auto text = machine.read(fmt::format("/proc/{}/cgroup", process));
  if (!text) return text.error();
  Groups out;
  for (const std::string_view line : lines(*text)) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string_view::npos || second == std::string_view::npos) continue;
    const std::string kinds = fmt::format(",{},", line.substr(first + 1, second - first - 1));
    const std::string path(line.substr(second + 1));
    if (kinds == ",,") out.v2 = path;
    if (kinds.find(",cpu,") != std::string::npos) out.cpu = path;
    if (kinds.find(",memory,") != std::string::npos) out.memory = path;
  }
  return out;
}

// The group and all that stand above it; in a container its own may be seen as the root.
void each_parent(const std::string& top, std::string path,
                 const std::function<void(const std::string&)>& look) {
  for (;;) {
    while (!path.empty() && path.back() == '/') path.pop_back();
    look(top + path);
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos) return;
    path.resize(slash);
  }
}

void take_statistics(Machine& machine, const std::string& folder, CpuQuota& out) {
  const auto text = machine.read(folder + "/cpu.stat");
  if (!text) return;
  const auto all = words(*text);
  for (std::size_t i = 0; i + 1 < all.size(); i += 2) {
    const auto value = number(all[i + 1]);
    if (!value) continue;
    if (all[i] == "nr_periods") out.periods = static_cast<std::uint64_t>(*value);
    if (all[i] == "nr_throttled") out.throttled = static_cast<std::uint64_t>(*value);
  }
}

void take_quota(Machine& machine, const std::string& folder, const std::string& file,
                double quota_us, double period_us, CpuQuota& out) {
  if (quota_us <= 0 || period_us <= 0) return;
  const double cpus = quota_us / period_us;
  if (out.cpus > 0 && out.cpus <= cpus) return;
  out.cpus = cpus;
  out.period_ns = period_us * 1e3;
  out.place = file;
  take_statistics(machine, folder, out);
}

}  // namespace

Result<CpuQuota> cpu_quota(Machine& machine, const std::string& process) {
  const auto groups = groups_of(machine, process);
  if (!groups) return groups.error();
  CpuQuota out;
  if (!groups->v2.empty()) {
    each_parent("/sys/fs/cgroup", groups->v2, [&](const std::string& folder) {
      const std::string file = folder + "/cpu.max";  // "200000 100000" or "max 100000"
      const auto text = machine.read(file);
      if (!text) return;
      const auto parts = words(*text);
      if (parts.size() != 2 || !number(parts[0]) || !number(parts[1])) return;
      take_quota(machine, folder, file, static_cast<double>(*number(parts[0])),
                 static_cast<double>(*number(parts[1])), out);
    });
  }
  if (!groups->cpu.empty()) {
    each_parent("/sys/fs/cgroup/cpu", groups->cpu, [&](const std::string& folder) {
      const auto quota = read_number(machine, folder + "/cpu.cfs_quota_us");
      const auto period = read_number(machine, folder + "/cpu.cfs_period_us");
      if (!quota || !period) return;
      take_quota(machine, folder, folder + "/cpu.cfs_quota_us", static_cast<double>(*quota),
                 static_cast<double>(*period), out);
    });
  }
  return out;
}

Result<MemoryLimit> memory_limit(Machine& machine, const std::string& process) {
  const auto groups = groups_of(machine, process);
  if (!groups) return groups.error();
  MemoryLimit out;
  const auto look = [&](const std::string& file) {
    const auto value = read_number(machine, file);  // "max" is none
    // Version 1 says "no limit" as the largest number of whole pages.
    if (!value || *value <= 0 || *value > (std::int64_t{1} << 60)) return;
    const auto bytes = static_cast<std::uint64_t>(*value);
    if (out.bytes != 0 && out.bytes <= bytes) return;
    out.bytes = bytes;
    out.place = file;
  };
  if (!groups->v2.empty()) {
    each_parent("/sys/fs/cgroup", groups->v2,
                [&](const std::string& folder) { look(folder + "/memory.max"); });
  }
  if (!groups->memory.empty()) {
    each_parent("/sys/fs/cgroup/memory", groups->memory, [&](const std::string& folder) {
      look(folder + "/memory.limit_in_bytes");
    });
  }
  return out;
}

}  // namespace ringgate::doctor
