// Reads TOML into a flat list of entries with their places; the one user of toml++. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/config/settings.hpp"

namespace ringgate::config {

struct TomlEntry {
  enum class Kind : std::uint8_t { boolean, integer, number, text, time, list, table };

  std::string path;  // "jt808.idle_timeout"
  unsigned line = 0;  // of the key, from 1
  unsigned column = 0;
  unsigned value_line = 0;
  unsigned value_column = 0;
  Kind kind = Kind::table;
  bool boolean = false;
  std::int64_t integer = 0;
  double number = 0;
  std::string text;
  std::vector<TomlEntry> children;  // of a list or table, in the order of the text
};

// "the integer 30", "the text \"x\"": for "must be ..., not the integer 30".
std::string described(const TomlEntry& entry);
// The last name of an entry's path, as it stands in the table of this path ("": the top one).
std::string_view name_in(const TomlEntry& entry, std::string_view table_path);

// The top table. `name` is the file's, for the error's place.
Result<TomlEntry, ConfigError> parse_toml(std::string_view text, const std::string& name);

// A configuration file larger than this is some other file.
constexpr std::size_t config_file_size_max = 1 << 20;
Result<std::string, ConfigError> read_config_file(const std::string& path);

}  // namespace ringgate::config
