// CPUs: quota, frequency, siblings, isolation, who else works on them, clocks.
#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <map>

#include "engine/shard/cpus.hpp"
#include "tools/doctor/cgroups.hpp"
#include "tools/doctor/checks.hpp"
#include "tools/doctor/figures.hpp"
#include "tools/doctor/text.hpp"

namespace ringgate::doctor {

namespace {

constexpr std::string_view cpu_folder = "/sys/devices/system/cpu";

// "a value found on CPUs 0-3": how many say what.
std::string tally(const std::map<std::string, std::vector<int>>& by_value) {
  std::string out;
  for (const auto& [value, cpus] : by_value) {
    out += fmt::format("{}{} on CPU{} {}", out.empty() ? "" : "; ", value,
                       cpus.size() == 1 ? "" : "s", list_of_cpus(cpus));
  }
  return out;
}

std::string_view plural(std::uint64_t count) { return count == 1 ? "" : "s"; }

}  // namespace

Finding check_cpu_limit(const Patient& patient) {
  const auto quota = cpu_quota(patient.machine, patient.process);
  if (!quota) return unreadable(fmt::format("/proc/{}/cgroup", patient.process), quota.error());
  const unsigned shards = patient.fleet.shards;
  if (quota->cpus <= 0) {
    const auto groups = patient.machine.list("/sys/fs/cgroup");
    if (!groups) return unreadable("/sys/fs/cgroup", groups.error());
    return good(fmt::format("no quota; {} shard{}", shards, plural(shards)));
  }
  Finding out = good(fmt::format("a quota of {:.2f} CPUs ({}); {} shard{}", quota->cpus,
                                 quota->place, shards, plural(shards)));
  if (quota->throttled > 0) {
    out.found += fmt::format("; used up in {} of {} periods", grouped(quota->throttled),
                             grouped(quota->periods));
  }
  if (quota->cpus >= shards && quota->throttled == 0) return out;
  out.state = State::costs;
  out.basis = Basis::arithmetic;
  out.costs = fmt::format(
      "once the quota of a period of {} is used up, every shard stands still until the next: "
      "replies wait up to {} more", time_text(quota->period_ns),
      time_text(quota->period_ns * std::max(0.0, 1 - quota->cpus / shards)));
  out.cures.push_back(unit_cure(patient.machine, "cpu", "CPUQuota="));
  out.cures.push_back(words_cure(fmt::format("in a container: --cpus {}, or no limit; or set "
                                             "server.shards = {:.0f}", shards,
                                             std::max(1.0, quota->cpus - 0.5))));
  return out;
}

Finding check_governor(const Patient& patient) {
  const auto usable = patient.machine.usable_cpus();
  if (!usable) return unknown(usable.error().message);
  std::map<std::string, std::vector<int>> governors;
  double worst = 1;
  for (const int cpu : shard_cpus(patient.fleet, *usable)) {
    const std::string folder = fmt::format("{}/cpu{}/cpufreq/", cpu_folder, cpu);
    const auto governor = patient.machine.read(folder + "scaling_governor");
    if (!governor && is_absent_in(patient.machine, std::string(cpu_folder), governor.error())) {
      continue;
    }
    if (!governor) return unreadable(folder + "scaling_governor", governor.error());
    const std::string name(trimmed(*governor));
    governors[name].push_back(cpu);
    const auto slowest = read_number(patient.machine, folder + "scaling_min_freq");
    const auto fastest = read_number(patient.machine, folder + "scaling_max_freq");
    if (name != "performance" && slowest && fastest && *slowest > 0) {
      worst = std::max(worst, static_cast<double>(*fastest) / static_cast<double>(*slowest));
    }
  }
  if (governors.empty()) return good("the system does not choose frequencies (as in most VMs)");
  Finding out = good(tally(governors));
  if (governors.size() == 1 && governors.begin()->first == "performance") return out;
  out.state = State::costs;
  out.basis = worst > 1 ? Basis::arithmetic : Basis::documented;
  out.costs = worst > 1
                  ? fmt::format("a shard that was idle does its first turns at the lowest "
                                "frequency: {:.1f} times as long, until the governor notices",
                                worst)
                  : "a shard that was idle does its first turns slower, until the governor notices";
  out.cures.push_back(
      sysfs_cure(fmt::format("{}/cpu[0-9]*/cpufreq/scaling_governor", cpu_folder), "performance"));
  return out;
}

Finding check_smt(const Patient& patient) {
  const auto usable = patient.machine.usable_cpus();
  if (!usable) return unknown(usable.error().message);
  const std::vector<int> shards = shard_cpus(patient.fleet, *usable);
  std::vector<std::pair<int, int>> pairs;
  std::size_t known = 0;
  for (std::size_t i = 0; i < shards.size(); ++i) {
    const std::string path =
        fmt::format("{}/cpu{}/topology/thread_siblings_list", cpu_folder, shards[i]);
    const auto text = patient.machine.read(path);
    if (!text && is_absent(text.error())) continue;
    if (!text) return unreadable(path, text.error());
    const auto siblings = cpus_of_list(*text);
    if (!siblings) return unknown(fmt::format("{} says \"{}\"", path, trimmed(*text)));
    ++known;
    for (std::size_t j = i + 1; j < shards.size(); ++j) {
      const bool beside = std::count(siblings->begin(), siblings->end(), shards[j]) != 0;
      if (beside) pairs.emplace_back(shards[i], shards[j]);
    }
  }
  if (known == 0) return unknown("the system tells nothing of threads and cores");
  if (pairs.empty()) return good(fmt::format("each of {} shards has a core", shards.size()));
  const auto slower = patient.machine.slowdown_together(pairs[0].first, pairs[0].second);
  Finding out = good(fmt::format("{} pair{} of shards share a core (CPUs {} and {})", pairs.size(),
                                 plural(pairs.size()), pairs[0].first, pairs[0].second));
  if (!slower) return out;
  patient.progress(1);
  out.found += fmt::format("; work takes {:.2f} times as long on both at once", *slower);
  // Two threads of a core together still do more than one: it is a price, and worth paying, as
  // long as it is below 2.
  if (*slower < 1.9) return out;
  out.state = State::costs;
  out.basis = Basis::measured;
  out.costs = fmt::format("the second shard of a core adds {:.0f} % of one",
                          std::max(0.0, 2 / *slower - 1) * 100);
  out.cures.push_back(
      toml_cure("server.shards", fmt::format("{}", shards.size() - pairs.size())));
  return out;
}

Finding check_isolation(const Patient& patient) {
  const std::string path = fmt::format("{}/isolated", cpu_folder);
  const auto text = patient.machine.read(path);
  if (!text && is_absent_in(patient.machine, std::string(cpu_folder), text.error())) {
    return good("no CPUs are isolated");
  }
  if (!text) return unreadable(path, text.error());
  const auto isolated = cpus_of_list(*text);
  if (!isolated) return unknown(fmt::format("{} says \"{}\"", path, trimmed(*text)));
  if (isolated->empty()) return good("no CPUs are isolated");
  const auto usable = patient.machine.usable_cpus();
  if (!usable) return unknown(usable.error().message);
  std::vector<int> unused;
  const std::vector<int> shards = shard_cpus(patient.fleet, *usable);
  for (const int cpu : *isolated) {
    if (std::count(shards.begin(), shards.end(), cpu) == 0) unused.push_back(cpu);
  }
  Finding out = good(fmt::format("isolated: {}; shards: {}", list_of_cpus(*isolated),
                                 list_of_cpus(shards)));
  if (unused.empty()) return out;
  out.state = State::costs;
  out.basis = Basis::arithmetic;
  out.costs = fmt::format("{} CPU{} kept free of others' work stand idle, while shards share "
                          "theirs", unused.size(), plural(unused.size()));
  out.cures.push_back(unit_cure(patient.machine, "cpus",
                                fmt::format("CPUAffinity={}", list_of_cpus(*isolated))));
  out.cures.push_back(words_cure(fmt::format("without systemd: taskset -c {} ringgate ...",
                                             list_of_cpus(*isolated))));
  return out;
}

namespace {

struct Receiving {
  std::string interface;
  std::size_t queues = 0;
  std::vector<int> cpus;  // that take packets from it; empty: not known
  bool steered = false;   // by RPS
};

void add(std::vector<int>& to, const std::vector<int>& cpus) {
  to.insert(to.end(), cpus.begin(), cpus.end());
  std::sort(to.begin(), to.end());
  to.erase(std::unique(to.begin(), to.end()), to.end());
}

// What drivers call their interrupts, by number: "38: 0 22637 PCI-MSIX-0000:00:03.0 1-edge
// virtio2-input.0". Empty where the file is not to be read.
std::map<std::string, std::string> interrupt_names(Machine& machine) {
  std::map<std::string, std::string> out;
  const auto text = machine.read("/proc/interrupts");
  if (!text) return out;
  for (const std::string_view line : lines(*text)) {
    const auto columns = words(line);
    if (columns.size() < 2 || !columns[0].ends_with(':')) continue;
    out[std::string(columns[0].substr(0, columns[0].size() - 1))] = columns.back();
  }
  return out;
}

// Whether packets come by an interrupt of this name: drivers have others for what they send
// (virtio2-output.0, eth0-tx-1), for configuration and for events.
bool tells_of_packets(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto has = [&](std::string_view part) { return name.find(part) != std::string::npos; };
  if (has("rx") || has("input")) return true;
  return !has("output") && !has("-tx") && !has("config") && !has("async") && !has("mgm");
}

std::vector<int> cpus_of_interrupts(Machine& machine, const std::string& device) {
  std::vector<int> out;
  auto numbers = machine.list(device + "/msi_irqs");
  if (!numbers) numbers = machine.list(device + "/../msi_irqs");  // of a virtio device
  if (!numbers) return out;
  std::map<std::string, std::string> names = interrupt_names(machine);
  for (const std::string& irq : *numbers) {
    if (!tells_of_packets(names[irq])) continue;
    auto text = machine.read(fmt::format("/proc/irq/{}/effective_affinity_list", irq));
    if (!text) text = machine.read(fmt::format("/proc/irq/{}/smp_affinity_list", irq));
    if (!text) continue;
    if (const auto cpus = cpus_of_list(*text)) add(out, *cpus);
  }
  return out;
}

Receiving look_at_interface(Machine& machine, const std::string& name) {
  Receiving out;
  out.interface = name;
  const std::string folder = "/sys/class/net/" + name;
  std::vector<int> steered;
  if (const auto queues = machine.list(folder + "/queues")) {
    for (const std::string& queue : *queues) {
      if (queue.rfind("rx-", 0) != 0) continue;
      ++out.queues;
      const auto mask = machine.read(folder + "/queues/" + queue + "/rps_cpus");
      if (!mask) continue;
      if (const auto cpus = cpus_of_mask(*mask)) add(steered, *cpus);
    }
  }
  out.steered = !steered.empty();
  out.cpus = out.steered ? steered : cpus_of_interrupts(machine, folder + "/device");
  return out;
}

}  // namespace

Finding check_interrupts(const Patient& patient) {
  const auto names = patient.machine.list("/sys/class/net");
  if (!names) return unreadable("/sys/class/net", names.error());
  const Fleet& fleet = patient.fleet;
  // A report and the acknowledgement of its reply.
  const double share = fleet.messages_per_s() * 2 * figures::receive_ns_per_segment / 1e9;
  const auto usable = patient.machine.usable_cpus();
  if (!usable) return unknown(usable.error().message);
  const std::vector<int> shards = shard_cpus(fleet, *usable);
  Finding out;
  for (const std::string& name : *names) {
    if (!patient.machine.list("/sys/class/net/" + name + "/device")) continue;  // lo, bridges
    const Receiving one = look_at_interface(patient.machine, name);
    const std::string where =
        one.cpus.empty() ? "CPUs not known" : "received on " + list_of_cpus(one.cpus);
    out.found += fmt::format("{}{}: {} queue{}, {}{}", out.found.empty() ? "" : "; ", name,
                             one.queues, plural(one.queues), where, one.steered ? " (RPS)" : "");
    const bool narrow = one.cpus.empty() ? one.queues < shards.size() && !one.steered
                                         : one.cpus.size() < shards.size();
    const double cpus = one.cpus.empty() ? static_cast<double>(std::max<std::size_t>(1, one.queues))
                                         : static_cast<double>(one.cpus.size());
    if (!narrow || share / cpus < figures::share_worth_a_word) continue;
    out.state = State::costs;
    out.basis = Basis::arithmetic;
    out.costs += fmt::format(
        "{}{:.0f} messages/s take {:.0f} % of each CPU that receives for {}, from the shard that "
        "works there, while {} shard{} give nothing",
        out.costs.empty() ? "" : "; ", fleet.messages_per_s(), share / cpus * 100, name,
        shards.size() - std::min(shards.size(), static_cast<std::size_t>(cpus)),
        plural(shards.size() - std::min(shards.size(), static_cast<std::size_t>(cpus))));
    out.cures.push_back(sysfs_cure(fmt::format("/sys/class/net/{}/queues/rx-*/rps_cpus", name),
                                   mask_of_cpus(shards)));
  }
  if (out.found.empty()) return good("no interface has a device behind it");
  out.found += fmt::format("; {:.0f} messages/s cost {:.1f} % of one CPU to receive",
                           fleet.messages_per_s(), share * 100);
  return out;
}

Finding check_clock_source(const Patient& patient) {
  const std::string path = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
  const auto text = patient.machine.read(path);
  if (!text) return unreadable(path, text.error());
  const std::string name(trimmed(*text));
  const auto cost = patient.machine.clock_read_ns();
  Finding out = good(cost ? fmt::format("{}; reading it takes {}", name, time_text(*cost)) : name);
  if (!cost) return out;
  if (*cost <= figures::clock_read_ns_max) return out;
  out.state = State::costs;
  out.basis = Basis::measured;
  out.costs = fmt::format(
      "each of the {:.0f} readings of a loop turn takes {} instead of some 30 ns: {} of every turn",
      figures::clock_reads_per_turn, time_text(*cost),
      time_text(figures::clock_reads_per_turn * *cost));
  const auto available = patient.machine.read(
      "/sys/devices/system/clocksource/clocksource0/available_clocksource");
  const bool has_tsc = available && available->find("tsc") != std::string::npos;
  if (has_tsc && name != "tsc") {
    out.cures.push_back({.command = fmt::format("echo tsc > {}", path),
                         .keep = {},
                         .place = "the kernel's command line: clocksource=tsc tsc=reliable",
                         .automatic = true});
  } else {
    out.cures.push_back(words_cure("let the hypervisor offer an invariant TSC or its own clock "
                                   "(kvm-clock, hyperv_clocksource_tsc_page)"));
  }
  return out;
}

Finding check_time_sync(const Patient& patient) {
  const auto kept = patient.machine.clock_is_kept();
  if (!kept) return unknown(kept.error().message);
  if (*kept) return good("the kernel's clock is kept");
  Finding out;
  out.state = State::costs;
  out.basis = Basis::documented;
  out.found = "nothing keeps the clock (adjtimex: STA_UNSYNC)";
  out.costs = "times in the log drift by seconds a month; certificates, tokens and --from, --to "
              "follow the wrong clock. Latencies are not touched";
  const bool systemd = patient.machine.list("/run/systemd/system").ok();
  out.cures.push_back({.command = "timedatectl set-ntp true",
                       .keep = {},
                       .place = "systemd-timesyncd; or install chrony",
                       .automatic = systemd});
  return out;
}

}  // namespace ringgate::doctor
