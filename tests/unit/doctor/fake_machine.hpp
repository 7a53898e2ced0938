// A machine made of texts: files that are there, files that may not be read, and figures where the
// real one measures.
#pragma once

#include <cerrno>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/io/ring.hpp"
#include "tools/doctor/checks.hpp"
#include "tools/doctor/text.hpp"

namespace ringgate::doctor {

class FakeMachine final : public Machine {
 public:
  std::map<std::string, std::string> files;
  std::set<std::string> refused;  // permission denied
  std::string release = "6.12.9-amd64";
  std::vector<int> cpus = {0, 1, 2, 3};
  std::optional<Space> disk = Space{500ULL << 30, 1000ULL << 30};
  std::optional<Error> ring_error;
  std::uint32_t features =
      io::bit(io::Feature::single_issuer) | io::bit(io::Feature::defer_taskrun) |
      io::bit(io::Feature::no_sqarray) | io::bit(io::Feature::registered_ring) |
      io::bit(io::Feature::multishot_accept) | io::bit(io::Feature::multishot_recv) |
      io::bit(io::Feature::recv_bundle) | io::bit(io::Feature::msg_ring) |
      io::bit(io::Feature::multishot_recvmsg);
  std::optional<WriteTimes> small = WriteTimes{10'000, 90e3, 200e3, 1e6, true};
  std::optional<WriteTimes> large = WriteTimes{9'000, 110e3, 300e3, 1e6, true};
  double clock_ns = 25;
  std::optional<bool> kept = true;
  Touch touch{200e3, 1e3};
  std::optional<double> slowdown = 1.5;
  std::optional<std::uint32_t> held = 20'000;
  std::vector<std::string> commands;
  int exit_code = 0;
  void (*after_run)(FakeMachine&) = nullptr;

  Result<std::string> read(const std::string& path) override {
    if (refused.count(path) != 0) return Error{EACCES, path};
    const auto found = files.find(path);
    if (found == files.end()) return Error{ENOENT, path};
    return found->second;
  }
  Result<std::vector<std::string>> list(const std::string& path) override {
    if (refused.count(path) != 0) return Error{EACCES, path};
    std::set<std::string> names;
    for (const auto& [file, text] : files) {
      if (file.rfind(path + "/", 0) != 0) continue;
      const std::string rest = file.substr(path.size() + 1);
      names.insert(rest.substr(0, rest.find('/')));
    }
    if (names.empty()) return Error{ENOENT, path};
    return std::vector<std::string>(names.begin(), names.end());
  }
  Result<std::string> kernel_release() override { return release; }
  Result<std::vector<int>> usable_cpus() override { return cpus; }
  Result<Space> space(const std::string&) override {
    if (!disk) return Error{ENOENT, "no disk"};
    return *disk;
  }
  Result<std::uint32_t> try_rings(unsigned) override {
    if (ring_error) return *ring_error;
    return features;
  }
  Result<WriteTimes> time_writes(const std::string&, std::uint32_t size_bytes, MonoNs,
                                 const Progress& progress) override {
    progress(1);
    const auto& times = size_bytes == 4096 ? small : large;
    if (!times) return Error{EROFS, "cannot write"};
    return *times;
  }
  Result<double> clock_read_ns() override { return clock_ns; }
  Result<bool> clock_is_kept() override {
    if (!kept) return Error{EPERM, "adjtimex"};
    return *kept;
  }
  Result<Touch> first_touch() override { return touch; }
  Result<double> slowdown_together(int, int) override {
    if (!slowdown) return Error{0, "not pinned"};
    return *slowdown;
  }
  Result<std::uint32_t> datagrams_held(int) override {
    if (!held) return Error{EPERM, "no socket"};
    return *held;
  }
  Result<int> run(const std::string& command) override {
    commands.push_back(command);
    if (after_run != nullptr) after_run(*this);
    return exit_code;
  }
};

// 10,000 devices on 4 shards, as the default configuration has them.
inline Fleet usual_fleet() {
  Fleet fleet;
  fleet.devices = 10'000;
  fleet.rate = 0.1;
  fleet.shards = 4;
  fleet.data_dir = "/srv/ringgate";
  fleet.segment_bytes = 64 << 20;
  fleet.listeners.push_back({.section = "jt808", .ports = {7808}, .backlog = 4096});
  return fleet;
}

inline bool says(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

// A machine where everything is well.
inline FakeMachine well_machine() {
  FakeMachine machine;
  machine.files = {
      {"/proc/self/limits",
       "Limit                     Soft Limit           Hard Limit           Units     \n"
       "Max open files            1024                 1048576              files     \n"
       "Max locked memory         8388608              8388608              bytes     \n"},
      {"/proc/self/status", "Name:\tx\nSeccomp:\t0\n"},
      {"/proc/self/cgroup", "0::/a/b\n"},
      {"/proc/self/mountinfo",
       "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
       "30 22 254:1 / /srv rw,noatime shared:2 - xfs /dev/vdb rw\n"},
      {"/proc/meminfo", "MemTotal:       16336912 kB\nSwapTotal:             0 kB\n"},
      {"/proc/sys/fs/nr_open", "1048576\n"},
      {"/proc/sys/fs/file-max", "9223372036854775807\n"},
      {"/proc/sys/net/core/somaxconn", "4096\n"},
      {"/proc/sys/net/core/rmem_max", "8388608\n"},
      {"/proc/sys/net/core/wmem_max", "212992\n"},
      {"/proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"},
      {"/proc/sys/net/ipv4/tcp_mem", "188154\t250875\t376308\n"},
      {"/proc/sys/kernel/io_uring_disabled", "0\n"},
      {"/sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"},
      {"/sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc hpet\n"},
      {"/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"},
      {"/sys/kernel/mm/ksm/run", "0\n"},
      {"/sys/fs/cgroup/a/b/cpu.max", "max 100000\n"},
      {"/sys/fs/cgroup/a/b/memory.max", "max\n"},
      {"/sys/devices/system/cpu/isolated", "\n"},
      {"/sys/class/net/lo/operstate", "unknown\n"},
  };
  for (int cpu = 0; cpu < 4; ++cpu) {
    const std::string folder = "/sys/devices/system/cpu/cpu" + std::to_string(cpu);
    machine.files[folder + "/topology/thread_siblings_list"] = std::to_string(cpu) + "\n";
  }
  return machine;
}

}  // namespace ringgate::doctor
