// The kernel's version and what its io_uring does.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "engine/io/feature_names.hpp"
#include "engine/io/ring.hpp"
#include "tools/doctor/checks.hpp"
#include "tools/doctor/text.hpp"

namespace ringgate::doctor {

namespace {

using Version = std::array<std::int64_t, 3>;

// "6.1.0-18-amd64" is {6, 1, 0}; nullopt: it starts with no two numbers.
std::optional<Version> version_of(std::string_view release) {
  Version out{};
  std::size_t at = 0;
  for (std::size_t part = 0; part < out.size(); ++part) {
    const std::size_t end = std::min(release.find_first_not_of("0123456789", at), release.size());
    const auto value = number(release.substr(at, end - at));
    if (!value) return part >= 2 ? std::optional(out) : std::nullopt;
    out[part] = *value;
    if (end >= release.size() || release[end] != '.') {
      return part >= 1 ? std::optional(out) : std::nullopt;
    }
    at = end + 1;
  }
  return out;
}

// Kernels from `first` on and before `fixed` that have a bug which matters here.
struct Known {
  Version first;
  Version fixed;
  State state;
  std::string_view what;
};

// Distributions mend bugs without changing these numbers: where the third number is 0, the range is
// what upstream released.
constexpr Known known[] = {
    {{6, 1, 7}, {6, 1, 8}, State::costs,
     "receives take whole pools of buffers at once (liburing #778): receive buffers run short"},
    {{6, 1, 0}, {6, 8, 0}, State::costs,
     "one busy link may starve others of its shard, as multishot receives have no cap "
     "(liburing #1043)"},
    {{6, 1, 0}, {6, 12, 0}, State::costs,
     "durable writes to ext4 may go through kernel threads: some 20 us of CPU more for each"},
    {{6, 6, 0}, {6, 6, 18}, State::blocks,
     "multishot accepts may return descriptors that are none (liburing #1062)"},
    {{6, 7, 0}, {6, 7, 6}, State::blocks,
     "multishot accepts may return descriptors that are none (liburing #1062)"},
    {{6, 13, 11}, {6, 14, 9}, State::costs,
     "received bundles come out of order (liburing #1409): the gateway does without, which costs "
     "up to three times the CPU on streams of 16 KiB"},
};

}  // namespace

Finding check_kernel(const Patient& patient) {
  const auto release = patient.machine.kernel_release();
  if (!release) return unknown(release.error().message);
  const auto version = version_of(*release);
  if (!version) return unknown(fmt::format("\"{}\" is no version of a kernel", *release));
  Finding out = good(*release);
  if (*version < Version{6, 1, 0}) {
    out.state = State::blocks;
    out.basis = Basis::documented;
    out.costs = "the gateway needs what Linux 6.1 brought: provided buffers, multishot receives";
    out.cures.push_back(words_cure("install Linux 6.1 or newer; 6.12 is better"));
    return out;
  }
  for (const Known& bug : known) {
    if (*version < bug.first || !(*version < bug.fixed)) continue;
    out.state = std::max(out.state, bug.state);
    out.costs += fmt::format("{}{}", out.costs.empty() ? "" : "; ", bug.what);
  }
  if (out.state == State::good) return out;
  out.basis = Basis::documented;
  out.cures.push_back(words_cure("install Linux 6.12 or newer, but none from 6.13.11 to 6.14.8"));
  return out;
}

namespace {

// What the sysctl says: 0 anybody, 1 members of a group and CAP_SYS_ADMIN, 2 nobody.
std::string disabled_text(Machine& machine, std::optional<std::int64_t>& value) {
  const std::string path = "/proc/sys/kernel/io_uring_disabled";
  const auto read = read_number(machine, path);
  if (read) {
    value = *read;
    return fmt::format("kernel.io_uring_disabled {}", *read);
  }
  return is_absent(read.error()) ? "no sysctl kernel.io_uring_disabled"
                                 : unreadable(path, read.error()).found;
}

// The mode of /proc/PID/status: 0 none, 2 a filter.
std::string seccomp_text(const Patient& patient) {
  const auto text = patient.machine.read(fmt::format("/proc/{}/status", patient.process));
  if (!text) return "seccomp unknown";
  for (const std::string_view line : lines(*text)) {
    if (line.rfind("Seccomp:", 0) == 0) {
      const auto mode = number(line.substr(8));
      if (mode == 0) return "no seccomp filter";
      return "a seccomp filter is in force";
    }
  }
  return "seccomp unknown";
}

}  // namespace

Finding check_io_uring(const Patient& patient) {
  std::optional<std::int64_t> disabled;
  const std::string sysctl = disabled_text(patient.machine, disabled);
  const std::string seccomp = seccomp_text(patient);
  const auto tried = patient.machine.try_rings(1);
  if (tried) {
    Finding out = good(fmt::format("a ring opened; {}; {}", sysctl, seccomp));
    if (disabled.value_or(0) == 0) return out;
    out.state = State::costs;
    out.basis = Basis::documented;
    out.costs = "only this user may: a gateway that runs as another user is refused";
    out.cures.push_back(sysctl_cure("kernel.io_uring_disabled", "0"));
    return out;
  }
  Finding out;
  out.state = State::blocks;
  out.basis = Basis::measured;
  out.found = fmt::format("no ring opens; {}; {}", sysctl, seccomp);
  out.costs = fmt::format("the gateway does not start: {}", tried.error().message);
  const int code = tried.error().code;
  if (disabled.value_or(0) != 0) {
    out.cures.push_back(sysctl_cure("kernel.io_uring_disabled", "0"));
  } else if (code == EPERM || code == EACCES) {
    out.cures.push_back(words_cure(
        "allow io_uring_setup, io_uring_enter and io_uring_register in the container's seccomp "
        "profile (docker run --security-opt seccomp=PROFILE.json)"));
  } else if (code == ENOMEM) {
    out.cures.push_back(unit_cure(patient.machine, "memlock", "LimitMEMLOCK=infinity"));
  } else {
    out.cures.push_back(words_cure("install Linux 6.1 or newer with CONFIG_IO_URING"));
  }
  return out;
}

namespace {

struct Use {
  io::Feature feature;
  std::string_view price;  // of doing without it; measured when the engine was designed
};

// coop_taskrun is not among them: it stands in for defer_taskrun.
constexpr Use uses[] = {
    {io::Feature::single_issuer, "locks around every submission"},
    {io::Feature::defer_taskrun, "25 % more CPU a message at 64 links (6.4 instead of 4.8 us)"},
    {io::Feature::no_sqarray, "some memory traffic, not measurable"},
    {io::Feature::registered_ring, "11 to 15 % of the rate of empty entries"},
    {io::Feature::multishot_accept, "an entry for each connection"},
    {io::Feature::multishot_recv, "6 to 8 % of the rate of messages"},
    {io::Feature::recv_bundle, "up to three times the CPU on streams of 16 KiB; none on reports"},
    {io::Feature::msg_ring, "an eventfd for waking shards, as fast"},
    {io::Feature::multishot_recvmsg, "no UDP"},
};

}  // namespace

Finding check_io_uring_features(const Patient& patient) {
  const auto tried = patient.machine.try_rings(1);
  if (!tried) return unknown("no ring opens: see io_uring");
  std::uint32_t without = 0;
  for (const std::string& name : patient.fleet.without) {
    const auto feature = io::features_from_names(name);
    if (feature) without |= *feature;
  }
  Finding out = good(io::feature_names(*tried & ~without));
  std::string switched_off;
  for (const Use& use : uses) {
    const bool has = (*tried & io::bit(use.feature)) != 0;
    const bool off = (without & io::bit(use.feature)) != 0;
    if (has && !off) continue;
    out.state = State::costs;
    const std::string name = io::feature_names(io::bit(use.feature));
    out.costs += fmt::format("{}{}{}: {}", out.costs.empty() ? "" : "; ", name,
                             off ? " (engine.without)" : "", use.price);
    if (off) switched_off += (switched_off.empty() ? "" : ", ") + name;
  }
  if (out.state == State::good) return out;
  out.basis = Basis::documented;
  out.cures.push_back(switched_off.empty()
                          ? words_cure("install a newer kernel: 6.12 has all of them")
                          : toml_cure("engine.without", "[]"));
  return out;
}

}  // namespace ringgate::doctor
