#include "tools/chaos/fields.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/config/schema.hpp"
#include "engine/config/units.hpp"
#include "tools/chaos/limits.hpp"

namespace ringgate::chaos {

namespace {

using config::TomlEntry;
using TextKind = TomlEntry::Kind;

template <class Format>
std::string outside(std::string_view name, std::int64_t value, Range range, Format&& format) {
  return fmt::format("{} must be between {} and {}, not {}", name, format(range.min),
                     format(range.max), format(value));
}

}  // namespace

Problem problem_at(const TomlEntry& entry, bool of_value, std::string message) {
  Problem problem;
  problem.line = of_value ? entry.value_line : entry.line;
  problem.column = of_value ? entry.value_column : entry.column;
  problem.message = std::move(message);
  for (const char c : entry.path) {
    if (problem.pointer.empty()) problem.pointer += '/';
    switch (c) {
      case '.': problem.pointer += '/'; break;
      case '/': problem.pointer += "~1"; break;
      case '~': problem.pointer += "~0"; break;
      default: problem.pointer += c;
    }
  }
  return problem;
}

const TomlEntry* Reader::find(std::string_view name) {
  if (std::ranges::find(asked_, name) == asked_.end()) asked_.push_back(name);
  for (const TomlEntry& child : table_.children) {
    if (config::name_in(child, table_.path) == name) return &child;
  }
  return nullptr;
}

void Reader::at_value(const TomlEntry& entry, std::string message) {
  problems_.push_back(problem_at(entry, true, std::move(message)));
}

void Reader::problem(std::string_view name, std::string message) {
  const TomlEntry* const entry = find(name);
  problems_.push_back(problem_at(entry == nullptr ? table_ : *entry, entry != nullptr,
                                 std::move(message)));
}

void Reader::wrong(const TomlEntry& entry, std::string_view name, std::string_view wanted) {
  at_value(entry, fmt::format("{} must be {}, not {}", name, wanted, config::described(entry)));
}

void Reader::boolean(std::string_view name, bool& value) {
  const TomlEntry* const entry = find(name);
  if (entry == nullptr) return;
  if (entry->kind != TextKind::boolean) return wrong(*entry, name, "true or false");
  value = entry->boolean;
}

void Reader::integer(std::string_view name, std::int64_t& value, Range range) {
  const TomlEntry* const entry = find(name);
  if (entry == nullptr) return;
  if (entry->kind != TextKind::integer) return wrong(*entry, name, "a whole number");
  if (entry->integer < range.min || entry->integer > range.max) {
    return at_value(*entry, outside(name, entry->integer, range,
                                    [](std::int64_t v) { return std::to_string(v); }));
  }
  value = entry->integer;
}

void Reader::share(std::string_view name, double& value) {
  const TomlEntry* const entry = find(name);
  if (entry == nullptr) return;
  double number = entry->number;
  if (entry->kind == TextKind::integer) {
    number = static_cast<double>(entry->integer);
  } else if (entry->kind != TextKind::number) {
    return wrong(*entry, name, "a number between 0 and 1");
  }
  // Also what is no number at all.
  if (!(number >= 0 && number <= 1)) return wrong(*entry, name, "between 0 and 1");
  value = number;
}

void Reader::size(std::string_view name, std::int64_t& value, Range range, std::string_view per) {
  const TomlEntry* const entry = find(name);
  if (entry == nullptr) return;
  std::int64_t bytes = entry->integer;
  if (entry->kind == TextKind::text) {
    std::string_view text = entry->text;
    if (!per.empty() && text.ends_with(per)) text.remove_suffix(per.size());
    const auto parsed = config::parse_size(text);
    if (!parsed) {
      return at_value(*entry, fmt::format("{} {}: {}", name, config::toml_quoted(entry->text),
                                          parsed.error().message));
    }
    bytes = *parsed;
  } else if (entry->kind != TextKind::integer) {
    return wrong(*entry, name, "a size such as \"64KiB\", or a number of bytes");
  }
  if (bytes < range.min || bytes > range.max) {
    return at_value(*entry, outside(name, bytes, range, config::format_size));
  }
  value = bytes;
}

void Reader::duration(std::string_view name, MonoNs& value, Range range) {
  const TomlEntry* const entry = find(name);
  if (entry == nullptr) return;
  if (entry->kind == TextKind::integer) {
    return at_value(*entry, fmt::format("{} needs a unit: write \"{}s\" or \"{}ms\", not {}", name,
                                        entry->integer, entry->integer, entry->integer));
  }
  if (entry->kind != TextKind::text) return wrong(*entry, name, "a duration such as \"100ms\"");
  const auto parsed = config::parse_duration(entry->text);
  if (!parsed) {
    return at_value(*entry, fmt::format("{} {}: {}", name, config::toml_quoted(entry->text),
                                        parsed.error().message));
  }
  if (*parsed < range.min || *parsed > range.max) {
    return at_value(*entry, outside(name, *parsed, range, config::format_duration));
  }
  value = *parsed;
}

void Reader::text(std::string_view name, std::string& value) {
  const TomlEntry* const entry = find(name);
  if (entry == nullptr) return;
  if (entry->kind != TextKind::text) return wrong(*entry, name, "a text in quotes");
  value = entry->text;
}

void Reader::pick(std::string_view name, std::size_t& index,
                  std::span<const std::string_view> names) {
  const TomlEntry* const entry = find(name);
  if (entry == nullptr) return;
  if (entry->kind == TextKind::text) {
    const auto found = std::ranges::find(names, std::string_view(entry->text));
    if (found != names.end()) {
      index = static_cast<std::size_t>(found - names.begin());
      return;
    }
    const std::string_view near = config::nearest(entry->text, names);
    if (!near.empty()) {
      return at_value(*entry, fmt::format("{}: there is no {}{}", name,
                                          config::toml_quoted(entry->text),
                                          config::meant(near)));
    }
  }
  std::string wanted = "one of";
  for (const std::string_view one : names) {
    wanted.append(one == names.front() ? " \"" : ", \"").append(one).append("\"");
  }
  wrong(*entry, name, wanted);
}

bool Reader::need(std::string_view name, std::string_view example) {
  if (find(name) != nullptr) return true;
  problems_.push_back(
      problem_at(table_, false, fmt::format("{} is missing; write for example {}", name, example)));
  return false;
}

void Reader::finish(std::string_view what) {
  for (const TomlEntry& child : table_.children) {
    const std::string_view name = config::name_in(child, table_.path);
    if (std::ranges::find(asked_, name) != asked_.end()) continue;
    problems_.push_back(problem_at(
        child, false,
        fmt::format("{} has no {}{}", what, config::toml_quoted(name),
                    config::meant(config::nearest(name, asked_)))));
  }
}

void Writer::share(std::string_view name, double value) {
  json_.key(name).raw(fmt::format("{}", value));
}

void Writer::size(std::string_view name, std::int64_t value, Range, std::string_view per) {
  std::string text = config::format_size(value);
  text += per;
  json_.key(name).text(text);
}

void Writer::duration(std::string_view name, MonoNs value, Range) {
  json_.key(name).text(config::format_duration(value));
}

}  // namespace ringgate::chaos
