// Small things that the checks share: numbers in files, lists of CPUs, numbers for people, cures.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.hpp"
#include "tools/doctor/finding.hpp"
#include "tools/doctor/machine.hpp"

namespace ringgate::doctor {

std::string_view trimmed(std::string_view text);
std::vector<std::string_view> words(std::string_view text);  // split at blanks and line ends
std::vector<std::string_view> lines(std::string_view text);

std::optional<std::int64_t> number(std::string_view text);
// The whole numbers of a file. Error: not there, unreadable, or something else stands in it.
Result<std::vector<std::int64_t>> read_numbers(Machine& machine, const std::string& path,
                                               std::size_t count);
Result<std::int64_t> read_number(Machine& machine, const std::string& path);

// "0-3,8" and "00000001,0000000f" to CPU numbers in order; nullopt: it is none.
std::optional<std::vector<int>> cpus_of_list(std::string_view text);
std::optional<std::vector<int>> cpus_of_mask(std::string_view text);
std::string list_of_cpus(const std::vector<int>& cpus);  // "0-3,8"
std::string mask_of_cpus(const std::vector<int>& cpus);  // "10f", in groups of 32 bits

std::string grouped(std::uint64_t value);        // 1,048,576
std::string bytes_text(double bytes);            // "1.5 GiB"
std::string time_text(double ns);                // "110 us"
std::uint64_t power_of_two_from(std::uint64_t value);

// A finding that is `unknown`: what could not be read, and why.
Finding unknown(std::string found);
Finding unreadable(const std::string& path, const Error& error);
Finding good(std::string found);
bool is_absent(const Error& error);  // ENOENT, ENOTDIR
// Whether the system has no such file, which is known only where it has the folder above: in a
// sandbox without /sys nothing is told by what is missing there.
bool is_absent_in(Machine& machine, const std::string& folder, const Error& error);

// "sysctl -w KEY=VALUE", kept in /etc/sysctl.d/90-ringgate.conf.
Cure sysctl_cure(std::string_view key, std::string_view value);
// A file of /sys, kept by systemd-tmpfiles in /etc/tmpfiles.d/ringgate.conf. `path` may hold *.
Cure sysfs_cure(std::string_view path, std::string_view value);
// A setting of the gateway's unit, kept in a drop-in; takes effect when the unit is restarted.
// Automatic where systemd runs.
Cure unit_cure(Machine& machine, std::string_view name, std::string_view setting);
// What the gateway's unit says: "LimitNOFILE" -> "1048576". Of its file and its drop-ins the last
// word; nullopt: no unit, or nothing there.
std::optional<std::string> unit_setting(Machine& machine, std::string_view name);
Cure toml_cure(std::string_view key, std::string_view value);
Cure words_cure(std::string words);

}  // namespace ringgate::doctor
