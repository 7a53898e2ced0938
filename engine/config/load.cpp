// The layers of a configuration: files, environment, --set. See settings.hpp.
#include <fmt/format.h>

#include <algorithm>
#include <unistd.h>

#include "engine/config/settings.hpp"
#include "engine/config/toml_file.hpp"

namespace ringgate::config {

namespace {

constexpr std::string_view prefix = "RINGGATE_";

std::string wrong_type(const KeySpec& key, const TomlEntry& entry) {
  std::string message = fmt::format("{} {}", key.name, expectation(key.type));
  if (!key.secret) message += fmt::format(", not {}", described(entry));
  return message;
}

// "RINGGATE_PORT", "RINGGATE_SERVICE_HOST", "RINGGATE_PORT_7808_TCP_ADDR": Kubernetes gives them to
// every container beside a Service named ringgate. A setting's name always holds "__".
bool from_kubernetes(std::string_view name) {
  if (name.find("__") != std::string_view::npos) return false;
  return name.ends_with("_PORT") || name.find("_SERVICE_HOST") != std::string_view::npos ||
         name.find("_SERVICE_PORT") != std::string_view::npos ||
         name.find("_TCP") != std::string_view::npos || name.find("_UDP") != std::string_view::npos;
}

// The key that an environment variable would name, right or misspelt.
std::string key_of(std::string_view name) {
  std::string key;
  for (std::size_t i = prefix.size(); i < name.size(); ++i) {
    if (name.substr(i, 2) == "__") {
      key += '.';
      ++i;
    } else {
      key += name[i] >= 'A' && name[i] <= 'Z' ? static_cast<char>(name[i] - 'A' + 'a') : name[i];
    }
  }
  return key;
}

class Loader {
 public:
  explicit Loader(const Schema& schema) : schema_(schema), settings_(schema) {}

  void file(const std::string& path) {
    const auto text = read_config_file(path);
    if (!text) {
      errors_.push_back(text.error());
      return;
    }
    const auto top = parse_toml(*text, path);
    if (!top) {
      errors_.push_back(top.error());
      return;
    }
    name_ = path;
    table(*top);
  }

  void variable(const std::string& assignment) {
    const std::size_t equals = assignment.find('=');
    if (equals == std::string::npos || !assignment.starts_with(prefix)) return;
    const std::string name = assignment.substr(0, equals);
    const std::string where = "environment " + name;
    const std::string key = key_of(name);
    const std::size_t index = schema_.find(key);
    if (index != Schema::none && environment_name(key) == name) {
      put_text(index, std::string_view(assignment).substr(equals + 1), where);
    } else if (!from_kubernetes(name)) {
      const std::string_view meant = index == Schema::none ? schema_.nearest_key(key) : key;
      errors_.push_back(
          {where, fmt::format("no setting has this name{}{}",
                              meant.empty() ? "" : "; did you mean " + environment_name(meant),
                              meant.empty() ? "" : "?")});
    }
  }

  void set(const std::string& assignment) {
    const std::size_t equals = assignment.find('=');
    const std::string key = assignment.substr(0, equals);
    const std::string where = "--set " + key;
    if (equals == std::string::npos) {
      errors_.push_back({where, "the value is missing; write --set section.key=value"});
      return;
    }
    const std::size_t index = schema_.find(key);
    if (index == Schema::none) {
      unknown_key(key, where);
    } else {
      put_text(index, std::string_view(assignment).substr(equals + 1), where);
    }
  }

  Result<Settings, ConfigErrors> finish() && {
    if (!errors_.empty()) return std::move(errors_);
    return std::move(settings_);
  }

 private:
  void unknown_key(std::string_view key, std::string where) {
    errors_.push_back({std::move(where), fmt::format("unknown key {}{}", toml_quoted(key),
                                                     meant(schema_.nearest_key(key)))});
  }

  void put_text(std::size_t index, std::string_view text, const std::string& where) {
    auto value = parse_value(schema_.key(index), text);
    if (!value) {
      errors_.push_back({where, value.error().message});
    } else {
      settings_.put(index, std::move(value).value(), where);
    }
  }

  std::string key_place(const TomlEntry& entry) const {
    return fmt::format("{}:{}:{}", name_, entry.line, entry.column);
  }
  std::string value_place(const TomlEntry& entry) const {
    return fmt::format("{}:{}:{}", name_, entry.value_line, entry.value_column);
  }

  void table(const TomlEntry& top) {
    for (const TomlEntry& entry : top.children) {
      const std::size_t index = schema_.find(entry.path);
      if (index != Schema::none) {
        toml(index, entry);
      } else if (entry.kind != TomlEntry::Kind::table) {
        if (schema_.has_section(entry.path)) {
          errors_.push_back(
              {key_place(entry), fmt::format("\"{}\" is a section, not a setting; write [{}] and "
                                             "its settings below",
                                             entry.path, entry.path)});
        } else {
          unknown_key(entry.path, key_place(entry));
        }
      } else if (schema_.has_section(entry.path)) {
        table(entry);
      } else {
        errors_.push_back(
            {key_place(entry), fmt::format("unknown section {}{}", toml_quoted(entry.path),
                                           meant(schema_.nearest_section(entry.path)))});
      }
    }
  }

  // A value of a file: TOML's type must be the key's.
  void toml(std::size_t index, const TomlEntry& entry) {
    const KeySpec& key = schema_.key(index);
    auto value = typed(key, entry);
    if (!value) {
      errors_.push_back({value_place(entry), value.error().message});
    } else {
      settings_.put(index, std::move(value).value(), value_place(entry));
    }
  }

  Result<Data> typed(const KeySpec& key, const TomlEntry& entry) {
    using Kind = TomlEntry::Kind;
    const auto checked = [&](Data data) -> Result<Data> {
      const auto fine = check_value(key, data);
      if (!fine) return fine.error();
      return data;
    };
    switch (key.type) {
      case KeyType::boolean:
        if (entry.kind == Kind::boolean) return checked(entry.boolean);
        break;
      case KeyType::integer:
        if (entry.kind == Kind::integer) return checked(entry.integer);
        break;
      case KeyType::size:
        if (entry.kind == Kind::text) return parse_value(key, entry.text);
        if (entry.kind == Kind::integer) return checked(entry.integer);
        break;
      case KeyType::duration:
        if (entry.kind == Kind::text) return parse_value(key, entry.text);
        if (entry.kind == Kind::integer && !key.secret) {
          return Error{0, fmt::format("{} needs a unit: write \"{}s\" or \"{}ms\", not {}",
                                      key.name, entry.integer, entry.integer, entry.integer)};
        }
        break;
      case KeyType::text:
      case KeyType::choice:
        if (entry.kind == Kind::text) return checked(entry.text);
        break;
      case KeyType::text_list: return list(key, entry, checked);
    }
    return Error{0, wrong_type(key, entry)};
  }

  template <class Checked>
  Result<Data> list(const KeySpec& key, const TomlEntry& entry, Checked checked) {
    if (entry.kind != TomlEntry::Kind::list) return Error{0, wrong_type(key, entry)};
    std::vector<std::string> texts;
    for (const TomlEntry& child : entry.children) {
      if (child.kind != TomlEntry::Kind::text) {
        std::string message = fmt::format("{} must hold only texts in quotes", key.name);
        if (!key.secret) message += fmt::format(", not {}", described(child));
        return Error{0, message};
      }
      texts.push_back(child.text);
    }
    return checked(std::move(texts));
  }

  const Schema& schema_;
  Settings settings_;
  ConfigErrors errors_;
  std::string name_;
};

}  // namespace

Result<Settings, ConfigErrors> load_settings(const Schema& schema,
                                             std::span<const std::string> files,
                                             std::span<const std::string> environment,
                                             std::span<const std::string> sets) {
  Loader loader(schema);
  for (const std::string& file : files) loader.file(file);
  for (const std::string& variable : environment) loader.variable(variable);
  for (const std::string& assignment : sets) loader.set(assignment);
  return std::move(loader).finish();
}

std::vector<std::string> process_environment() {
  std::vector<std::string> variables;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    variables.emplace_back(*variable);
  }
  return variables;
}

}  // namespace ringgate::config
