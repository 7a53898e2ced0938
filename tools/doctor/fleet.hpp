// The fleet that the machine is judged by: what the gateway's configuration and the command line
// say of it. Plain values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "tools/doctor/machine.hpp"

namespace ringgate::doctor {

struct Listener {
  std::string section;  // "jt808"
  std::vector<std::uint16_t> ports;
  std::uint32_t backlog = 0;
  bool datagrams = false;
  std::uint64_t receive_buffer = 0;  // bytes; 0: the kernel's choice
  std::uint64_t send_buffer = 0;
};

struct Fleet {
  std::uint64_t devices = 0;
  std::string devices_from;  // "--devices", "server.max_links", "assumed"
  double rate = 0;           // reports of a device a second
  unsigned shards = 0;       // as in effect: never 0
  bool pin = true;
  std::string data_dir;
  std::uint64_t max_links = 0;     // 0: as many as descriptors allow
  std::uint64_t memory_limit = 0;  // bytes; 0: half of the machine
  std::uint64_t segment_bytes = 0;
  std::uint64_t retention_bytes = 0;  // 0: keeps everything
  std::uint64_t retention_hard_bytes = 0;
  std::vector<std::string> without;  // engine.without
  std::vector<Listener> listeners;   // those that listen

  double messages_per_s() const { return static_cast<double>(devices) * rate; }
};

// Of the text of `ringgate --print-config`. `usable_cpus` is what 0 shards stand for.
// Error: what is missing or no configuration of a gateway.
Result<Fleet> fleet_of_config(const std::string& printed, unsigned usable_cpus);

// The text, from the gateway's own program. Error: it is not there, or what it says is wrong.
struct ConfigCall {
  std::string program;             // empty: beside this one, else by PATH
  std::vector<std::string> files;  // --config
  std::vector<std::string> sets;   // --set
};
Result<std::string> printed_config(const ConfigCall& call);

// The CPUs that the shards run on: the first ones, as the gateway pins them.
std::vector<int> shard_cpus(const Fleet& fleet, const std::vector<int>& usable);

}  // namespace ringgate::doctor
