// Limits, CPUs, memory: good, bad, absent and unreadable.
#include <doctest/doctest.h>

#include "tests/unit/doctor/fake_machine.hpp"

using namespace ringgate::doctor;

namespace {

Finding look(FakeMachine& machine, Finding (*check)(const Patient&),
             const Fleet& fleet = usual_fleet()) {
  return check(Patient{.machine = machine, .fleet = fleet});
}

// What every check owes: an answer where all is well, and one where nothing can be read.
struct Row {
  std::string_view id;
  std::string path;        // the file that it can't do without; empty: it needs none
  State when_absent;
};

const Row rows[] = {
    {"nofile", "/proc/self/limits", State::unknown},
    {"backlog", "/proc/sys/net/core/somaxconn", State::unknown},
    {"port_range", "/proc/sys/net/ipv4/ip_local_port_range", State::unknown},
    {"tcp_memory", "/proc/sys/net/ipv4/tcp_mem", State::unknown},
    {"socket_buffers", "/proc/sys/net/core/rmem_max", State::unknown},
    {"conntrack", "/proc/sys/net/netfilter/nf_conntrack_max", State::good},
    {"cpu_limit", "/proc/self/cgroup", State::unknown},
    {"governor", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", State::good},
    {"smt", "/sys/devices/system/cpu/cpu0/topology/thread_siblings_list", State::good},
    {"isolation", "/sys/devices/system/cpu/isolated", State::good},
    {"interrupts", "/sys/class/net", State::unknown},
    {"clock_source", "/sys/devices/system/clocksource/clocksource0/current_clocksource",
     State::unknown},
    {"memory", "/proc/meminfo", State::unknown},
    {"huge_pages", "/sys/kernel/mm/transparent_hugepage/enabled", State::good},
    {"swap", "/proc/meminfo", State::unknown},
    {"filesystem", "/proc/self/mountinfo", State::unknown},
};

}  // namespace

TEST_CASE("checks: a machine where all is well has nothing but good") {
  FakeMachine machine = well_machine();
  const Fleet fleet = usual_fleet();
  for (const Check& check : all_checks()) {
    const Finding found = check.look(Patient{.machine = machine, .fleet = fleet});
    INFO(check.id, ": ", found.found, " ", found.costs);
    CHECK(found.state == State::good);
    CHECK_FALSE(found.found.empty());
    CHECK(found.costs.empty());
    CHECK(found.cures.empty());
  }
}

TEST_CASE("checks: what is absent or unreadable is said, and is no alarm") {
  for (const Row& row : rows) {
    INFO(row.id);
    const Check* check = find_check(row.id);
    REQUIRE(check != nullptr);
    const Fleet fleet = usual_fleet();
    FakeMachine absent = well_machine();
    absent.files.erase(row.path);
    if (row.path == "/sys/class/net") absent.files.erase("/sys/class/net/lo/operstate");
    const Finding gone = check->look(Patient{.machine = absent, .fleet = fleet});
    CHECK(gone.state == row.when_absent);
    CHECK(gone.cures.empty());
    FakeMachine refusing = well_machine();
    refusing.refused.insert(row.path);
    const Finding refused = check->look(Patient{.machine = refusing, .fleet = fleet});
    CHECK(refused.state == State::unknown);
    CHECK(says(refused.found, "permission denied"));
    FakeMachine nonsense = well_machine();
    if (row.path == "/sys/class/net") continue;
    nonsense.files[row.path] = "nonsense";
    const Finding odd = check->look(Patient{.machine = nonsense, .fleet = fleet});
    // These take any word for a name.
    const bool named = row.id == "cpu_limit" || row.id == "governor" || row.id == "clock_source";
    CHECK((odd.state == State::unknown || named));
  }
}

TEST_CASE("checks: without /sys or /proc/sys nothing that is missing there is called good") {
  FakeMachine machine = well_machine();
  std::erase_if(machine.files, [](const auto& file) {
    return file.first.starts_with("/sys/") || file.first.starts_with("/proc/sys/");
  });
  const Fleet fleet = usual_fleet();
  for (const std::string_view id : {"conntrack", "cpu_limit", "governor", "smt", "isolation",
                                    "interrupts", "clock_source", "huge_pages"}) {
    INFO(id);
    const Check* check = find_check(id);
    REQUIRE(check != nullptr);
    CHECK(check->look(Patient{.machine = machine, .fleet = fleet}).state == State::unknown);
  }
}

TEST_CASE("nofile: what the fleet needs is what the gateway would leave for its links") {
  FakeMachine machine = well_machine();
  machine.files["/proc/self/limits"] = "Max open files            1024        4096       files\n";
  Finding found = look(machine, check_nofile);
  CHECK(found.state == State::blocks);
  CHECK(says(found.found, "10,000 devices over TCP need 13,674"));
  // 4096 - 256 - 1024 links have a place.
  CHECK(says(found.costs, "7,184 of 10,000 devices find no place"));
  REQUIRE(found.cures.size() == 2);
  CHECK(says(found.cures[0].command, "LimitNOFILE=16384"));
  CHECK_FALSE(found.cures[0].automatic);  // no systemd here
  machine.files["/run/systemd/system/x"] = "";
  CHECK(look(machine, check_nofile).cures[0].automatic);

  machine = well_machine();
  machine.files["/proc/sys/fs/nr_open"] = "8192\n";
  found = look(machine, check_nofile);
  CHECK(found.state == State::blocks);
  REQUIRE(found.cures.size() == 1);
  CHECK(found.cures[0].command == "sysctl -w fs.nr_open=16384");

  machine = well_machine();
  machine.files["/proc/self/limits"] = "Max open files      unlimited    unlimited    files\n";
  CHECK(look(machine, check_nofile).state == State::good);

  Fleet fleet = usual_fleet();
  fleet.max_links = 4000;
  found = look(machine, check_nofile, fleet);
  CHECK(found.state == State::blocks);
  CHECK(says(found.costs, "server.max_links keeps 6,000 devices out"));
}

TEST_CASE("nofile, swap: the unit's word counts where no process is named") {
  FakeMachine machine = well_machine();
  machine.files["/proc/self/limits"] = "Max open files            1024        4096       files\n";
  machine.files["/proc/7/limits"] = "Max open files            1024        5000       files\n";
  machine.files["/lib/systemd/system/ringgate.service"] = "[Service]\n LimitNOFILE=8192\n";
  CHECK(says(look(machine, check_nofile).found, "of the unit: soft 8,192, hard 8,192"));
  // What --apply writes is what it then finds.
  const std::string folder = "/etc/systemd/system/ringgate.service.d/";
  machine.files[folder + "doctor-nofile.conf"] = "[Service]\nLimitNOFILE=16384\n";
  CHECK(look(machine, check_nofile).state == State::good);
  machine.files[folder + "later.conf"] = "[Service]\nLimitNOFILE=1024:infinity\n";
  CHECK(says(look(machine, check_nofile).found, "hard unlimited"));
  machine.files[folder + "later.conf"] = "[Service]\nLimitNOFILE=soon\n";
  CHECK(says(look(machine, check_nofile).found, "soft 1,024, hard 4,096"));
  const Fleet fleet = usual_fleet();
  const Patient running{.machine = machine, .fleet = fleet, .process = "7"};
  CHECK(says(check_nofile(running).found, "hard 5,000"));

  machine.files["/proc/meminfo"] = "MemTotal: 16336912 kB\nSwapTotal: 2097152 kB\n";
  CHECK(look(machine, check_swap).state == State::costs);
  machine.files[folder + "doctor-swap.conf"] = "[Service]\nMemorySwapMax=0\n";
  CHECK(look(machine, check_swap).state == State::good);
}

TEST_CASE("backlog: somaxconn below what listeners ask for") {
  FakeMachine machine = well_machine();
  machine.files["/proc/sys/net/core/somaxconn"] = "128\n";
  const Finding found = look(machine, check_backlog);
  CHECK(found.state == State::costs);
  CHECK(says(found.costs, "4 shards let 512 connections wait, not 16,384"));
  REQUIRE(found.cures.size() == 1);
  CHECK(found.cures[0].command == "sysctl -w net.core.somaxconn=4096");
  CHECK(says(found.cures[0].keep, "/etc/sysctl.d/90-ringgate.conf"));
  CHECK(found.cures[0].automatic);
}

TEST_CASE("port range: generators run out, and a listener lies in it") {
  FakeMachine machine = well_machine();
  Fleet fleet = usual_fleet();
  fleet.devices = 30'000;
  Finding found = look(machine, check_port_range, fleet);
  CHECK(found.state == State::costs);
  CHECK(says(found.costs, "stops at 28,232 of 30,000"));
  CHECK(says(found.cures[0].command, "'1024 65535'"));
  fleet = usual_fleet();
  fleet.listeners[0].ports = {40'000};
  found = look(machine, check_port_range, fleet);
  CHECK(says(found.costs, "port 40000 of jt808"));
  machine.files["/proc/sys/net/ipv4/ip_local_port_range"] = "5 1\n";
  CHECK(look(machine, check_port_range).state == State::unknown);
}

TEST_CASE("tcp memory, socket buffers, connection tracking") {
  FakeMachine machine = well_machine();
  machine.files["/proc/sys/net/ipv4/tcp_mem"] = "100 10000 20000\n";
  Finding found = look(machine, check_tcp_memory);
  CHECK(found.state == State::costs);
  CHECK(says(found.costs, "more than 5,000 of 10,000"));  // 10000 pages of 4 KiB, 8 KiB each

  machine.files["/proc/sys/net/core/rmem_max"] = "212992\n";
  CHECK(look(machine, check_socket_buffers).state == State::good);  // nobody takes datagrams
  Fleet fleet = usual_fleet();
  fleet.listeners[0].datagrams = true;
  machine.held = 250;
  found = look(machine, check_socket_buffers, fleet);
  CHECK(found.state == State::costs);
  CHECK(found.basis == Basis::measured);
  CHECK(says(found.costs, "250/s a shard"));
  CHECK(says(found.costs, "for 1 s"));
  machine.held.reset();
  CHECK(look(machine, check_socket_buffers, fleet).basis == Basis::arithmetic);
  fleet.listeners[0].datagrams = false;
  fleet.listeners[0].send_buffer = 1 << 20;
  found = look(machine, check_socket_buffers, fleet);
  CHECK(says(found.costs, "jt808.send_buffer asks for 1.0 MiB"));

  machine.files["/proc/sys/net/netfilter/nf_conntrack_max"] = "8000\n";
  machine.files["/proc/sys/net/netfilter/nf_conntrack_count"] = "17\n";
  found = look(machine, check_conntrack);
  CHECK(found.state == State::blocks);
  CHECK(says(found.costs, "2,000 of 10,000 devices are dropped"));
  machine.files["/proc/sys/net/netfilter/nf_conntrack_max"] = "11000\n";
  CHECK(look(machine, check_conntrack).state == State::costs);
  machine.files["/proc/sys/net/netfilter/nf_conntrack_max"] = "262144\n";
  CHECK(look(machine, check_conntrack).state == State::good);
}

TEST_CASE("cpu limit: quotas of both kinds of cgroups, the tightest of all parents") {
  FakeMachine machine = well_machine();
  machine.files["/sys/fs/cgroup/a/cpu.max"] = "200000 100000\n";
  machine.files["/sys/fs/cgroup/a/cpu.stat"] = "usage_usec 5\nnr_periods 100\nnr_throttled 40\n";
  Finding found = look(machine, check_cpu_limit);
  CHECK(found.state == State::costs);
  CHECK(says(found.found, "2.00 CPUs (/sys/fs/cgroup/a/cpu.max)"));
  CHECK(says(found.found, "used up in 40 of 100 periods"));
  CHECK(says(found.costs, "wait up to 50 ms more"));
  machine.files["/sys/fs/cgroup/a/cpu.max"] = "800000 100000\n";
  machine.files["/sys/fs/cgroup/a/cpu.stat"] = "nr_periods 100\nnr_throttled 0\n";
  CHECK(look(machine, check_cpu_limit).state == State::good);
  machine.files["/proc/self/cgroup"] = "3:cpuset:/\n2:cpu,cpuacct:/x\n";
  machine.files["/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us"] = "50000\n";
  machine.files["/sys/fs/cgroup/cpu/x/cpu.cfs_period_us"] = "100000\n";
  CHECK(says(look(machine, check_cpu_limit).found, "0.50 CPUs"));
}

TEST_CASE("governor, siblings, isolated CPUs") {
  FakeMachine machine = well_machine();
  const std::string folder = "/sys/devices/system/cpu/cpu";
  machine.files[folder + "1/cpufreq/scaling_governor"] = "powersave\n";
  machine.files[folder + "1/cpufreq/scaling_min_freq"] = "800000\n";
  machine.files[folder + "1/cpufreq/scaling_max_freq"] = "3200000\n";
  Finding found = look(machine, check_governor);
  CHECK(found.state == State::costs);
  CHECK(says(found.costs, "4.0 times as long"));
  CHECK(says(found.cures[0].command, "echo performance"));
  machine.files[folder + "1/cpufreq/scaling_governor"] = "performance\n";
  CHECK(look(machine, check_governor).state == State::good);

  machine.files[folder + "0/topology/thread_siblings_list"] = "0,2\n";
  machine.files[folder + "2/topology/thread_siblings_list"] = "0,2\n";
  found = look(machine, check_smt);
  CHECK(found.state == State::good);  // 1.5 times as long on both: still a third more work
  CHECK(says(found.found, "1 pair of shards share a core (CPUs 0 and 2)"));
  machine.slowdown = 1.96;
  found = look(machine, check_smt);
  CHECK(found.state == State::costs);
  CHECK(found.basis == Basis::measured);
  CHECK(says(found.cures[0].command, "server.shards = 3"));
  Fleet fleet = usual_fleet();
  fleet.shards = 2;  // on CPUs 0 and 1
  CHECK(says(look(machine, check_smt, fleet).found, "each of 2 shards has a core"));

  machine.files[folder.substr(0, folder.size() - 3) + "isolated"] = "6-7\n";
  found = look(machine, check_isolation);
  CHECK(found.state == State::costs);
  CHECK(says(found.cures[0].command, "CPUAffinity=6-7"));
  machine.cpus = {6, 7};
  fleet.shards = 2;
  CHECK(look(machine, check_isolation, fleet).state == State::good);
}

TEST_CASE("interrupts: one queue for many shards matters where there is traffic") {
  FakeMachine machine = well_machine();
  machine.files["/sys/class/net/eth0/device/msi_irqs/30"] = "msix\n";
  machine.files["/sys/class/net/eth0/queues/rx-0/rps_cpus"] = "0\n";
  machine.files["/proc/irq/30/effective_affinity_list"] = "1\n";
  CHECK(look(machine, check_interrupts).state == State::good);  // 1,000 messages/s are nothing
  Fleet fleet = usual_fleet();
  fleet.devices = 1'000'000;
  Finding found = look(machine, check_interrupts, fleet);
  CHECK(found.state == State::costs);
  CHECK(says(found.found, "eth0: 1 queue, received on 1"));
  CHECK(says(found.costs, "72 % of each CPU"));  // 100,000 times two segments of 3.6 us
  // Interrupts of what is sent, and of the configuration, receive nothing.
  machine.files["/sys/class/net/eth0/device/msi_irqs/29"] = "msix\n";
  machine.files["/sys/class/net/eth0/device/msi_irqs/31"] = "msix\n";
  machine.files["/proc/irq/29/effective_affinity_list"] = "0\n";
  machine.files["/proc/irq/31/effective_affinity_list"] = "2\n";
  machine.files["/proc/interrupts"] =
      "           CPU0       CPU1\n"
      " 29:          0          0 PCI-MSIX-0000:00:03.0   0-edge      virtio2-config\n"
      " 30:          0      22637 PCI-MSIX-0000:00:03.0   1-edge      virtio2-input.0\n"
      " 31:      16685          0 PCI-MSIX-0000:00:03.0   2-edge      virtio2-output.0\n"
      "NMI:          0          0   Non-maskable interrupts\n";
  CHECK(says(look(machine, check_interrupts, fleet).found, "eth0: 1 queue, received on 1;"));
  REQUIRE(found.cures.size() == 1);
  CHECK(says(found.cures[0].command, "/sys/class/net/eth0/queues/rx-*/rps_cpus; do echo f "));
  machine.files["/sys/class/net/eth0/queues/rx-0/rps_cpus"] = "f\n";
  found = look(machine, check_interrupts, fleet);
  CHECK(found.state == State::good);
  CHECK(says(found.found, "received on 0-3 (RPS)"));
}

TEST_CASE("clocks") {
  FakeMachine machine = well_machine();
  machine.files["/sys/devices/system/clocksource/clocksource0/current_clocksource"] = "hpet\n";
  machine.clock_ns = 1200;
  Finding found = look(machine, check_clock_source);
  CHECK(found.state == State::costs);
  CHECK(says(found.costs, "3.6 us of every turn"));
  CHECK(says(found.cures[0].command, "echo tsc > "));
  machine.files["/sys/devices/system/clocksource/clocksource0/available_clocksource"] = "hpet\n";
  CHECK_FALSE(look(machine, check_clock_source).cures[0].automatic);

  machine.kept = false;
  found = look(machine, check_time_sync);
  CHECK(found.state == State::costs);
  machine.kept.reset();
  CHECK(look(machine, check_time_sync).state == State::unknown);
}

TEST_CASE("memory: the machine, the cgroup, memory.limit") {
  FakeMachine machine = well_machine();
  machine.files["/proc/meminfo"] = "MemTotal:  65536 kB\nSwapTotal: 0 kB\n";
  Fleet fleet = usual_fleet();
  fleet.devices = 20'000;
  Finding found = look(machine, check_memory, fleet);
  CHECK(found.state == State::blocks);
  CHECK(says(found.costs, "10,876 of 20,000 devices fit"));  // 64 MiB of 6,170 bytes each
  machine = well_machine();
  fleet.memory_limit = 10 << 20;
  found = look(machine, check_memory, fleet);
  CHECK(found.state == State::blocks);
  CHECK(says(found.costs, "refuses links beyond 9,986 devices"));
  fleet.memory_limit = 0;
  machine.files["/sys/fs/cgroup/a/memory.max"] = "1073741824\n";
  found = look(machine, check_memory, fleet);
  CHECK(found.state == State::costs);
  CHECK(says(found.costs, "may kill the gateway at 1.0 GiB"));
  CHECK(says(found.cures[0].command, "memory.limit = \"512MiB\""));
  fleet.memory_limit = 256 << 20;
  CHECK(look(machine, check_memory, fleet).state == State::good);
}

TEST_CASE("huge pages and swap") {
  FakeMachine machine = well_machine();
  machine.files["/sys/kernel/mm/transparent_hugepage/enabled"] = "[always] madvise never\n";
  Finding found = look(machine, check_huge_pages);
  CHECK(found.state == State::costs);
  CHECK(says(found.costs, "stands still for 200 us"));
  machine.touch = {1500, 1000};
  CHECK(look(machine, check_huge_pages).state == State::good);

  machine.files["/proc/meminfo"] =
      "MemTotal: 16336912 kB\nSwapTotal: 2097152 kB\nSwapFree: 1048576 kB\n";
  found = look(machine, check_swap);
  CHECK(found.state == State::costs);
  CHECK(says(found.found, "2.0 GiB, 1.0 GiB in use"));
  CHECK(says(found.cures[0].command, "MemorySwapMax=0"));
}
