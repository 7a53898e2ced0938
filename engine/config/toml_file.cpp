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

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

}  // namespace

Result<TomlEntry, ConfigError> parse_toml(std::string_view text, const std::string& name) {
  // A zero byte means that this is no text at all; the parser would speak of syntax.
  const std::size_t zero = text.find('\0');
  if (zero != std::string_view::npos) {
    const std::string_view before = text.substr(0, zero);
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const std::size_t column = zero - (before.rfind('\n') + 1) + 1;
    return ConfigError{place(name, static_cast<std::size_t>(line), column),
                       "not a text file (it holds a zero byte); a configuration is TOML in UTF-8"};
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
