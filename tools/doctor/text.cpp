#include "tools/doctor/text.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <iterator>

namespace ringgate::doctor {

std::string_view state_name(State state) {
  constexpr std::string_view names[] = {"good", "costs", "blocks", "unknown"};
  return names[static_cast<std::size_t>(state)];
}

std::string_view basis_name(Basis basis) {
  constexpr std::string_view names[] = {"none", "measured", "arithmetic", "documented"};
  return names[static_cast<std::size_t>(basis)];
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\n";
  const std::size_t first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

namespace {

std::vector<std::string_view> split(std::string_view text, std::string_view at) {
  std::vector<std::string_view> out;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find_first_of(at, begin), text.size());
    if (end > begin) out.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

}  // namespace

std::vector<std::string_view> words(std::string_view text) { return split(text, " \t\r\n"); }
std::vector<std::string_view> lines(std::string_view text) { return split(text, "\n"); }

std::optional<std::int64_t> number(std::string_view text) {
  text = trimmed(text);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return {};
  return value;
}

Result<std::vector<std::int64_t>> read_numbers(Machine& machine, const std::string& path,
                                               std::size_t count) {
  const auto text = machine.read(path);
  if (!text) return text.error();
  std::vector<std::int64_t> out;
  for (const std::string_view word : words(*text)) {
    const auto value = number(word);
    if (!value) break;
    out.push_back(*value);
  }
  if (out.size() != count) {
    return Error{0, fmt::format("{} says \"{}\", {} number{} expected", path, trimmed(*text), count,
                                count == 1 ? " is" : "s are")};
  }
  return out;
}

Result<std::int64_t> read_number(Machine& machine, const std::string& path) {
  const auto values = read_numbers(machine, path, 1);
  if (!values) return values.error();
  return values->front();
}

std::optional<std::vector<int>> cpus_of_list(std::string_view text) {
  std::vector<int> out;
  for (const std::string_view part : split(trimmed(text), ",")) {
    const std::size_t dash = part.find('-');
    const auto first = number(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : number(part.substr(dash + 1));
    if (!first || !last || *first < 0 || *last < *first || *last > 65535) return {};
    for (std::int64_t cpu = *first; cpu <= *last; ++cpu) out.push_back(static_cast<int>(cpu));
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::optional<std::vector<int>> cpus_of_mask(std::string_view text) {
  text = trimmed(text);
  if (text.empty()) return {};
  std::vector<int> out;
  int bit = 0;
  for (std::size_t i = text.size(); i-- > 0;) {
    if (text[i] == ',') continue;
    int digit = 0;
    const auto [end, error] = std::from_chars(text.data() + i, text.data() + i + 1, digit, 16);
    if (error != std::errc()) return {};
    for (int n = 0; n < 4; ++n) {
      if ((digit >> n & 1) != 0) out.push_back(bit + n);
    }
    bit += 4;
  }
  return out;
}

std::string list_of_cpus(const std::vector<int>& cpus) {
  std::string out;
  for (std::size_t i = 0; i < cpus.size();) {
    std::size_t last = i;
    while (last + 1 < cpus.size() && cpus[last + 1] == cpus[last] + 1) ++last;
    if (!out.empty()) out += ',';
    fmt::format_to(std::back_inserter(out), "{}", cpus[i]);
    if (last != i) fmt::format_to(std::back_inserter(out), "-{}", cpus[last]);
    i = last + 1;
  }
  return out;
}

std::string mask_of_cpus(const std::vector<int>& cpus) {
  if (cpus.empty()) return "0";
  const int top = *std::max_element(cpus.begin(), cpus.end()) / 32;
  std::vector<std::uint32_t> groups(static_cast<std::size_t>(top) + 1);
  for (const int cpu : cpus) groups[static_cast<std::size_t>(cpu / 32)] |= 1U << (cpu % 32);
  std::string out = fmt::format("{:x}", groups.back());
  for (std::size_t i = groups.size() - 1; i-- > 0;) out += fmt::format(",{:08x}", groups[i]);
  return out;
}

std::string grouped(std::uint64_t value) {
  const std::string digits = fmt::format("{}", value);
  std::string out;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) out += ',';
    out += digits[i];
  }
  return out;
}

std::string bytes_text(double bytes) {
  constexpr std::string_view units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  std::size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < std::size(units)) {
    bytes /= 1024;
    ++unit;
  }
  return unit == 0 || bytes >= 100 ? fmt::format("{:.0f} {}", bytes, units[unit])
                                   : fmt::format("{:.1f} {}", bytes, units[unit]);
}

std::string time_text(double ns) {
  if (ns < 1e3) return fmt::format("{:.0f} ns", ns);
  if (ns < 1e6) return fmt::format("{:.3g} us", ns / 1e3);
  if (ns < 1e9) return fmt::format("{:.3g} ms", ns / 1e6);
  const double seconds = ns / 1e9;
  if (seconds < 120) return fmt::format("{:.3g} s", seconds);
  if (seconds < 2 * 3600) return fmt::format("{:.0f} minutes", seconds / 60);
  if (seconds < 2 * 86400) return fmt::format("{:.1f} hours", seconds / 3600);
  return fmt::format("{:.0f} days", seconds / 86400);
}

std::uint64_t power_of_two_from(std::uint64_t value) {
  constexpr std::uint64_t top = 1ULL << 62;  // what a sysctl takes at the most
  std::uint64_t out = 1;
  while (out < value && out < top) out *= 2;
  return out;
}

Finding unknown(std::string found) {
  Finding out;
  out.state = State::unknown;
  out.found = std::move(found);
  return out;
}

Finding unreadable(const std::string& path, const Error& error) {
  if (error.code == 0) return unknown(error.message);
  if (is_absent(error)) return unknown(fmt::format("{} is not there", path));
  const bool refused = error.code == EACCES || error.code == EPERM;
  return unknown(fmt::format("{} can't be read{}", path,
                             refused ? ": permission denied. Try it as root" : ""));
}

Finding good(std::string found) {
  Finding out;
  out.found = std::move(found);
  return out;
}

bool is_absent(const Error& error) { return error.code == ENOENT || error.code == ENOTDIR; }

bool is_absent_in(Machine& machine, const std::string& folder, const Error& error) {
  return is_absent(error) && machine.list(folder).ok();
}

Cure sysctl_cure(std::string_view key, std::string_view value) {
  constexpr std::string_view place = "/etc/sysctl.d/90-ringgate.conf";
  const bool several = value.find(' ') != std::string_view::npos;
  const std::string_view quote = several ? "'" : "";
  return {.command = fmt::format("sysctl -w {}={}{}{}", key, quote, value, quote),
          .keep = fmt::format("mkdir -p /etc/sysctl.d && echo '{} = {}' >> {}", key, value, place),
          .place = std::string(place),
          .automatic = true};
}

Cure sysfs_cure(std::string_view path, std::string_view value) {
  constexpr std::string_view place = "/etc/tmpfiles.d/ringgate.conf";
  return {.command = fmt::format("for f in {}; do echo {} > $f; done", path, value),
          .keep = fmt::format("mkdir -p /etc/tmpfiles.d && echo 'w {} - - - - {}' >> {}", path,
                              value, place),
          .place = std::string(place),
          .automatic = true};
}

Cure unit_cure(Machine& machine, std::string_view name, std::string_view setting) {
  constexpr std::string_view folder = "/etc/systemd/system/ringgate.service.d";
  const std::string place = fmt::format("{}/doctor-{}.conf", folder, name);
  return {.command = fmt::format("mkdir -p {} && printf '[Service]\\n{}\\n' > {} && "
                                 "systemctl daemon-reload",
                                 folder, setting, place),
          .keep = {},
          .place = fmt::format("{}; then systemctl restart ringgate", place),
          .automatic = machine.list("/run/systemd/system").ok()};
}

std::optional<std::string> unit_setting(Machine& machine, std::string_view name) {
  std::vector<std::string> files;
  for (const char* folder : {"/etc/systemd/system", "/usr/lib/systemd/system",
                             "/lib/systemd/system"}) {
    const std::string unit = fmt::format("{}/ringgate.service", folder);
    if (files.empty() && machine.read(unit)) files.push_back(unit);
  }
  for (const char* folder : {"/usr/lib/systemd/system", "/etc/systemd/system"}) {
    const std::string drop_ins = fmt::format("{}/ringgate.service.d", folder);
    const auto names = machine.list(drop_ins);
    if (!names) continue;
    for (const std::string& one : *names) files.push_back(fmt::format("{}/{}", drop_ins, one));
  }
  std::optional<std::string> out;
  for (const std::string& file : files) {
    const auto text = machine.read(file);
    if (!text) continue;
    for (const std::string_view line : lines(*text)) {
      const std::string_view said = trimmed(line);
      const bool about = said.size() > name.size() && said.rfind(name, 0) == 0 &&
                         said[name.size()] == '=';
      if (about) out = std::string(trimmed(said.substr(name.size() + 1)));
    }
  }
  return out;
}

Cure toml_cure(std::string_view key, std::string_view value) {
  return {.command = fmt::format("set {} = {} in the gateway's TOML file", key, value),
          .keep = {},
          .place = "the configuration file; restart the gateway",
          .automatic = false};
}

Cure words_cure(std::string said) {
  return {.command = std::move(said), .keep = {}, .place = {}, .automatic = false};
}

}  // namespace ringgate::doctor
