// The table of the checks.
#include "tools/doctor/checks.hpp"

namespace ringgate::doctor {

namespace {

constexpr Check table[] = {
    {"kernel", "The kernel's version, and whether it is known for bugs that matter here.",
     &check_kernel},
    {"io_uring", "Whether io_uring is allowed: sysctl, seccomp, and a ring really opened.",
     &check_io_uring},
    {"io_uring_features", "Each feature of the ring that the engine uses, tried.",
     &check_io_uring_features},
    {"memlock", "Locked memory, with a ring for each shard opened at once.", &check_memlock},
    {"nofile", "Open files: soft and hard limit, fs.nr_open, and what the fleet needs.",
     &check_nofile},
    {"backlog", "net.core.somaxconn and what the listeners ask for.", &check_backlog},
    {"port_range", "net.ipv4.ip_local_port_range: for load generators, and for listeners in it.",
     &check_port_range},
    {"tcp_memory", "net.ipv4.tcp_mem for the fleet's links.", &check_tcp_memory},
    {"socket_buffers", "net.core.rmem_max and wmem_max; datagrams that a socket really holds.",
     &check_socket_buffers},
    {"conntrack", "Room for the fleet in the table of tracked connections.", &check_conntrack},
    {"cpu_limit", "The cgroup's CPU quota, and how often it was used up.", &check_cpu_limit},
    {"governor", "Frequency governor of the shards' CPUs.", &check_governor},
    {"smt", "Shards on two threads of one core, with what it costs.", &check_smt, true},
    {"isolation", "Isolated CPUs that shards do not use.", &check_isolation},
    {"interrupts", "CPUs that receive for the network interfaces: interrupts and RPS.",
     &check_interrupts},
    {"clock_source", "The kernel's clock source and what reading it costs.", &check_clock_source},
    {"time_sync", "Whether something keeps the wall clock right.", &check_time_sync},
    {"memory", "Memory for the fleet: the machine's, the cgroup's, memory.limit.", &check_memory},
    {"huge_pages", "Transparent huge pages, and what they make of first touches.",
     &check_huge_pages},
    {"swap", "Swap, which turns memory of a shard into waiting for a disk.", &check_swap},
    {"filesystem", "The file system of the data directory.", &check_filesystem},
    {"disk_space", "Free space against retention and the fleet's records.", &check_disk_space},
    {"disk_speed", "Durable writes of 4 KiB and 64 KiB into the data directory.",
     &check_disk_speed, true},
};

}  // namespace

std::span<const Check> all_checks() { return table; }

const Check* find_check(std::string_view id) {
  for (const Check& check : table) {
    if (check.id == id) return &check;
  }
  return nullptr;
}

}  // namespace ringgate::doctor
