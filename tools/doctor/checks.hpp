// The checks, one row each. Each looks through the machine's seam, changes nothing, and fails on
// nothing: what can't be found out is `unknown` with the reason.
#pragma once

#include <span>
#include <string_view>

#include "tools/doctor/finding.hpp"
#include "tools/doctor/fleet.hpp"
#include "tools/doctor/machine.hpp"

namespace ringgate::doctor {

struct Patient {
  Machine& machine;
  const Fleet& fleet;
  // The process whose limits and cgroup count: "self", or the number of a running gateway.
  std::string process = "self";
  Progress progress = [](double) {};
};

struct Check {
  std::string_view id;
  std::string_view what;  // a sentence for --help and the page
  Finding (*look)(const Patient& patient);
  bool takes_time = false;  // seconds: progress is shown
};

std::span<const Check> all_checks();
const Check* find_check(std::string_view id);

// In the order of the table. For tests each can be called alone.
Finding check_nofile(const Patient& patient);
Finding check_backlog(const Patient& patient);
Finding check_port_range(const Patient& patient);
Finding check_tcp_memory(const Patient& patient);
Finding check_socket_buffers(const Patient& patient);
Finding check_conntrack(const Patient& patient);
Finding check_kernel(const Patient& patient);
Finding check_io_uring(const Patient& patient);
Finding check_io_uring_features(const Patient& patient);
Finding check_memlock(const Patient& patient);
Finding check_cpu_limit(const Patient& patient);
Finding check_governor(const Patient& patient);
Finding check_smt(const Patient& patient);
Finding check_isolation(const Patient& patient);
Finding check_interrupts(const Patient& patient);
Finding check_clock_source(const Patient& patient);
Finding check_time_sync(const Patient& patient);
Finding check_memory(const Patient& patient);
Finding check_huge_pages(const Patient& patient);
Finding check_swap(const Patient& patient);
Finding check_filesystem(const Patient& patient);
Finding check_disk_space(const Patient& patient);
Finding check_disk_speed(const Patient& patient);

}  // namespace ringgate::doctor
