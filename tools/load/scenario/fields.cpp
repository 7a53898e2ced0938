// Decoding of a table by its rules. See fields.hpp.
#include "tools/load/scenario/fields.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "engine/config/schema.hpp"
#include "engine/config/units.hpp"

namespace ringgate::load {

namespace {

using config::TomlEntry;
using Kind = config::TomlEntry::Kind;

std::string joined(std::span<const std::string_view> words) {
  std::string out;
  for (const std::string_view word : words) {
    out += fmt::format("{}\"{}\"", out.empty() ? "" : ", ", word);
  }
  return out;
}

std::string_view expected(FieldType type) {
  switch (type) {
    case FieldType::boolean: return "must be true or false";
    case FieldType::integer: return "must be a whole number";
    case FieldType::number: return "must be a number";
    case FieldType::duration: return "must be a duration such as \"30s\"";
    case FieldType::pause: return "must be a time such as \"2s\", \"1s..3s\" or \"~2s\"";
    case FieldType::choices:
    case FieldType::texts: return "must be a list of texts in quotes";
    case FieldType::address: return "must be \"HOST:PORT\"";
    case FieldType::condition: return "must be a text such as \"acked_rate 900/s\"";
    case FieldType::conditions: return "must be a list such as [\"p99 < 20ms\", \"errors < 1%\"]";
    case FieldType::time_of_day: return "must be a time of the day such as \"06:30\"";
    case FieldType::text:
    case FieldType::choice:
    case FieldType::raw: break;
  }
  return "must be a text in quotes";
}

bool is_list(FieldType type) {
  return type == FieldType::texts || type == FieldType::choices || type == FieldType::conditions;
}

std::string number_text(double number) {
  if (number == std::floor(number) && std::abs(number) < 1e17) {
    return fmt::format("{:.0f}", number);
  }
  return fmt::format("{:g}", number);
}

// Decodes one value; tells what is wrong with it.
class Decoder {
 public:
  Decoder(const FieldRule& rule, const TomlEntry& entry, Complaints* complaints)
      : rule_(rule), entry_(entry), complaints_(complaints) {
    field_.rule = &rule;
    field_.entry = &entry;
  }
  // False: it was told, once or more often.
  bool decode() {
    if (rule_.type == FieldType::raw) return true;
    if (is_list(rule_.type)) return list();
    return single();
  }
  Field take() { return std::move(field_); }

 private:
  bool wrong(const TomlEntry& at, std::string message) {
    if (complaints_ != nullptr) complaints_->at_value(at, std::move(message));
    return false;
  }
  std::string_view name() const { return rule_.key.name; }
  bool wrong_type(const TomlEntry& at) {
    if (at.kind == Kind::integer && rule_.type == FieldType::duration) {
      return wrong(at, fmt::format("{} needs a unit: write \"{}s\" or \"{}ms\", not {}", name(),
                                   at.integer, at.integer, at.integer));
    }
    std::string message = fmt::format("{} {}, not {}", name(), expected(rule_.type),
                                      config::described(at));
    return wrong(at, std::move(message));
  }
  bool range(double value, const TomlEntry& at, std::string_view unit) {
    if (value >= rule_.min && value <= rule_.max) return true;
    const bool bounded = rule_.max < 1e17;
    return wrong(at, bounded ? fmt::format("{} must be between {}{} and {}{}, not {}{}", name(),
                                           number_text(rule_.min), unit, number_text(rule_.max),
                                           unit, number_text(value), unit)
                             : fmt::format("{} must be at least {}{}, not {}{}", name(),
                                           number_text(rule_.min), unit, number_text(value), unit));
  }

  bool number() {
    const bool whole = entry_.kind == Kind::integer;
    if (!whole && (entry_.kind != Kind::number || rule_.type == FieldType::integer)) {
      return wrong_type(entry_);
    }
    field_.number = whole ? static_cast<double>(entry_.integer) : entry_.number;
    if (!std::isfinite(field_.number)) {
      return wrong(entry_, fmt::format("{} must be a number that ends", name()));
    }
    return range(field_.number, entry_, "");
  }

  bool duration() {
    const auto parsed = config::parse_duration(entry_.text);
    if (!parsed) {
      return wrong(entry_, fmt::format("{} {}, not {}: {}", name(), expected(rule_.type),
                                       config::toml_quoted(entry_.text), parsed.error().message));
    }
    field_.time_ns = *parsed;
    return range(static_cast<double>(*parsed) / static_cast<double>(ns_per_s), entry_, " s");
  }

  bool pause() {
    const auto parsed = parse_pause(entry_.text);
    if (!parsed) {
      return wrong(entry_, fmt::format("{}: {}", name(), parsed.error().message));
    }
    field_.pause = *parsed;
    return true;
  }

  bool address() {
    const std::string_view text = entry_.text;
    const std::size_t colon = text.rfind(':');
    std::uint32_t port = 0;
    bool digits = colon != std::string_view::npos && colon > 0 && colon + 1 < text.size() &&
                  text.size() - colon <= 6;
    for (std::size_t i = colon + 1; digits && i < text.size(); ++i) {
      digits = text[i] >= '0' && text[i] <= '9';
      port = port * 10 + static_cast<std::uint32_t>(text[i] - '0');
    }
    if (!digits || port == 0 || port > 65535) {
      return wrong(entry_, fmt::format("{} must be \"HOST:PORT\" such as \"127.0.0.1:7808\", not "
                                       "{}", name(), config::toml_quoted(text)));
    }
    field_.text = entry_.text;
    return true;
  }

  bool choose(const std::string& text, const TomlEntry& at, std::size_t& index) {
    const auto found = std::find(rule_.choices.begin(), rule_.choices.end(), text);
    if (found == rule_.choices.end()) {
      return wrong(at, fmt::format("{} must be one of {}, not {}{}", name(), joined(rule_.choices),
                                   config::toml_quoted(text),
                                   config::meant(config::nearest(text, rule_.choices))));
    }
    index = static_cast<std::size_t>(found - rule_.choices.begin());
    return true;
  }

  bool condition(const TomlEntry& at) {
    auto parsed = rule_.type == FieldType::condition ? parse_goal(at.text)
                                                     : parse_condition(at.text);
    if (!parsed) {
      if (complaints_ != nullptr) {
        complaints_->inside(at, parsed.error().offset, parsed.error().message);
      }
      return false;
    }
    field_.conditions.push_back(std::move(parsed).value());
    return true;
  }

  bool single() {
    switch (rule_.type) {
      case FieldType::boolean:
        if (entry_.kind != Kind::boolean) return wrong_type(entry_);
        field_.boolean = entry_.boolean;
        return true;
      case FieldType::integer:
      case FieldType::number: return number();
      case FieldType::choice:
        // version = 2019
        if (entry_.kind == Kind::integer) {
          return choose(fmt::format("{}", entry_.integer), entry_, field_.choice);
        }
        break;
      default: break;
    }
    if (entry_.kind != Kind::text) return wrong_type(entry_);
    switch (rule_.type) {
      case FieldType::duration: return duration();
      case FieldType::pause: return pause();
      case FieldType::address: return address();
      case FieldType::choice: return choose(entry_.text, entry_, field_.choice);
      case FieldType::condition: return condition(entry_);
      case FieldType::time_of_day:
        field_.time_ns = parse_time_of_day(entry_.text);
        if (field_.time_ns < 0) {
          return wrong(entry_, fmt::format("{} {}, not {}", name(), expected(rule_.type),
                                           config::toml_quoted(entry_.text)));
        }
        return true;
      default: break;
    }
    field_.text = entry_.text;
    const double bytes = static_cast<double>(entry_.text.size());
    if (bytes >= rule_.min && bytes <= rule_.max) return true;
    return wrong(entry_, entry_.text.empty()
                             ? fmt::format("{} must not be empty", name())
                             : fmt::format("{} must be no longer than {:.0f} bytes", name(),
                                           rule_.max));
  }

  bool list() {
    // One condition needs no list.
    if (entry_.kind == Kind::text && rule_.type == FieldType::conditions) {
      return condition(entry_);
    }
    if (entry_.kind != Kind::list) return wrong_type(entry_);
    bool good = true;
    for (const TomlEntry& child : entry_.children) {
      if (child.kind != Kind::text) {
        good = wrong(child, fmt::format("{} holds texts in quotes only, not {}", name(),
                                        config::described(child)));
      } else if (rule_.type == FieldType::conditions) {
        good &= condition(child);
      } else if (rule_.type == FieldType::choices) {
        std::size_t index = 0;
        good &= choose(child.text, child, index);
        field_.chosen.push_back(index);
      } else {
        field_.texts.push_back(child.text);
      }
    }
    return good;
  }

  const FieldRule& rule_;
  const TomlEntry& entry_;
  Complaints* complaints_;
  Field field_;
};

// Defaults as the table of keys says them, decoded by the same rules.
const std::vector<Field>& defaults() {
  static const std::vector<Field> all = [] {
    std::vector<Field> made;
    for (const FieldRule& rule : field_rules()) {
      Field field;
      field.rule = &rule;
      if (!rule.key.initial.empty() && rule.key.initial != "required") {
        const auto parsed = config::parse_toml(fmt::format("v = {}\n", rule.key.initial), "key");
        RG_CHECK(parsed.ok());
        Decoder decoder(rule, parsed->children.front(), nullptr);
        RG_CHECK(decoder.decode());
        field = decoder.take();
      }
      field.entry = nullptr;
      made.push_back(std::move(field));
    }
    return made;
  }();
  return all;
}

const Field* default_of(std::string_view table, std::string_view key) {
  for (const Field& field : defaults()) {
    if (field.rule->key.table == table && field.rule->key.name == key) return &field;
  }
  return nullptr;
}

// Whether the words "a, b" of `list` have `word`.
bool listed(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const std::size_t comma = list.find(", ");
    if (list.substr(0, comma) == word) return true;
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 2);
  }
  return false;
}

}  // namespace

MonoNs parse_time_of_day(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == 0 || colon > 2 || text.size() != colon + 3) return -1;
  int parts[2] = {0, 0};
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (i == colon) continue;
    if (text[i] < '0' || text[i] > '9') return -1;
    int& part = parts[i < colon ? 0 : 1];
    part = part * 10 + (text[i] - '0');
  }
  if (parts[1] > 59 || parts[0] > 24 || (parts[0] == 24 && parts[1] > 0)) return -1;
  return (parts[0] * 3600LL + parts[1] * 60LL) * ns_per_s;
}

void Complaints::add(unsigned line, unsigned column, std::string message) {
  Problem problem{name_, line, column, std::move(message)};
  if (line == 0 && column > 0 && column <= sets_.size()) {
    problem.name = fmt::format("--set {}", sets_[column - 1]);
    problem.column = 0;
  }
  problems_.push_back(std::move(problem));
}

void Complaints::inside(const TomlEntry& text, std::size_t offset, std::string message) {
  // The column counts only where the text stands in the line as it is, without escapes.
  std::size_t from = 0;
  for (unsigned line = 1; line < text.value_line && from != std::string_view::npos; ++line) {
    from = text_.find('\n', from);
    if (from != std::string_view::npos) ++from;
  }
  const std::size_t at = from + text.value_column;  // the column counts from 1: after the quote
  const bool plain = text.value_line > 0 && from != std::string_view::npos &&
                     at <= text_.size() && text_.substr(at).starts_with(text.text) &&
                     text.text.find('\n') == std::string::npos;
  add(text.value_line,
      plain ? text.value_column + 1 + static_cast<unsigned>(offset) : text.value_column,
      fmt::format("{}: {}", config::toml_quoted(text.text), message));
}

Problems Complaints::take() && {
  std::sort(problems_.begin(), problems_.end(), [](const Problem& a, const Problem& b) {
    return std::tie(a.line, a.column, a.name, a.message) <
           std::tie(b.line, b.column, b.name, b.message);
  });
  return std::move(problems_);
}

Fields::Fields(const TomlEntry& entry, std::string_view table, std::string_view kind,
               std::string who, Complaints& complaints)
    : entry_(entry), table_(table), who_(std::move(who)), complaints_(complaints) {
  std::vector<std::string_view> names;
  for (const FieldRule& rule : field_rules()) {
    if (rule.key.table == table) names.push_back(rule.key.name);
  }
  for (const TomlEntry& child : entry.children) {
    const std::string_view name = config::name_in(child, entry.path);
    const Field* initial = default_of(table, name);
    if (initial == nullptr) {
      const bool top = table.empty();
      complaints.at_key(child, fmt::format("{} {}{}",
                                           child.kind == Kind::table && top ? "unknown section"
                                                                            : "unknown key",
                                           config::toml_quoted(name),
                                           config::meant(config::nearest(name, names))));
      continue;
    }
    const FieldRule& rule = *initial->rule;
    if (!kind.empty() && !rule.key.of.empty() && !listed(rule.key.of, kind)) {
      complaints.at_key(child, fmt::format("{} means nothing to kind \"{}\"; it belongs to {}",
                                           name, kind, rule.key.of));
      Field unused = *initial;
      unused.entry = &child;
      fields_[std::string(name)] = {std::move(unused), false};
      continue;
    }
    Decoder decoder(rule, child, &complaints);
    const bool sound = decoder.decode();
    Field field = sound ? decoder.take() : *initial;
    field.entry = &child;
    fields_[std::string(name)] = {std::move(field), sound};
  }
}

const Field& Fields::operator[](std::string_view key) const {
  const auto found = fields_.find(key);
  if (found != fields_.end()) return found->second.field;
  const Field* initial = default_of(table_, key);
  RG_CHECK(initial != nullptr);
  return *initial;
}

bool Fields::sound(std::string_view key) const {
  const auto found = fields_.find(key);
  return found != fields_.end() && found->second.sound;
}

void Fields::complain(std::string_view key, std::string message) const {
  const auto found = fields_.find(key);
  if (found != fields_.end()) {
    complaints_.at_value(*found->second.field.entry, std::move(message));
  } else {
    complaints_.add(entry_.value_line, entry_.value_column, std::move(message));
  }
}

}  // namespace ringgate::load
