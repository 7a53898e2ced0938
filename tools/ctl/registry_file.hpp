// The registry as a file: CSV (RFC 4180, a header line) or TOML ([[device]] tables). Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.hpp"

namespace ringgate::ctl {

// An entry as it stands in a file and goes over the control socket.
struct RegistryEntry {
  std::string phone;
  std::string plate;
  std::uint8_t plate_colour = 0;
  std::string terminal_id;
  std::string maker;
  std::string model;
  std::string note;
  bool enabled = true;

  friend bool operator==(const RegistryEntry&, const RegistryEntry&) = default;
};

enum class RegistryFormat : std::uint8_t { csv, toml };

struct RegistryFile {
  std::vector<RegistryEntry> entries;
  // "12: enabled: true or false is expected, not 'maybe'": line first; at most `errors_max`.
  std::vector<std::string> errors;
  std::uint64_t errors_in_all = 0;
};
constexpr std::size_t registry_errors_max = 20;

// Columns of a CSV file may stand in any order; only `phone` must be there. A phone twice is an
// error, with or without leading zeros, which are taken off; so is a text that is longer than the
// gateway takes. A byte order mark and either line end are taken.
RegistryFile read_registry(std::string_view text, RegistryFormat format);
// The header of a CSV file; nothing for TOML.
std::string registry_head(RegistryFormat format);
std::string registry_text(const RegistryEntry& entry, RegistryFormat format);

}  // namespace ringgate::ctl
