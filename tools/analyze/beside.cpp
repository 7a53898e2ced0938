#include "tools/analyze/beside.hpp"

#include <fmt/core.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <vector>

#include "tools/common/gateway.hpp"

namespace ringgate::analyze {

namespace {

std::string read(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream out;
  out << file.rdbuf();
  return out.str();
}

std::vector<std::string> names_in(const std::string& path) {
  std::vector<std::string> out;
  std::error_code error;
  std::filesystem::directory_iterator at(path, error);
  while (!error && at != std::filesystem::directory_iterator()) {
    out.push_back(at->path().filename().string());
    at.increment(error);
  }
  return out;
}

// Inodes of the sockets that listen on the port. Rows of /proc/net/tcp:
// "  0: 0100007F:1EC8 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 12345 ..."
std::set<std::string> listening(std::uint16_t port) {
  std::set<std::string> out;
  const std::string wanted = fmt::format(":{:04X}", port);
  for (const char* file : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ifstream rows(file);
    for (std::string row; std::getline(rows, row);) {
      std::istringstream text(row);
      std::string number, local, remote, state, skip, inode;
      text >> number >> local >> remote >> state;
      for (int i = 0; i < 5; ++i) text >> skip;
      text >> inode;
      const bool here = local.size() > 5 && local.compare(local.size() - 5, 5, wanted) == 0;
      if (state == "0A" && here) out.insert("socket:[" + inode + "]");
    }
  }
  return out;
}

}  // namespace

int pid_of_listener(std::uint16_t port) {
  const std::set<std::string> sockets = listening(port);
  if (sockets.empty()) return 0;
  for (const std::string& name : names_in("/proc")) {
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string folder = "/proc/" + name + "/fd";
    for (const std::string& fd : names_in(folder)) {
      char target[64];
      const ssize_t size = ::readlink((folder + "/" + fd).c_str(), target, sizeof target);
      if (size <= 0) continue;
      if (sockets.count(std::string(target, static_cast<std::size_t>(size))) != 0) {
        return std::atoi(name.c_str());
      }
    }
  }
  return 0;
}

unsigned usable_cpus_of(int pid) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(pid, sizeof set, &set) != 0) return 0;
  return static_cast<unsigned>(CPU_COUNT(&set));
}

double net_value(std::string_view text, std::string_view group, std::string_view name) {
  std::istringstream rows{std::string(text)};
  std::vector<std::string> names;
  for (std::string row; std::getline(rows, row);) {
    std::istringstream words(row);
    std::string first;
    words >> first;
    if (first != group) continue;
    std::vector<std::string> columns;
    for (std::string word; words >> word;) columns.push_back(word);
    if (names.empty()) {
      names = columns;
      continue;
    }
    const auto found = std::find(names.begin(), names.end(), name);
    const auto index = static_cast<std::size_t>(found - names.begin());
    return index < columns.size() ? std::strtod(columns[index].c_str(), nullptr) : 0;
  }
  return 0;
}

std::optional<BesideSample> sample_beside(int pid) {
  BesideSample out;
  for (const auto& [number, wait] : tool::shard_waits(pid)) {
    out.shards[number] = {static_cast<double>(wait.wait_ns) / 1e9,
                          static_cast<double>(wait.slices)};
  }
  if (out.shards.empty()) return {};
  const std::string snmp = read("/proc/net/snmp");
  out.segments_out = net_value(snmp, "Tcp:", "OutSegs");
  out.segments_again = net_value(snmp, "Tcp:", "RetransSegs");
  out.listen_drops = net_value(read("/proc/net/netstat"), "TcpExt:", "ListenDrops");
  return out;
}

BesideStep between(const BesideSample& before, const BesideSample& after, double seconds) {
  BesideStep out;
  if (seconds <= 0) return out;
  for (const auto& [number, thread] : after.shards) {
    const auto earlier = before.shards.find(number);
    if (earlier == before.shards.end()) continue;
    const double waited = std::max(0.0, thread.wait_s - earlier->second.wait_s);
    const double slices = std::max(0.0, thread.slices - earlier->second.slices);
    const double share = std::min(1.0, waited / seconds);
    if (share < out.wait_share) continue;
    out.wait_share = share;
    out.wait_each_s = slices > 0 ? waited / slices : 0;
  }
  const double sent = after.segments_out - before.segments_out;
  if (sent > 0) {
    out.retransmits = std::clamp((after.segments_again - before.segments_again) / sent, 0.0, 1.0);
  }
  out.listen_drops = std::max(0.0, after.listen_drops - before.listen_drops) / seconds;
  return out;
}

}  // namespace ringgate::analyze
