// The data directory: what it lies on, what fits, how long a durable write takes.
#include <fmt/core.h>

#include <algorithm>

#include "tools/doctor/checks.hpp"
#include "tools/doctor/figures.hpp"
#include "tools/doctor/text.hpp"

namespace ringgate::doctor {

namespace {

struct Mount {
  std::string point;
  std::string type;
  std::string device;
  std::string options;
};

// /proc/self/mountinfo writes blanks as \040.
std::string unescaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    int code = 0;
    bool octal = text[i] == '\\' && i + 3 < text.size();
    for (std::size_t digit = 1; octal && digit <= 3; ++digit) {
      octal = text[i + digit] >= '0' && text[i + digit] <= '7';
      code = code * 8 + (text[i + digit] - '0');
    }
    out += octal ? static_cast<char>(code) : text[i];
    i += octal ? 3 : 0;
  }
  return out;
}

// The mount that a directory lies on: the longest mount point before it, the last of equals.
// "36 35 98:0 /mnt1 /mnt2 rw,noatime shared:1 - ext3 /dev/root rw,errors=continue"
Result<Mount> mount_of(const Patient& patient, const std::string& directory) {
  const auto text = patient.machine.read("/proc/self/mountinfo");
  if (!text) return text.error();
  Mount best;
  for (const std::string_view line : lines(*text)) {
    const auto parts = words(line);
    const auto dash = std::find(parts.begin(), parts.end(), "-");
    if (parts.size() < 6 || parts.end() - dash < 4) continue;
    const std::string point = unescaped(parts[4]);
    const bool before = directory == point || point == "/" ||
                        (directory.rfind(point, 0) == 0 && directory[point.size()] == '/');
    if (!before || point.size() < best.point.size()) continue;
    best = {point, std::string(dash[1]), std::string(dash[2]),
            fmt::format("{},{}", parts[5], dash[3])};
  }
  if (best.point.empty()) return Error{0, "/proc/self/mountinfo has no mount for it"};
  return best;
}

// The directory, or the nearest above it that is there: the gateway makes the rest.
std::string existing(Machine& machine, std::string directory) {
  while (directory.size() > 1) {
    if (machine.space(directory)) return directory;
    const std::size_t slash = directory.rfind('/');
    directory.resize(slash == std::string::npos || slash == 0 ? 1 : slash);
  }
  return "/";
}

bool among(std::string_view text, std::initializer_list<std::string_view> all) {
  return std::find(all.begin(), all.end(), text) != all.end();
}

std::string size(double bytes) { return bytes_text(bytes); }

}  // namespace

Finding check_filesystem(const Patient& patient) {
  const auto mount = mount_of(patient, patient.fleet.data_dir);
  if (!mount) return unreadable("/proc/self/mountinfo", mount.error());
  Finding out = good(fmt::format("{} on {} ({}) for {}", mount->type, mount->device, mount->point,
                                 patient.fleet.data_dir));
  const std::string flags = "," + mount->options + ",";
  const auto say = [&](State state, std::string_view words, std::string cure) {
    out.state = std::max(out.state, state);
    out.basis = Basis::documented;
    out.costs += fmt::format("{}{}", out.costs.empty() ? "" : "; ", words);
    out.cures.push_back(words_cure(std::move(cure)));
  };
  const std::string elsewhere = "put server.data_dir on ext4 or XFS of a local disk";
  if (among(mount->type, {"tmpfs", "ramfs"})) {
    say(State::blocks, "it is memory: nothing that was acknowledged outlives the machine",
        elsewhere);
  } else if (among(mount->type, {"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "ceph"})) {
    say(State::costs, "every acknowledgement waits for the network and a server; when the server "
        "is away, none leaves", elsewhere);
  } else if (mount->type == "overlay") {
    say(State::costs, "the layer of a container ends with it", "give the container a volume for "
        "server.data_dir (docker run -v ringgate:/var/lib/ringgate)");
  } else if (mount->type == "btrfs") {
    say(State::costs, "every overwritten block is written anew elsewhere: durable writes cost "
        "several, and files fall to pieces",
        "chattr +C on the empty data directory, before the first start");
  } else if (!among(mount->type, {"ext4", "xfs"})) {
    say(State::costs, fmt::format("{} is not among those that were measured (ext4, XFS): see "
        "disk_speed", mount->type), elsewhere);
  }
  if (flags.find(",ro,") != std::string::npos) {
    say(State::blocks, "it is read-only: the gateway does not start",
        fmt::format("mount -o remount,rw {}", mount->point));
  }
  if (flags.find(",sync,") != std::string::npos) {
    say(State::costs, "mounted sync: writes that nobody waits for are waited for, too",
        fmt::format("mount -o remount,async {}", mount->point));
  }
  if (flags.find(",nobarrier,") != std::string::npos ||
      flags.find(",barrier=0,") != std::string::npos) {
    say(State::blocks, "without barriers a durable write is none: a power cut loses what was "
        "acknowledged", fmt::format("mount -o remount,barrier {}", mount->point));
  }
  return out;
}

Finding check_disk_space(const Patient& patient) {
  const Fleet& fleet = patient.fleet;
  const std::string directory = existing(patient.machine, fleet.data_dir);
  const auto space = patient.machine.space(directory);
  if (!space) return unreadable(directory, space.error());
  const auto free = static_cast<double>(space->free_bytes);
  const double per_s = fleet.messages_per_s() * figures::record_bytes;
  const double segments =
      static_cast<double>(fleet.segment_bytes) * 2 * static_cast<double>(fleet.shards);
  const auto kept = static_cast<double>(fleet.retention_bytes);
  const auto hard = static_cast<double>(
      fleet.retention_hard_bytes != 0 ? fleet.retention_hard_bytes : 2 * fleet.retention_bytes);
  Finding out = good(fmt::format("{} free of {}; {} devices log {}/s", size(free),
                                 size(static_cast<double>(space->total_bytes)),
                                 grouped(fleet.devices), size(per_s)));
  const std::string full_in = per_s > 0 ? time_text(free / per_s * 1e9) : "a long time";
  if (free < segments) {
    out.state = State::blocks;
    out.basis = Basis::arithmetic;
    out.costs = fmt::format("{} shards need {} for the segment they write and the next",
                            fleet.shards, size(segments));
    out.cures.push_back(words_cure(fmt::format("make room in {}", directory)));
    return out;
  }
  if (kept == 0) {
    out.found += fmt::format("; nothing is ever removed (log.retention_bytes 0B): full in {}, "
                             "before compression", full_in);
    if (per_s <= 0 || free / per_s > 30.0 * 86400) return out;
    out.state = State::costs;
    out.costs = "then devices are refused";
  } else if (free < hard) {
    // The log may already be there: what it holds counts as free for it, and is not known here.
    out.found += fmt::format("; the log may grow to {} (hard {})", size(kept), size(hard));
    if (free >= kept) return out;
    out.state = State::costs;
    out.costs = fmt::format("if the log is new, the disk is full in {}, before retention begins",
                            full_in);
  } else {
    out.found += fmt::format("; the log keeps {}, {}", size(kept),
                             per_s > 0 ? time_text(kept / per_s * 1e9) : "all");
    return out;
  }
  out.basis = Basis::arithmetic;
  const double wanted = std::max(segments, std::min(free * 0.7, free - segments));
  out.cures.push_back(toml_cure("log.retention_bytes",
                                fmt::format("\"{:.0f}MiB\"", wanted / (1 << 20))));
  return out;
}

Finding check_disk_speed(const Patient& patient) {
  const Fleet& fleet = patient.fleet;
  const std::string directory = existing(patient.machine, fleet.data_dir);
  const auto half = [&](double done) { patient.progress(done / 2); };
  const auto rest = [&](double done) { patient.progress(0.5 + done / 2); };
  const auto small =
      patient.machine.time_writes(directory, 4096, figures::disk_time_ns, half);
  if (!small) return unknown(small.error().message);
  const auto large =
      patient.machine.time_writes(directory, 65536, figures::disk_time_ns, rest);
  if (!large) return unknown(large.error().message);
  const double shard_bytes = 65536 / std::max(large->p50_ns, 1.0) * 1e9;
  const double need = fleet.messages_per_s() * figures::record_bytes / fleet.shards;
  Finding out = good(fmt::format(
      "4 KiB p50 {}, p99 {}; 64 KiB p50 {}, p99 {} ({} writes{})", time_text(small->p50_ns),
      time_text(small->p99_ns), time_text(large->p50_ns), time_text(large->p99_ns),
      grouped(small->count + large->count), small->direct ? "" : ", not O_DIRECT"));
  const auto say = [&](State state, std::string words) {
    out.state = std::max(out.state, state);
    out.basis = Basis::measured;
    out.costs += fmt::format("{}{}", out.costs.empty() ? "" : "; ", words);
  };
  if (!small->direct) {
    say(State::costs, "O_DIRECT is refused here: writes go through the page cache, with fdatasync "
                      "behind each");
  }
  if (small->p99_ns > figures::commit_p99_ns_max) {
    say(State::costs, fmt::format("one reply in a hundred waits {} or more for its write and the "
                                  "one before it", time_text(2 * small->p99_ns)));
  }
  const double share = need / shard_bytes;
  if (share > figures::disk_share_max) {
    say(share > 1 ? State::blocks : State::costs,
        fmt::format("{} devices make {}/s a shard; writes of 64 KiB carry {}/s: {:.0f} %",
                    grouped(fleet.devices), size(need), size(shard_bytes), share * 100));
  }
  if (out.state != State::good) {
    out.cures.push_back(words_cure("put server.data_dir on a faster disk: NVMe, or one with a "
                                   "write cache that outlives a power cut"));
  }
  return out;
}

}  // namespace ringgate::doctor
