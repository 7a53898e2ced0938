#include "tools/doctor/fleet.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <spawn.h>
#include <sys/auxv.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <unordered_map>

#include "engine/config/listen_address.hpp"
#include "engine/config/toml_file.hpp"
#include "engine/config/units.hpp"
#include "tools/doctor/figures.hpp"
#include "tools/doctor/text.hpp"

namespace ringgate::doctor {

namespace {

// The entries of a configuration by their path.
class Values {
 public:
  explicit Values(const config::TomlEntry& top) { add(top); }

  bool has(const std::string& path) const { return entries_.count(path) != 0; }
  std::int64_t integer(const std::string& path) {
    const config::TomlEntry* entry = find(path, config::TomlEntry::Kind::integer);
    return entry == nullptr ? 0 : entry->integer;
  }
  bool boolean(const std::string& path) {
    const config::TomlEntry* entry = find(path, config::TomlEntry::Kind::boolean);
    return entry != nullptr && entry->boolean;
  }
  std::string text(const std::string& path) {
    const config::TomlEntry* entry = find(path, config::TomlEntry::Kind::text);
    return entry == nullptr ? std::string() : entry->text;
  }
  std::uint64_t size(const std::string& path) {
    const auto bytes = config::parse_size(text(path));
    if (!bytes) missing_ = missing_.empty() ? path : missing_;
    return bytes ? static_cast<std::uint64_t>(*bytes) : 0;
  }
  std::vector<std::string> list(const std::string& path) {
    std::vector<std::string> out;
    const config::TomlEntry* entry = find(path, config::TomlEntry::Kind::list);
    if (entry == nullptr) return out;
    for (const config::TomlEntry& child : entry->children) out.push_back(child.text);
    return out;
  }
  std::vector<std::string> sections() const { return sections_; }
  const std::string& missing() const { return missing_; }  // the first; empty: all were there

 private:
  void add(const config::TomlEntry& entry) {
    entries_[entry.path] = &entry;
    if (entry.kind != config::TomlEntry::Kind::table) return;
    if (!entry.path.empty()) sections_.push_back(entry.path);
    for (const config::TomlEntry& child : entry.children) add(child);
  }
  const config::TomlEntry* find(const std::string& path, config::TomlEntry::Kind kind) {
    const auto found = entries_.find(path);
    if (found != entries_.end() && found->second->kind == kind) return found->second;
    if (missing_.empty()) missing_ = path;
    return nullptr;
  }

  std::unordered_map<std::string, const config::TomlEntry*> entries_;
  std::vector<std::string> sections_;
  std::string missing_;
};

// Whatever section has a backlog listens.
void add_listeners(Values& values, Fleet& fleet) {
  for (const std::string& section : values.sections()) {
    if (!values.has(section + ".backlog")) continue;
    std::vector<std::string> addresses = values.list(section + ".listen");
    for (std::string& one : values.list(section + ".tls_listen")) {
      addresses.push_back(std::move(one));
    }
    if (addresses.empty()) continue;
    Listener listener;
    listener.section = section;
    for (const std::string& text : addresses) {
      const auto address = config::parse_listen_address(text);
      if (address && address->port() != 0) listener.ports.push_back(address->port());
    }
    listener.backlog = static_cast<std::uint32_t>(values.integer(section + ".backlog"));
    listener.datagrams = values.has(section + ".udp") && values.boolean(section + ".udp");
    listener.receive_buffer = values.size(section + ".receive_buffer");
    listener.send_buffer = values.size(section + ".send_buffer");
    fleet.listeners.push_back(std::move(listener));
  }
}

}  // namespace

Result<Fleet> fleet_of_config(const std::string& printed, unsigned usable_cpus) {
  const auto top = config::parse_toml(printed, "the gateway's --print-config");
  if (!top) return Error{0, top.error().text()};
  Values values(*top);
  Fleet fleet;
  fleet.rate = figures::rate_default;
  fleet.shards = static_cast<unsigned>(values.integer("server.shards"));
  if (fleet.shards == 0) fleet.shards = std::max(1U, usable_cpus);
  fleet.pin = values.boolean("server.pin");
  fleet.data_dir = values.text("server.data_dir");
  fleet.max_links = static_cast<std::uint64_t>(values.integer("server.max_links"));
  fleet.memory_limit = values.size("memory.limit");
  fleet.segment_bytes = values.size("log.segment_size");
  fleet.retention_bytes = values.size("log.retention_bytes");
  fleet.retention_hard_bytes = values.size("log.retention_hard_bytes");
  if (values.has("engine.without")) fleet.without = values.list("engine.without");
  add_listeners(values, fleet);
  if (!values.missing().empty()) {
    return Error{0, fmt::format("the gateway's --print-config has no {}: it is of another version "
                                "than this program", values.missing())};
  }
  fleet.devices = fleet.max_links != 0 ? fleet.max_links : figures::devices_default;
  fleet.devices_from = fleet.max_links != 0 ? "server.max_links" : "assumed; --devices says it";
  return fleet;
}

namespace {

// Beside this program (build/bin, /usr/bin), or where the build puts it; else by PATH.
std::string gateway_program() {
  char path[4096];
  const ssize_t size = ::readlink("/proc/self/exe", path, sizeof path);
  std::string own(path, static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  // Where there is no /proc: what this program was started by.
  const auto* started = reinterpret_cast<const char*>(::getauxval(AT_EXECFN));
  if (own.empty() && started != nullptr) own = started;
  if (own.find('/') == std::string::npos) return "ringgate";
  const std::string folder = own.substr(0, own.rfind('/'));
  for (const char* beside : {"/ringgate", "/../ringgate/ringgate"}) {
    const std::string candidate = folder + beside;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return "ringgate";
}

std::string read_all(int fd) {
  std::string out;
  char part[8192];
  for (;;) {
    const ssize_t got = ::read(fd, part, sizeof part);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return out;
    out.append(part, static_cast<std::size_t>(got));
  }
}

}  // namespace

Result<std::string> printed_config(const ConfigCall& call) {
  std::vector<std::string> arguments = {call.program.empty() ? gateway_program() : call.program,
                                        "--print-config"};
  for (const std::string& file : call.files) arguments.insert(arguments.end(), {"--config", file});
  for (const std::string& set : call.sets) arguments.insert(arguments.end(), {"--set", set});
  std::vector<char*> raw;
  for (std::string& argument : arguments) raw.push_back(argument.data());
  raw.push_back(nullptr);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return errno_error(errno, "pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  pid_t child = 0;
  const int error = posix_spawnp(&child, raw[0], &actions, nullptr, raw.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  if (error != 0) {
    ::close(ends[0]);
    return errno_error(error, fmt::format("cannot ask {} for its configuration (--gateway names "
                                          "another)", arguments[0]));
  }
  std::string text = read_all(ends[0]);
  ::close(ends[0]);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return Error{0, fmt::format("{} --print-config failed: see above", arguments[0])};
  }
  return text;
}

std::vector<int> shard_cpus(const Fleet& fleet, const std::vector<int>& usable) {
  std::vector<int> out = usable;
  if (out.size() > fleet.shards) out.resize(fleet.shards);
  return out;
}

}  // namespace ringgate::doctor
