// --set. See sets.hpp.
#include "tools/load/scenario/sets.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "engine/config/schema.hpp"

namespace ringgate::load {

namespace {

using config::TomlEntry;
using Kind = config::TomlEntry::Kind;

bool is_list_of_tables(std::string_view name) {
  return name == "class" || name == "stage" || name == "fault";
}

// Its place is the --set's, its path where it is put.
void place(TomlEntry& entry, unsigned number, std::string path) {
  for (TomlEntry& child : entry.children) {
    std::string below = path;
    if (entry.kind == Kind::table) below.append(".").append(config::name_in(child, entry.path));
    place(child, number, std::move(below));
  }
  entry.line = entry.value_line = 0;
  entry.column = entry.value_column = number;
  entry.path = std::move(path);
}

TomlEntry value_of(const std::string& text) {
  if (text.find('\n') == std::string::npos && text.find('\0') == std::string::npos) {
    auto parsed = config::parse_toml(fmt::format("v = {}\n", text), "set");
    if (parsed && parsed->children.size() == 1 && parsed->children[0].path == "v") {
      return std::move(parsed->children[0]);
    }
  }
  TomlEntry entry;
  entry.kind = Kind::text;
  entry.path = "v";
  entry.text = text;
  return entry;
}

TomlEntry* child_of(TomlEntry& table, std::string_view name) {
  for (TomlEntry& child : table.children) {
    if (config::name_in(child, table.path) == name) return &child;
  }
  return nullptr;
}

std::string name_in(TomlEntry& table) {
  const TomlEntry* name = child_of(table, "name");
  return name != nullptr && name->kind == Kind::text ? name->text : std::string{};
}

// The tables of a list that `which` means: a name, a number from 0, or *.
std::vector<TomlEntry*> chosen(TomlEntry& list, std::string_view which) {
  std::vector<TomlEntry*> found;
  std::size_t number = list.children.size();
  std::from_chars(which.data(), which.data() + which.size(), number);
  for (std::size_t i = 0; i < list.children.size(); ++i) {
    TomlEntry& table = list.children[i];
    if (table.kind != Kind::table) continue;
    if (which == "*" || name_in(table) == which) found.push_back(&table);
  }
  if (found.empty() && number < list.children.size() &&
      list.children[number].kind == Kind::table) {
    found.push_back(&list.children[number]);
  }
  return found;
}

class Setter {
 public:
  Setter(TomlEntry& top, unsigned number, Complaints& complaints)
      : top_(top), number_(number), complaints_(complaints) {}

  void set(const std::string& assignment) {
    const std::size_t equals = assignment.find('=');
    if (equals == std::string::npos || equals == 0) {
      return complain("write --set key=value, such as --set seed=7 or --set "
                      "class.drivers.weight=2");
    }
    const std::string_view key = std::string_view(assignment).substr(0, equals);
    value_ = value_of(assignment.substr(equals + 1));
    const std::size_t dot = key.find('.');
    const std::string_view first = key.substr(0, dot);
    if (!is_list_of_tables(first)) return put(top_, key);
    if (dot == std::string_view::npos) {
      return complain(fmt::format("{} is a list of tables: say which, by name or number from 0, as "
                                  "in --set {}.0.key=value", first, first));
    }
    const std::string_view rest = key.substr(dot + 1);
    const std::size_t second = rest.find('.');
    if (second == std::string_view::npos) {
      return complain(fmt::format("the key is missing; write --set {}.{}.key=value", first, rest));
    }
    in_list(first, rest.substr(0, second), rest.substr(second + 1));
  }

 private:
  void complain(std::string message) { complaints_.add(0, number_, std::move(message)); }

  void in_list(std::string_view list_name, std::string_view which, std::string_view key) {
    TomlEntry* list = child_of(top_, list_name);
    const bool is_list = list != nullptr && list->kind == Kind::list;
    const std::vector<TomlEntry*> tables =
        is_list ? chosen(*list, which) : std::vector<TomlEntry*>{};
    if (tables.empty()) {
      std::vector<std::string> names;
      if (is_list) {
        for (TomlEntry& table : list->children) names.push_back(name_in(table));
      }
      const std::vector<std::string_view> known(names.begin(), names.end());
      return complain(fmt::format("there is no {} {}{}", list_name, config::toml_quoted(which),
                                  config::meant(config::nearest(which, known))));
    }
    for (TomlEntry* table : tables) put(*table, key);
  }

  // Makes the tables on the way that are not there.
  void put(TomlEntry& table, std::string_view key) {
    const std::size_t dot = key.find('.');
    const std::string_view first = key.substr(0, dot);
    if (first.empty()) return complain("a part of the key is empty");
    TomlEntry* child = child_of(table, first);
    if (child == nullptr) {
      table.children.emplace_back();
      child = &table.children.back();
      place(*child, number_, table.path.empty() ? std::string(first)
                                                : fmt::format("{}.{}", table.path, first));
    }
    if (dot == std::string_view::npos) {
      std::string path = child->path;
      *child = value_;
      return place(*child, number_, std::move(path));
    }
    if (child->kind != Kind::table) {
      return complain(fmt::format("{} is {}, not a table", config::toml_quoted(child->path),
                                  config::described(*child)));
    }
    put(*child, key.substr(dot + 1));
  }

  TomlEntry& top_;
  unsigned number_;
  Complaints& complaints_;
  TomlEntry value_;
};

}  // namespace

std::vector<std::string> set_keys(const std::vector<std::string>& sets) {
  std::vector<std::string> keys;
  for (const std::string& set : sets) keys.push_back(set.substr(0, set.find('=')));
  return keys;
}

void apply_sets(TomlEntry& top, const std::vector<std::string>& sets, Complaints& complaints) {
  for (std::size_t i = 0; i < sets.size(); ++i) {
    Setter(top, static_cast<unsigned>(i + 1), complaints).set(sets[i]);
  }
}

}  // namespace ringgate::load
