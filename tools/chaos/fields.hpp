// Reads the fields of a table one by one and remembers what was asked for, so that what is left
// over is told with the nearest known name; and writes the same fields as JSON. Pure.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/json_writer.hpp"
#include "engine/config/toml_file.hpp"
#include "tools/chaos/plan.hpp"

namespace ringgate::chaos {

struct Range {
  std::int64_t min = 0;
  std::int64_t max = INT64_MAX;
};

// Both Reader and Writer have these: durations in nanoseconds, sizes in bytes.
class Reader {
 public:
  Reader(const config::TomlEntry& table, Problems& problems) : table_(table), problems_(problems) {}

  bool has(std::string_view name) { return find(name) != nullptr; }
  void boolean(std::string_view name, bool& value);
  void integer(std::string_view name, std::int64_t& value, Range range);
  void share(std::string_view name, double& value);
  void size(std::string_view name, std::int64_t& value, Range range, std::string_view per = {});
  void duration(std::string_view name, MonoNs& value, Range range);
  void text(std::string_view name, std::string& value);
  template <class Enum>
  void choice(std::string_view name, Enum& value, std::span<const std::string_view> names) {
    std::size_t index = static_cast<std::size_t>(value);
    pick(name, index, names);
    value = static_cast<Enum>(index);
  }
  template <class T, class Read>
  void optional(std::string_view name, std::optional<T>& value, Read&& read) {
    if (!has(name)) return;
    value.emplace();
    read(*value);
  }

  // A field that must be there; `example` shows how it is written. False: it is not.
  bool need(std::string_view name, std::string_view example);
  // What nobody has asked for. `what`: of which thing it is no field.
  void finish(std::string_view what);

  const config::TomlEntry* find(std::string_view name);
  // At the table's field, or the table itself.
  void problem(std::string_view name, std::string message);

 private:
  void pick(std::string_view name, std::size_t& index, std::span<const std::string_view> names);
  void wrong(const config::TomlEntry& entry, std::string_view name, std::string_view wanted);
  void at_value(const config::TomlEntry& entry, std::string message);

  const config::TomlEntry& table_;
  Problems& problems_;
  std::vector<std::string_view> asked_;
};

class Writer {
 public:
  explicit Writer(JsonWriter& json) : json_(json) {}
  void boolean(std::string_view name, bool value) { json_.key(name).boolean(value); }
  void integer(std::string_view name, std::int64_t value, Range) { json_.key(name).integer(value); }
  void share(std::string_view name, double value);
  void size(std::string_view name, std::int64_t value, Range, std::string_view per = {});
  void duration(std::string_view name, MonoNs value, Range);
  void text(std::string_view name, const std::string& value) { json_.key(name).text(value); }
  template <class Enum>
  void choice(std::string_view name, Enum value, std::span<const std::string_view> names) {
    json_.key(name).text(names[static_cast<std::size_t>(value)]);
  }
  template <class T, class Write>
  void optional(std::string_view, const std::optional<T>& value, Write&& write) {
    if (value) write(*value);
  }
  bool need(std::string_view, std::string_view) { return true; }

 private:
  JsonWriter& json_;
};

// A problem at `entry`: of its name, or of its value.
Problem problem_at(const config::TomlEntry& entry, bool of_value, std::string message);

}  // namespace ringgate::chaos
