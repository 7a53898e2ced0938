#include "engine/config/toml_file.hpp"

// The system's library is built with exceptions; this file compiles the parser without them.
#undef TOML_HEADER_ONLY
#undef TOML_SHARED_LIB
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace ringgate::config {

namespace {

// Invalid bytes and control characters have no place in a message to a terminal.
std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    out += byte < 0x20 || byte == 0x7f ? '?' : c;
  }
  return out;
}

TomlEntry convert(const toml::node& node, std::string path);

void convert_table(TomlEntry& entry, const toml::table& table) {
  for (const auto& [key, child] : table) {
    std::string path =
        entry.path.empty() ? std::string(key.str()) : entry.path + "." + std::string(key.str());
    TomlEntry converted = convert(child, std::move(path));
    converted.line = key.source().begin.line;
    converted.column = key.source().begin.column;
    entry.children.push_back(std::move(converted));
  }
  const auto earlier = [](const TomlEntry& a, const TomlEntry& b) {
    return a.line != b.line ? a.line < b.line : a.column < b.column;
  };
  std::sort(entry.children.begin(), entry.children.end(), earlier);
}

TomlEntry convert(const toml::node& node, std::string path) {
  using Kind = TomlEntry::Kind;
  TomlEntry entry;
  entry.path = std::move(path);
  entry.line = entry.value_line = node.source().begin.line;
  entry.column = entry.value_column = node.source().begin.column;
  if (const auto* table = node.as_table()) {
    convert_table(entry, *table);
  } else if (const auto* array = node.as_array()) {
    entry.kind = Kind::list;
    for (const toml::node& child : *array) entry.children.push_back(convert(child, entry.path));
  } else if (const auto* text = node.as_string()) {
    entry.kind = Kind::text;
    entry.text = text->get();
  } else if (const auto* integer = node.as_integer()) {
    entry.kind = Kind::integer;
    entry.integer = integer->get();
  } else if (const auto* number = node.as_floating_point()) {
    entry.kind = Kind::number;
    entry.number = number->get();
  } else if (const auto* flag = node.as_boolean()) {
    entry.kind = Kind::boolean;
    entry.boolean = flag->get();
  } else {
    entry.kind = Kind::time;
  }
  return entry;
}

std::string place(const std::string& name, std::size_t line, std::size_t column) {
  return fmt::format("{}:{}:{}", name, line, column);
}

// Offset of a dotted key with more parts than any setting has, else npos. The parser recurses once
// for each part and would run out of stack. Comments may hold such a run; a string may not.
std::size_t absurd_key(std::string_view text) {
  constexpr std::size_t dots_max = 64;
  constexpr std::string_view key_characters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.\"' \t";
  for (std::size_t line = 0; line < text.size();) {
    const std::size_t end = std::min(text.find('\n', line), text.size());
    std::size_t dots = 0;
    for (std::size_t at = line; at < end && text[at] != '#'; ++at) {
      if (key_characters.find(text[at]) == std::string_view::npos) dots = 0;
      if (text[at] == '.' && ++dots > dots_max) return at;
    }
    line = end + 1;
  }
  return std::string_view::npos;
}

std::string place_of(const std::string& name, std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  return place(name, static_cast<std::size_t>(line), offset - (before.rfind('\n') + 1) + 1);
}

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

}  // namespace

Result<TomlEntry, ConfigError> parse_toml(std::string_view text, const std::string& name) {
  // A zero byte means that this is no text at all; the parser would speak of syntax.
  const std::size_t zero = text.find('\0');
  if (zero != std::string_view::npos) {
    return ConfigError{place_of(name, text, zero),
                       "not a text file (it holds a zero byte); a configuration is TOML in UTF-8"};
  }
  const std::size_t absurd = absurd_key(text);
  if (absurd != std::string_view::npos) {
    return ConfigError{place_of(name, text, absurd), "a key with more than 64 dots"};
  }
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    return ConfigError{place(name, error.source().begin.line, error.source().begin.column),
                       "not valid TOML: " + printable(error.description())};
  }
  return convert(parsed.table(), {});
}

Result<std::string, ConfigError> read_config_file(const std::string& path) {
  const auto failed = [&](int code) {
    return ConfigError{path, errno_error(code, "cannot read it").message};
  };
  const std::unique_ptr<std::FILE, CloseFile> file(std::fopen(path.c_str(), "rbe"));
  if (!file) return failed(errno);
  std::string text(config_file_size_max + 1, '\0');
  errno = 0;
  text.resize(std::fread(text.data(), 1, text.size(), file.get()));
  if (std::ferror(file.get()) != 0) return failed(errno);
  if (text.size() > config_file_size_max) {
    return ConfigError{path, "larger than 1 MiB; that is no configuration file"};
  }
  return text;
}

}  // namespace ringgate::config
