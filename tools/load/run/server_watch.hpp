// Finds the measured server on this host and samples it while a run goes on. Cold; one thread.
#pragma once

#include <optional>
#include <string>

#include "engine/base/clock.hpp"
#include "engine/base/result.hpp"
#include "tools/load/run/timeline.hpp"
#include "tools/load/scenario/scenario.hpp"

namespace ringgate::load {

// The process that listens on (or, UDP, is bound to) the address, from /proc/net and the
// descriptors of all processes this one may look at. Error: why there is none, for people: it is on
// another host, nobody listens, or another user's process does.
Result<int> listener_pid(const std::string& host_port, bool udp);
// Of the first of the target's addresses that anybody here listens on; with target.chaos devices
// reach the server by way of ringgate-chaos, so that target.http tells. Error: why there is none,
// for people; empty where the target has no address.
Result<int> server_pid_of(const Target& target);

class ServerWatch {
 public:
  explicit ServerWatch(int pid) : pid_(pid) {}
  int pid() const { return pid_; }
  // Nothing: it has ended.
  std::optional<ServerSample> sample(MonoNs since_start) const;
  // "/usr/bin/ringgate --config x", for the report.
  std::string command_line() const;

 private:
  int pid_;
};

}  // namespace ringgate::load
