#include "tools/common/gateway.hpp"

#include <fmt/core.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

namespace ringgate::tool {

std::vector<std::pair<std::string, std::string>> settings_of(const std::string& answer) {
  std::vector<std::pair<std::string, std::string>> out;
  const nlohmann::json all = nlohmann::json::parse(answer, nullptr, false);
  if (!all.is_object() || !all.contains("keys") || !all["keys"].is_array()) return out;
  for (const nlohmann::json& row : all["keys"]) {
    if (!row.is_object() || !row.contains("key") || !row.contains("value")) continue;
    if (!row["key"].is_string() || !row["value"].is_string()) continue;
    out.emplace_back(row["key"].get<std::string>(), row["value"].get<std::string>());
  }
  return out;
}

std::map<int, ShardWait> shard_waits(int pid) {
  std::map<int, ShardWait> out;
  std::error_code error;
  std::filesystem::directory_iterator at(fmt::format("/proc/{}/task", pid), error);
  for (; !error && at != std::filesystem::directory_iterator(); at.increment(error)) {
    std::ifstream comm(at->path() / "comm");
    std::string name;
    if (!std::getline(comm, name) || !name.starts_with("shard-")) continue;
    // Nanoseconds on a CPU, nanoseconds waited for one, number of times.
    std::ifstream schedstat(at->path() / "schedstat");
    MonoNs ran_ns = 0;
    ShardWait wait;
    if (!(schedstat >> ran_ns >> wait.wait_ns >> wait.slices)) continue;
    out[std::atoi(name.c_str() + 6)] = wait;
  }
  return out;
}

}  // namespace ringgate::tool
