// Memory: how much there is for the fleet, huge pages, swap.
#include <fmt/core.h>

#include <algorithm>

#include "tools/doctor/cgroups.hpp"
#include "tools/doctor/checks.hpp"
#include "tools/doctor/figures.hpp"
#include "tools/doctor/text.hpp"

namespace ringgate::doctor {

namespace {

// "MemTotal:       16336912 kB"
Result<std::uint64_t> memory_info(Machine& machine, std::string_view name) {
  const auto text = machine.read("/proc/meminfo");
  if (!text) return text.error();
  for (const std::string_view line : lines(*text)) {
    if (line.rfind(name, 0) != 0 || line.size() <= name.size() || line[name.size()] != ':') {
      continue;
    }
    const auto columns = words(line.substr(name.size() + 1));
    const auto value = columns.empty() ? std::nullopt : number(columns[0]);
    if (value && *value >= 0) return static_cast<std::uint64_t>(*value) * 1024;
  }
  return Error{0, fmt::format("/proc/meminfo has no row {}", name)};
}

std::string size(std::uint64_t bytes) { return bytes_text(static_cast<double>(bytes)); }

}  // namespace

Finding check_memory(const Patient& patient) {
  const auto total = memory_info(patient.machine, "MemTotal");
  if (!total) return unreadable("/proc/meminfo", total.error());
  const auto cgroup = memory_limit(patient.machine, patient.process);
  const Fleet& fleet = patient.fleet;
  const std::uint64_t own = fleet.devices * figures::user_bytes_per_link;
  const std::uint64_t kernel = fleet.devices * figures::kernel_bytes_per_link;
  const std::uint64_t machine = *total;
  const bool limited = cgroup && cgroup->bytes != 0 && cgroup->bytes < machine;
  const std::uint64_t available = limited ? cgroup->bytes : machine;
  const std::uint64_t limit = fleet.memory_limit != 0 ? fleet.memory_limit : machine / 2;
  Finding out = good(fmt::format(
      "{} in the machine{}; memory.limit {}{}; {} idle devices take {} of the gateway and {} of "
      "the kernel",
      size(machine), limited ? fmt::format(", {} for this cgroup", size(cgroup->bytes)) : "",
      size(limit), fleet.memory_limit == 0 ? " (half of the machine)" : "", grouped(fleet.devices),
      size(own), size(kernel)));
  const auto say = [&](State state, std::string words) {
    out.state = std::max(out.state, state);
    out.basis = Basis::arithmetic;
    out.costs += fmt::format("{}{}", out.costs.empty() ? "" : "; ", words);
  };
  if (own + kernel > available) {
    const std::uint64_t each = figures::user_bytes_per_link + figures::kernel_bytes_per_link;
    say(State::blocks, fmt::format("{} of {} devices fit", grouped(available / each),
                                   grouped(fleet.devices)));
    out.cures.push_back(words_cure(fmt::format("give the machine or its cgroup {} or more",
                                               size((own + kernel) * 3 / 2))));
  }
  if (own > limit) {
    say(State::blocks, fmt::format("the gateway refuses links beyond {} devices",
                                   grouped(limit / figures::user_bytes_per_link)));
    out.cures.push_back(toml_cure("memory.limit", fmt::format("\"{}MiB\"", own * 2 >> 20)));
  }
  // Own accounting does not know of the cgroup: beyond its limit the kernel kills.
  if (limited && limit > available) {
    say(State::costs, fmt::format("under load the kernel may kill the gateway at {}, before it "
                                  "sheds links at {}", size(available), size(limit)));
    out.cures.push_back(
        toml_cure("memory.limit", fmt::format("\"{}MiB\"", std::max<std::uint64_t>(
                                                               1, available / 2 >> 20))));
  }
  return out;
}

Finding check_huge_pages(const Patient& patient) {
  const std::string path = "/sys/kernel/mm/transparent_hugepage/enabled";
  const auto text = patient.machine.read(path);
  if (!text && is_absent_in(patient.machine, "/sys/kernel", text.error())) {
    return good("the kernel has none");
  }
  if (!text) return unreadable(path, text.error());
  const std::size_t open = text->find('[');
  const std::size_t close = text->find(']');
  if (open == std::string::npos || close == std::string::npos || close < open) {
    return unknown(fmt::format("{} says \"{}\"", path, trimmed(*text)));
  }
  const std::string mode = text->substr(open + 1, close - open - 1);
  if (mode != "always") return good(mode);
  const auto touch = patient.machine.first_touch();
  if (!touch) return unknown(fmt::format("always; {}", touch.error().message));
  Finding out = good(fmt::format("always; the first touch of 2 MiB takes {}, of 4 KiB {}",
                                 time_text(touch->huge_ns), time_text(touch->small_ns)));
  // Where the kernel grants none all the same, as in many VMs, nothing is lost.
  if (touch->huge_ns < 10 * touch->small_ns) return out;
  out.state = State::costs;
  out.basis = Basis::measured;
  out.costs = fmt::format("a shard that grows stands still for {} at each new 2 MiB, and memory "
                          "that is touched once holds 2 MiB", time_text(touch->huge_ns));
  out.cures.push_back(sysfs_cure(path, "madvise"));
  return out;
}

Finding check_swap(const Patient& patient) {
  const auto total = memory_info(patient.machine, "SwapTotal");
  if (!total) return unreadable("/proc/meminfo", total.error());
  if (*total == 0) return good("none");
  if (patient.process == "self" && unit_setting(patient.machine, "MemorySwapMax") == "0") {
    return good(fmt::format("{}, but none for the unit (MemorySwapMax=0)", size(*total)));
  }
  const auto free = memory_info(patient.machine, "SwapFree");
  const std::uint64_t used = free && *free <= *total ? *total - *free : 0;
  Finding out = good(fmt::format("{}, {} in use", size(*total), size(used)));
  out.state = State::costs;
  out.basis = Basis::documented;
  out.costs = "a page of a device that was silent for hours may have to be read from disk, and its "
              "shard waits: milliseconds in which none of its devices is answered";
  out.cures.push_back(unit_cure(patient.machine, "swap", "MemorySwapMax=0"));
  out.cures.push_back(words_cure("for the whole machine: swapoff -a, and no swap in /etc/fstab"));
  return out;
}

}  // namespace ringgate::doctor
