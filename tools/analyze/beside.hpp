// What the kernel tells of a gateway's process that its metrics do not: how long its shards waited
// for a CPU, segments sent again, connections dropped. Only where it runs on this machine.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace ringgate::analyze {

// The process that listens on this TCP port of this machine; 0: none that we may look into.
int pid_of_listener(std::uint16_t port);
// Its CPUs; 0: not known.
unsigned usable_cpus_of(int pid);

// Cumulative figures of a moment.
struct BesideSample {
  struct Thread {
    double wait_s = 0;  // ready to run, without a CPU
    double slices = 0;  // times it got one
  };
  std::map<int, Thread> shards;  // by number, since its start
  double segments_out = 0;
  double segments_again = 0;
  double listen_drops = 0;
};
// nullopt: the process is gone, or the kernel tells nothing (no schedstats).
std::optional<BesideSample> sample_beside(int pid);

struct BesideStep {
  double wait_share = 0;    // of the shard that waited most
  double wait_each_s = 0;   // mean wait of that shard before it ran
  double retransmits = 0;   // share; 0 where nothing was sent
  double listen_drops = 0;  // per second
};
BesideStep between(const BesideSample& before, const BesideSample& after, double seconds);

// A row of /proc/net/snmp or netstat: two lines, names and values, both begin with `group`.
double net_value(std::string_view text, std::string_view group, std::string_view name);

}  // namespace ringgate::analyze
