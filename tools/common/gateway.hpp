// What several tools read alike of a running gateway: its settings, and how long its shards waited
// for a CPU. Cold; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/clock.hpp"

namespace ringgate::tool {

// Keys and values as text, of an answer of GET /api/v1/config; none where it is no such answer.
std::vector<std::pair<std::string, std::string>> settings_of(const std::string& answer);

struct ShardWait {
  MonoNs wait_ns = 0;        // ready to run, without a CPU, since the thread began
  std::uint64_t slices = 0;  // times it got one
};
// By number of the shard: of the process's threads "shard-0", "shard-1" ... Another process has
// none, nor has one that may not be looked into, or a kernel without schedstats.
std::map<int, ShardWait> shard_waits(int pid);

}  // namespace ringgate::tool
