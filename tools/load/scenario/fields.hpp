// Tables of a scenario's text, decoded by the table of keys: unknown keys, wrong types, values out
// of range and keys that mean nothing to the kind are told with their places. Used by the reader of
// scenarios only; one thread.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/config/toml_file.hpp"
#include "tools/load/scenario/scenario.hpp"

namespace ringgate::load {

enum class FieldType : std::uint8_t {
  boolean,
  integer,
  number,      // an integer will do
  duration,    // "10s"
  pause,       // "1s..3s"
  text,
  choice,      // one of `choices`
  choices,     // a list of them
  texts,
  address,     // "HOST:PORT"
  condition,   // a goal: "acked_rate 900/s"
  conditions,  // "p99 < 20ms": a list of them
  time_of_day, // "06:30", until "24:00"
  raw,         // the reader's own business
};

struct FieldRule {
  ScenarioKey key;
  FieldType type = FieldType::text;
  double min = 0;  // of numbers; durations in seconds; texts: their length
  double max = 1e18;
  std::span<const std::string_view> choices = {};
};
std::span<const FieldRule> field_rules();
const FieldRule& rule_of(std::string_view table, std::string_view key);  // which must exist

// What stands at a key, decoded as its rule says. `entry` is null for a default.
struct Field {
  const FieldRule* rule = nullptr;
  const config::TomlEntry* entry = nullptr;
  double number = 0;  // integer, number
  bool boolean = false;
  MonoNs time_ns = 0;  // duration, time_of_day
  Pause pause;
  std::string text;
  std::vector<std::string> texts;
  std::size_t choice = 0;
  std::vector<std::size_t> chosen;
  std::vector<Condition> conditions;
};

// Where problems are gathered, and the text they are about.
class Complaints {
 public:
  // `sets`: the keys that --set gave; an entry of line 0 came from number `column` of them, from 1.
  Complaints(std::string_view text, std::string name, std::vector<std::string> sets)
      : text_(text), name_(std::move(name)), sets_(std::move(sets)) {}

  void add(unsigned line, unsigned column, std::string message);
  void at_key(const config::TomlEntry& entry, std::string message) {
    add(entry.line, entry.column, std::move(message));
  }
  void at_value(const config::TomlEntry& entry, std::string message) {
    add(entry.value_line, entry.value_column, std::move(message));
  }
  // Inside of a text in quotes, `offset` bytes from its begin.
  void inside(const config::TomlEntry& text, std::size_t offset, std::string message);

  bool none() const { return problems_.empty(); }
  std::size_t count() const { return problems_.size(); }
  // In the order of the text.
  Problems take() &&;

 private:
  std::string_view text_;
  std::string name_;
  std::vector<std::string> sets_;
  Problems problems_;
};

// One table of the text.
class Fields {
 public:
  // `table` as in ScenarioKey. `kind`: what the keys' `of` is held against; empty: not at all.
  // `who` names the table in messages: "class \"drivers\"".
  Fields(const config::TomlEntry& entry, std::string_view table, std::string_view kind,
         std::string who, Complaints& complaints);

  // The value or the default; what is wrong has been told, and the default stands for it. Only for
  // keys of the table.
  const Field& operator[](std::string_view key) const;
  bool has(std::string_view key) const { return fields_.contains(key); }  // well or not
  bool sound(std::string_view key) const;                                  // has, and well
  // Tells at the value of `key`, or at the table where there is none.
  void complain(std::string_view key, std::string message) const;
  const config::TomlEntry& table() const { return entry_; }
  const std::string& who() const { return who_; }

 private:
  struct Held {
    Field field;
    bool sound = false;
  };
  const config::TomlEntry& entry_;
  std::string_view table_;
  std::string who_;
  Complaints& complaints_;
  std::map<std::string, Held, std::less<>> fields_;
};

// Minutes and hours of "06:30"; -1: it is none.
MonoNs parse_time_of_day(std::string_view text);

}  // namespace ringgate::load
