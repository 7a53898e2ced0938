// Descriptors, ports, memory of sockets: the limits that a fleet meets first.
#include <fmt/core.h>

#include <algorithm>

#include "engine/base/limits.hpp"
#include "tools/doctor/checks.hpp"
#include "tools/doctor/figures.hpp"
#include "tools/doctor/text.hpp"

namespace ringgate::doctor {

namespace {

constexpr std::uint64_t page_bytes = 4096;

struct Limit {
  std::uint64_t soft = 0;
  std::uint64_t hard = 0;
};

constexpr std::uint64_t unlimited = ~0ULL;

// A row of /proc/PID/limits: "Max open files            1024                 1048576      files".
Result<Limit> read_limit(const Patient& patient, std::string_view name) {
  const std::string path = fmt::format("/proc/{}/limits", patient.process);
  const auto text = patient.machine.read(path);
  if (!text) return text.error();
  for (const std::string_view line : lines(*text)) {
    if (line.rfind(name, 0) != 0) continue;
    const auto columns = words(line.substr(name.size()));
    if (columns.size() < 2) break;
    const auto value = [](std::string_view column) -> std::optional<std::uint64_t> {
      if (column == "unlimited") return unlimited;
      const auto found = number(column);
      if (!found) return {};
      return static_cast<std::uint64_t>(*found);
    };
    const auto soft = value(columns[0]);
    const auto hard = value(columns[1]);
    if (soft && hard) return Limit{*soft, *hard};
  }
  return Error{0, fmt::format("{} has no row \"{}\"", path, name)};
}

// What the gateway will have: of a running one its own; else what the unit gives, if there is one;
// else this shell's.
Result<Limit> descriptor_limit(const Patient& patient, std::string& whose) {
  if (patient.process == "self") {
    const auto unit = unit_setting(patient.machine, "LimitNOFILE");
    const std::string_view hard =
        unit ? std::string_view(*unit).substr(unit->find(':') + 1) : std::string_view();
    if (unit && hard == "infinity") return whose = "of the unit: ", Limit{unlimited, unlimited};
    if (const auto value = number(hard); value && *value > 0) {
      whose = "of the unit: ";
      return Limit{static_cast<std::uint64_t>(*value), static_cast<std::uint64_t>(*value)};
    }
  }
  return read_limit(patient, "Max open files");
}

std::string limit_text(std::uint64_t value) {
  return value == unlimited ? "unlimited" : grouped(value);
}

// What tools/ringgate leaves for links of a limit of descriptors, and the other way round.
std::uint64_t links_of(std::uint64_t descriptors) {
  const std::uint64_t others =
      figures::descriptors_kept + descriptors / figures::upload_share;
  return descriptors > others ? descriptors - others : 0;
}

std::uint64_t descriptors_for(std::uint64_t links) {
  std::uint64_t need = (links + figures::descriptors_kept) * figures::upload_share /
                       (figures::upload_share - 1);
  while (links_of(need) < links) ++need;
  return need;
}

// The system's own limits, which stand above those of a process: raised first.
void add_system_limit(const Patient& patient, const char* path, const char* key,
                      std::uint64_t need, Finding& finding) {
  const auto value = read_number(patient.machine, path);
  if (!value) {
    finding.found += fmt::format("; {}", unreadable(path, value.error()).found);
    return;
  }
  finding.found += fmt::format("; {} {}", key, grouped(static_cast<std::uint64_t>(*value)));
  if (static_cast<std::uint64_t>(*value) >= need) return;
  finding.state = State::blocks;
  finding.cures.push_back(sysctl_cure(key, fmt::format("{}", power_of_two_from(need))));
}

}  // namespace

Finding check_nofile(const Patient& patient) {
  std::string whose;
  const auto limit = descriptor_limit(patient, whose);
  if (!limit) return unreadable(fmt::format("/proc/{}/limits", patient.process), limit.error());
  const Fleet& fleet = patient.fleet;
  const std::uint64_t need = descriptors_for(fleet.devices);
  Finding out = good(fmt::format("{}soft {}, hard {}; {} devices over TCP need {}", whose,
                                 limit_text(limit->soft), limit_text(limit->hard),
                                 grouped(fleet.devices), grouped(need)));
  add_system_limit(patient, "/proc/sys/fs/nr_open", "fs.nr_open", need, out);
  add_system_limit(patient, "/proc/sys/fs/file-max", "fs.file-max", need, out);
  const std::uint64_t room = links_of(limit->hard);
  if (limit->hard < need) {
    out.state = State::blocks;
    const std::uint64_t value = power_of_two_from(need);
    out.cures.push_back(
        unit_cure(patient.machine, "nofile", fmt::format("LimitNOFILE={}", value)));
    out.cures.push_back(words_cure(
        fmt::format("without systemd, before the start, as root: ulimit -Hn {}", value)));
  }
  if (out.state == State::blocks) {
    out.basis = Basis::arithmetic;
    out.costs = fmt::format(
        "{} of {} devices find no place: of {} descriptors a quarter is for uploads and {} are "
        "for the gateway's own files; accepting rests until others leave",
        grouped(fleet.devices - std::min(fleet.devices, room)), grouped(fleet.devices),
        limit_text(limit->hard), figures::descriptors_kept);
  }
  if (fleet.max_links != 0 && fleet.max_links < fleet.devices) {
    out.state = State::blocks;
    out.basis = Basis::arithmetic;
    out.found += fmt::format("; server.max_links {}", grouped(fleet.max_links));
    out.costs += fmt::format("{}server.max_links keeps {} devices out",
                             out.costs.empty() ? "" : "; ",
                             grouped(fleet.devices - fleet.max_links));
    out.cures.push_back(toml_cure("server.max_links", fmt::format("{}", fleet.devices)));
  }
  return out;
}

Finding check_memlock(const Patient& patient) {
  const auto limit = read_limit(patient, "Max locked memory");
  const auto tried = patient.machine.try_rings(patient.fleet.shards);
  std::string found = limit ? fmt::format("hard {}",
                                          limit->hard == unlimited
                                              ? "unlimited"
                                              : bytes_text(static_cast<double>(limit->hard)))
                            : fmt::format("limit not readable ({})", limit.error().message);
  if (tried) {
    return good(fmt::format("{}; {} ring{} opened at once", found, patient.fleet.shards,
                            patient.fleet.shards == 1 ? "" : "s"));
  }
  if (tried.error().code != ENOMEM) {
    return unknown(fmt::format("{}; no ring could be opened: see io_uring", found));
  }
  Finding out;
  out.state = State::blocks;
  out.basis = Basis::measured;
  out.found = fmt::format("{}; opening {} rings fails", found, patient.fleet.shards);
  out.costs = fmt::format("the gateway does not start with {} shards: the kernel counts rings "
                          "against locked memory", patient.fleet.shards);
  out.cures.push_back(unit_cure(patient.machine, "memlock", "LimitMEMLOCK=infinity"));
  out.cures.push_back(
      words_cure("without systemd, before the start, as root: ulimit -Hl unlimited"));
  return out;
}

Finding check_backlog(const Patient& patient) {
  const std::string path = "/proc/sys/net/core/somaxconn";
  const auto somaxconn = read_number(patient.machine, path);
  if (!somaxconn) return unreadable(path, somaxconn.error());
  const auto cap = static_cast<std::uint64_t>(*somaxconn);
  std::uint64_t asked = 0;
  std::string who = "no listener";
  for (const Listener& listener : patient.fleet.listeners) {
    if (listener.backlog > asked) {
      asked = listener.backlog;
      who = listener.section + ".backlog";
    }
  }
  Finding out = good(fmt::format("net.core.somaxconn {}; {} asks for {}", grouped(cap), who,
                                 grouped(asked)));
  if (cap >= asked) return out;
  const std::uint64_t shards = patient.fleet.shards;
  const std::uint64_t devices = patient.fleet.devices;
  out.state = State::costs;
  out.basis = Basis::arithmetic;
  out.costs = fmt::format(
      "{} shards let {} connections wait, not {}: of {} devices that come back at once, those "
      "that find no place are not answered and ask again after 1, 3 and 7 s",
      shards, grouped(shards * cap), grouped(shards * asked), grouped(devices));
  out.cures.push_back(sysctl_cure("net.core.somaxconn", fmt::format("{}", asked)));
  return out;
}

Finding check_port_range(const Patient& patient) {
  const std::string path = "/proc/sys/net/ipv4/ip_local_port_range";
  const auto range = read_numbers(patient.machine, path, 2);
  if (!range) return unreadable(path, range.error());
  const std::int64_t low = range->front();
  const std::int64_t high = range->back();
  if (low < 1 || high < low) return unknown(fmt::format("{} says {} {}", path, low, high));
  const auto ports = static_cast<std::uint64_t>(high - low + 1);
  Finding out = good(fmt::format("{} to {}: {} ports for each pair of addresses", low, high,
                                 grouped(ports)));
  for (const Listener& listener : patient.fleet.listeners) {
    for (const std::uint16_t port : listener.ports) {
      if (port < low || port > high) continue;
      out.state = State::costs;
      out.basis = Basis::documented;
      out.costs += fmt::format("port {} of {} lies in the range: whatever connects outwards may "
                               "hold it when the gateway starts. ", port, listener.section);
      out.cures.push_back(
          sysctl_cure("net.ipv4.ip_local_reserved_ports", fmt::format("{}", port)));
    }
  }
  if (patient.fleet.devices > ports) {
    out.state = State::costs;
    out.basis = Basis::arithmetic;
    out.costs += fmt::format(
        "a load generator on this machine that uses one source address stops at {} of {} devices; "
        "the gateway itself is not touched", grouped(ports), grouped(patient.fleet.devices));
    out.cures.push_back(sysctl_cure("net.ipv4.ip_local_port_range", "1024 65535"));
    out.cures.push_back(words_cure("or let ringgate-load spread its devices over several source "
                                   "addresses"));
  }
  return out;
}

Finding check_tcp_memory(const Patient& patient) {
  const std::string path = "/proc/sys/net/ipv4/tcp_mem";
  const auto pages = read_numbers(patient.machine, path, 3);
  if (!pages) return unreadable(path, pages.error());
  const auto pressure = static_cast<std::uint64_t>((*pages)[1]) * page_bytes;
  const auto maximum = static_cast<std::uint64_t>((*pages)[2]) * page_bytes;
  const std::uint64_t devices = std::max<std::uint64_t>(1, patient.fleet.devices);
  const std::uint64_t need = devices * figures::socket_bytes_in_use;
  Finding out = good(fmt::format(
      "pressure from {}, at most {}; {} links with data both ways hold {}",
      bytes_text(static_cast<double>(pressure)), bytes_text(static_cast<double>(maximum)),
      grouped(devices), bytes_text(static_cast<double>(need))));
  if (pressure >= need) return out;
  out.state = State::costs;
  out.basis = Basis::arithmetic;
  out.costs = fmt::format(
      "when more than {} of {} links have data under way at once, the kernel shrinks windows; "
      "beyond {} it drops segments",
      grouped(pressure / figures::socket_bytes_in_use), grouped(devices),
      grouped(maximum / figures::socket_bytes_in_use));
  const std::uint64_t wanted = power_of_two_from(need / page_bytes);
  out.cures.push_back(sysctl_cure("net.ipv4.tcp_mem", fmt::format("{} {} {}", wanted / 2, wanted,
                                                                  wanted * 2)));
  return out;
}

namespace {

// Datagrams: all devices of a shard share one socket.
void look_at_datagrams(const Patient& patient, std::uint64_t rmem_max, Finding& out) {
  const bool any = std::any_of(patient.fleet.listeners.begin(), patient.fleet.listeners.end(),
                               [](const Listener& listener) { return listener.datagrams; });
  if (!any) return;
  const auto held = patient.machine.datagrams_held(static_cast<int>(
      std::min<std::uint64_t>(figures::datagram_socket_bytes, rmem_max)));
  if (held) {
    out.found += fmt::format("; a UDP socket of this size holds {} reports", grouped(*held));
  }
  if (rmem_max >= figures::datagram_socket_bytes) return;
  out.state = State::costs;
  const double per_shard = patient.fleet.messages_per_s() / patient.fleet.shards;
  if (held && per_shard > 0) {
    out.basis = Basis::measured;
    out.costs = fmt::format(
        "if {} devices report over UDP, {:.0f}/s a shard, its socket overflows when the shard is "
        "busy with something else for {}; what comes then is lost and sent again",
        grouped(patient.fleet.devices), per_shard, time_text(*held / per_shard * 1e9));
  } else {
    out.basis = Basis::arithmetic;
    out.costs = fmt::format("UDP sockets get {} of the {} that the gateway asks for",
                            bytes_text(static_cast<double>(rmem_max)),
                            bytes_text(static_cast<double>(figures::datagram_socket_bytes)));
  }
  out.cures.push_back(
      sysctl_cure("net.core.rmem_max", fmt::format("{}", figures::datagram_socket_bytes)));
}

void look_at_key(const Listener& listener, std::string_view leaf, std::uint64_t asked,
                 std::string_view sysctl, std::uint64_t cap, Finding& out) {
  if (asked <= cap) return;
  out.state = State::costs;
  out.basis = out.basis == Basis::none ? Basis::arithmetic : out.basis;
  out.costs += fmt::format("{}{}.{} asks for {}, {} allows {}", out.costs.empty() ? "" : "; ",
                           listener.section, leaf, bytes_text(static_cast<double>(asked)), sysctl,
                           bytes_text(static_cast<double>(cap)));
  out.cures.push_back(sysctl_cure(sysctl, fmt::format("{}", asked)));
}

}  // namespace

Finding check_socket_buffers(const Patient& patient) {
  const std::string rmem_path = "/proc/sys/net/core/rmem_max";
  const std::string wmem_path = "/proc/sys/net/core/wmem_max";
  const auto rmem = read_number(patient.machine, rmem_path);
  if (!rmem) return unreadable(rmem_path, rmem.error());
  const auto wmem = read_number(patient.machine, wmem_path);
  if (!wmem) return unreadable(wmem_path, wmem.error());
  const auto rmem_max = static_cast<std::uint64_t>(*rmem);
  const auto wmem_max = static_cast<std::uint64_t>(*wmem);
  Finding out = good(fmt::format("rmem_max {}, wmem_max {}",
                                 bytes_text(static_cast<double>(rmem_max)),
                                 bytes_text(static_cast<double>(wmem_max))));
  look_at_datagrams(patient, rmem_max, out);
  for (const Listener& listener : patient.fleet.listeners) {
    look_at_key(listener, "receive_buffer", listener.receive_buffer, "net.core.rmem_max", rmem_max,
                out);
    look_at_key(listener, "send_buffer", listener.send_buffer, "net.core.wmem_max", wmem_max, out);
  }
  return out;
}

Finding check_conntrack(const Patient& patient) {
  const std::string path = "/proc/sys/net/netfilter/nf_conntrack_max";
  const auto maximum = read_number(patient.machine, path);
  if (!maximum && is_absent_in(patient.machine, "/proc/sys/net", maximum.error())) {
    return good("connections are not tracked");
  }
  if (!maximum) return unreadable(path, maximum.error());
  const auto room = static_cast<std::uint64_t>(*maximum);
  const auto used = read_number(patient.machine, "/proc/sys/net/netfilter/nf_conntrack_count");
  const std::uint64_t others = used ? static_cast<std::uint64_t>(*used) : 0;
  const std::uint64_t devices = patient.fleet.devices;
  Finding out = good(fmt::format("{} entries, {} in use; {} devices take one each", grouped(room),
                                 used ? grouped(others) : "an unknown number", grouped(devices)));
  // A machine in service has its devices among those in use: the larger of the two is the need.
  const std::uint64_t need = std::max(devices + devices / 4, others + others / 4);
  if (room >= need) return out;
  out.state = room < devices ? State::blocks : State::costs;
  out.basis = Basis::arithmetic;
  out.costs = fmt::format(
      "{} of {} devices are dropped when they connect (\"nf_conntrack: table full\"); room for a "
      "fleet with a quarter of reserve costs {}",
      grouped(devices - std::min(devices, room)), grouped(devices),
      bytes_text(static_cast<double>(need * figures::conntrack_entry_bytes)));
  out.cures.push_back(sysctl_cure("net.netfilter.nf_conntrack_max",
                                  fmt::format("{}", power_of_two_from(need))));
  return out;
}

}  // namespace ringgate::doctor
