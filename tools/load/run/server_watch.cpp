#include "tools/load/run/server_watch.hpp"

#include <arpa/inet.h>
#include <dirent.h>
#include <fmt/core.h>
#include <ifaddrs.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>

#include "tools/common/gateway.hpp"
#include "tools/common/sockets.hpp"
#include "tools/load/server_probe.hpp"

namespace ringgate::load {
namespace {

bool is_digits(const char* text) {
  return *text != 0 && std::strspn(text, "0123456789") == std::strlen(text);
}

bool is_own_address(const tool::SocketAddress& address) {
  if (address.address.ss_family == AF_INET) {
    const auto* in = reinterpret_cast<const sockaddr_in*>(&address.address);
    if ((ntohl(in->sin_addr.s_addr) >> 24) == 127) return true;
  }
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return false;
  bool found = false;
  for (const ifaddrs* one = list; one != nullptr && !found; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != address.address.ss_family) continue;
    if (one->ifa_addr->sa_family == AF_INET) {
      found = reinterpret_cast<const sockaddr_in*>(one->ifa_addr)->sin_addr.s_addr ==
              reinterpret_cast<const sockaddr_in*>(&address.address)->sin_addr.s_addr;
    } else if (one->ifa_addr->sa_family == AF_INET6) {
      found = std::memcmp(&reinterpret_cast<const sockaddr_in6*>(one->ifa_addr)->sin6_addr,
                          &reinterpret_cast<const sockaddr_in6*>(&address.address)->sin6_addr,
                          sizeof(in6_addr)) == 0;
    }
  }
  freeifaddrs(list);
  return found;
}

// Inodes of sockets on the port, in the state: 0A listens (TCP), 07 is bound (UDP).
void add_inodes(const char* table, unsigned port, const char* state, std::set<std::string>& out) {
  std::ifstream file(table);
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string number, local, remote, is_state, queues, timer, retransmits, uid, timeout, inode;
    fields >> number >> local >> remote >> is_state >> queues >> timer >> retransmits >> uid >>
        timeout >> inode;
    const std::size_t colon = local.rfind(':');
    if (colon == std::string::npos || is_state != state || inode == "0") continue;
    if (std::strtoul(local.c_str() + colon + 1, nullptr, 16) == port) out.insert(inode);
  }
}

bool holds_socket(const std::string& process, const std::set<std::string>& inodes) {
  const std::string folder = process + "/fd";
  const std::unique_ptr<DIR, int (*)(DIR*)> fds{opendir(folder.c_str()), closedir};
  if (!fds) return false;
  char target[64];
  while (const dirent* entry = readdir(fds.get())) {
    const ssize_t size =
        readlink((folder + "/" + entry->d_name).c_str(), target, sizeof target - 1);
    if (size <= 9) continue;
    target[size - 1] = 0;  // socket:[123]
    if (std::strncmp(target, "socket:[", 8) == 0 && inodes.contains(target + 8)) return true;
  }
  return false;
}

// Voluntary and involuntary switches of all threads.
std::uint64_t context_switches(int pid) {
  const std::string tasks = fmt::format("/proc/{}/task", pid);
  const std::unique_ptr<DIR, int (*)(DIR*)> directory{opendir(tasks.c_str()), closedir};
  std::uint64_t sum = 0;
  while (const dirent* entry = directory ? readdir(directory.get()) : nullptr) {
    if (!is_digits(entry->d_name)) continue;
    std::ifstream status(fmt::format("{}/{}/status", tasks, entry->d_name));
    std::string line;
    while (std::getline(status, line)) {
      const std::size_t at = line.find("voluntary_ctxt_switches:");
      if (at == 0 || at == 3) sum += std::strtoull(line.c_str() + at + 24, nullptr, 10);
    }
  }
  return sum;
}

}  // namespace

Result<int> listener_pid(const std::string& host_port, bool udp) {
  const Result<tool::SocketAddress> address = tool::resolve_address(host_port, "target");
  if (!address.ok()) return address.error();
  if (!is_own_address(*address)) {
    return Error{0, fmt::format("{} is another host: its CPU and memory are not watched",
                                host_port)};
  }
  const unsigned port = ntohs(reinterpret_cast<const sockaddr_in*>(&address->address)->sin_port);
  std::set<std::string> inodes;
  for (const char* version : {"", "6"}) {
    add_inodes(fmt::format("/proc/net/{}{}", udp ? "udp" : "tcp", version).c_str(), port,
               udp ? "07" : "0A", inodes);
  }
  if (inodes.empty()) {
    return Error{0, fmt::format("nobody listens on {} ({})", host_port, udp ? "UDP" : "TCP")};
  }
  const std::unique_ptr<DIR, int (*)(DIR*)> processes{opendir("/proc"), closedir};
  while (const dirent* entry = processes ? readdir(processes.get()) : nullptr) {
    if (!is_digits(entry->d_name)) continue;
    if (holds_socket(fmt::format("/proc/{}", entry->d_name), inodes)) {
      return std::atoi(entry->d_name);
    }
  }
  return Error{0, fmt::format("who listens on {} is not to be seen by this user: run as the same "
                              "user or as root, or set target.server_pid", host_port)};
}

Result<int> server_pid_of(const Target& target) {
  struct Place {
    std::string address;
    bool udp;
  };
  std::vector<Place> places{{target.jt808, false}, {target.jt808_tls, false},
                            {target.jt808_udp, true}, {target.http, false}};
  if (!target.chaos.empty() && !target.http.empty()) places = {{target.http, false}};
  Error first{0, {}};
  for (const Place& place : places) {
    if (place.address.empty()) continue;
    Result<int> found = listener_pid(place.address, place.udp);
    if (found.ok()) return found;
    if (first.message.empty()) first = found.error();
  }
  return first;
}

std::optional<ServerSample> ServerWatch::sample(MonoNs since_start) const {
  const Result<std::int64_t> cpu = server_cpu_ns(pid_);
  if (!cpu.ok()) return std::nullopt;
  ServerSample out;
  out.at_ns = since_start;
  out.cpu_ns = *cpu;
  std::ifstream statm(fmt::format("/proc/{}/statm", pid_));
  std::uint64_t size_pages = 0;
  std::uint64_t resident_pages = 0;
  statm >> size_pages >> resident_pages;
  if (resident_pages == 0) return std::nullopt;  // it has ended, and its parent does not know yet
  out.rss_bytes = resident_pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  out.context_switches = context_switches(pid_);
  for (const auto& [number, wait] : tool::shard_waits(pid_)) out.shards.push_back(wait);
  return out;
}

std::string ServerWatch::command_line() const {
  std::ifstream file(fmt::format("/proc/{}/cmdline", pid_), std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  while (!text.empty() && text.back() == 0) text.pop_back();
  for (char& c : text) {
    if (c == 0) c = ' ';
  }
  return text;
}

}  // namespace ringgate::load
