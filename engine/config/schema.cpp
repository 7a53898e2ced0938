#include "engine/config/schema.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "engine/base/utf8.hpp"
#include "engine/config/units.hpp"

namespace ringgate::config {

namespace {

[[noreturn]] void wrong_table(std::string_view key, std::string_view why) {
  check_failed(fmt::format("configuration table, key \"{}\": {}", key, why).c_str(), __FILE__,
               __LINE__);
}

bool well_formed(std::string_view name) {
  if (section_of(name).empty() || leaf_of(name).empty()) return false;
  if (name.find("__") != std::string_view::npos || name.find("..") != std::string_view::npos)
    return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
  });
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Without the quotes of TOML, which people carry over from files.
std::string_view unquoted(std::string_view text) {
  const bool quoted = text.size() >= 2 && text.front() == text.back() &&
                      (text.front() == '"' || text.front() == '\'');
  return quoted ? text.substr(1, text.size() - 2) : text;
}

// a,b or ["a", "b"]. A bracket before anything but a quote begins an IPv6 address.
std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> parts;
  text = trimmed(text);
  if (text.size() >= 2 && text.front() == '[' && text.back() == ']') {
    const std::string_view inside = trimmed(text.substr(1, text.size() - 2));
    if (inside.empty() || inside.front() == '"' || inside.front() == '\'') text = inside;
  }
  if (text.empty()) return parts;
  for (;;) {
    const std::size_t comma = text.find(',');
    parts.emplace_back(unquoted(trimmed(text.substr(0, comma))));
    if (comma == std::string_view::npos) return parts;
    text.remove_prefix(comma + 1);
  }
}

// A figure of the key's kind in words.
std::string figure(const KeySpec& key, std::int64_t value) {
  if (key.type == KeyType::size) return format_size(value);
  if (key.type == KeyType::duration) return format_duration(value);
  std::string text = std::to_string(value);
  if (key.type == KeyType::text) return text.append(" bytes");
  if (key.type == KeyType::text_list) return text.append(value == 1 ? " entry" : " entries");
  return key.unit.empty() ? text : text.append(" ").append(key.unit);
}

// What the range of a key applies to.
std::int64_t measure(const Data& value) {
  if (const auto* text = std::get_if<std::string>(&value))
    return static_cast<std::int64_t>(text->size());
  if (const auto* list = std::get_if<std::vector<std::string>>(&value)) {
    return static_cast<std::int64_t>(list->size());
  }
  const auto* number = std::get_if<std::int64_t>(&value);
  return number == nullptr ? 0 : *number;
}

Result<void> check_text(const KeySpec& key, std::string_view text) {
  if (!is_utf8(text)) return Error{0, fmt::format("{} is not valid UTF-8", key.name)};
  if (key.check == nullptr) return {};
  const auto checked = key.check(text);
  if (!checked) {
    // The check's message may repeat the text; what is expected never does.
    return Error{0, key.secret ? fmt::format("{} is not acceptable ({})", key.name, key.doc)
                               : fmt::format("{}: {}", key.name, checked.error().message)};
  }
  return {};
}

Result<void> check_choice(const KeySpec& key, std::string_view text) {
  if (std::find(key.choices.begin(), key.choices.end(), text) != key.choices.end()) return {};
  std::string allowed;
  for (std::size_t i = 0; i < key.choices.size(); ++i) {
    if (i != 0) allowed += i + 1 == key.choices.size() ? " or " : ", ";
    allowed += fmt::format("\"{}\"", key.choices[i]);
  }
  std::string message = fmt::format("{} must be {}", key.name, allowed);
  if (!key.secret) message += fmt::format(", not {}", toml_quoted(text));
  message += meant(nearest(text, key.choices));
  return Error{0, message};
}

Error wrong_value(const KeySpec& key, std::string_view text, std::string_view why) {
  std::string message = fmt::format("{} {}", key.name, expectation(key.type));
  if (!key.secret) message += fmt::format(", not {}", toml_quoted(text));
  if (!why.empty()) message += fmt::format(": {}", why);
  return {0, message};
}

Result<Data> parse_number(const KeySpec& key, std::string_view text) {
  if (key.type == KeyType::integer) {
    std::int64_t number = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
    if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size())
      return wrong_value(key, text, "");
    return Data(number);
  }
  const auto parsed = key.type == KeyType::size ? parse_size(text) : parse_duration(text);
  if (!parsed) return wrong_value(key, text, parsed.error().message);
  return Data(*parsed);
}

Result<Data> parse_unchecked(const KeySpec& key, std::string_view text) {
  if (key.type != KeyType::text_list) text = unquoted(text);
  switch (key.type) {
    case KeyType::boolean:
      if (text == "true") return Data(true);
      if (text == "false") return Data(false);
      return wrong_value(key, text, "");
    case KeyType::integer:
    case KeyType::size:
    case KeyType::duration: return parse_number(key, trimmed(text));
    case KeyType::text_list: return Data(split_list(text));
    case KeyType::text:
    case KeyType::choice: break;
  }
  return Data(std::string(text));
}

// Case and hyphens are spelling, not meaning.
std::string folded(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c == '-') c = '_';
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

}  // namespace

std::string_view apply_name(Apply apply) {
  switch (apply) {
    case Apply::live: return "live";
    case Apply::new_links: return "new links";
    case Apply::restart: return "restart";
  }
  return "restart";
}

std::string_view expectation(KeyType type) {
  switch (type) {
    case KeyType::boolean: return "must be true or false";
    case KeyType::integer: return "must be a whole number";
    case KeyType::size: return "must be a size such as \"64MiB\"";
    case KeyType::duration: return "must be a duration such as \"30s\" or \"5m\"";
    case KeyType::text:
    case KeyType::choice: return "must be text in quotes";
    case KeyType::text_list: return "must be a list of texts such as [\"a\", \"b\"]";
  }
  return "";
}

void Schema::add(std::span<const KeySpec> table) {
  for (const KeySpec& key : table) {
    if (!well_formed(key.name))
      wrong_table(key.name, "the name must be section.key in a-z, 0-9 and _");
    if (key.doc.empty()) wrong_table(key.name, "has no doc");
    if ((key.type == KeyType::choice) == key.choices.empty())
      wrong_table(key.name, "choices and type disagree");
    if (!index_.emplace(key.name, keys_.size()).second) wrong_table(key.name, "is there twice");
    auto value = parse_value(key, key.default_text);
    if (!value) wrong_table(key.name, "default: " + value.error().message);
    keys_.push_back(&key);
    defaults_.push_back(std::move(value).value());
  }
  for (const KeySpec* key : keys_) {
    if (has_section(key->name)) wrong_table(key->name, "is a key and a section");
  }
}

std::vector<std::size_t> Schema::by_section() const {
  std::vector<std::string_view> sections;
  for (const KeySpec* key : keys_) {
    const auto section = section_of(key->name);
    if (std::find(sections.begin(), sections.end(), section) == sections.end())
      sections.push_back(section);
  }
  std::vector<std::size_t> order;
  for (const std::string_view section : sections) {
    for (std::size_t i = 0; i < keys_.size(); ++i) {
      if (section_of(keys_[i]->name) == section) order.push_back(i);
    }
  }
  return order;
}

std::size_t Schema::find(std::string_view name) const {
  const auto at = index_.find(name);
  return at == index_.end() ? none : at->second;
}

bool Schema::has_section(std::string_view section) const {
  return std::any_of(keys_.begin(), keys_.end(), [&](const KeySpec* key) {
    return key->name.size() > section.size() && key->name.starts_with(section) &&
           key->name[section.size()] == '.';
  });
}

std::string_view Schema::nearest_key(std::string_view name) const {
  std::vector<std::string_view> names;
  for (const KeySpec* key : keys_) {
    if (!key->hidden) names.push_back(key->name);
  }
  const std::string_view found = nearest(name, names);
  if (!found.empty()) return found;
  // The right key in the wrong section.
  const std::string leaf = folded(leaf_of(name));
  const auto same = std::find_if(names.begin(), names.end(),
                                 [&](std::string_view known) { return leaf_of(known) == leaf; });
  return same == names.end() ? std::string_view{} : *same;
}

std::string_view Schema::nearest_section(std::string_view name) const {
  std::vector<std::string_view> names;
  for (const KeySpec* key : keys_) {
    if (!key->hidden) names.push_back(section_of(key->name));
  }
  return nearest(name, names);
}

std::string_view section_of(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? std::string_view{} : name.substr(0, dot);
}

std::string_view leaf_of(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? name : name.substr(dot + 1);
}

std::string environment_name(std::string_view key) {
  std::string name = "RINGGATE_";
  for (const char c : key) {
    if (c == '.') {
      name += "__";
    } else {
      name += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    }
  }
  return name;
}

Result<Data> parse_value(const KeySpec& key, std::string_view text) {
  auto value = parse_unchecked(key, text);
  if (!value) return value;
  const auto checked = check_value(key, *value);
  if (!checked) return checked.error();
  return value;
}

Result<void> check_value(const KeySpec& key, const Data& value) {
  if (const auto* text = std::get_if<std::string>(&value)) {
    const auto checked =
        key.type == KeyType::choice ? check_choice(key, *text) : check_text(key, *text);
    if (!checked || key.type == KeyType::choice) return checked;
  }
  if (const auto* list = std::get_if<std::vector<std::string>>(&value)) {
    for (const std::string& entry : *list) {
      const auto checked = check_text(key, entry);
      if (!checked) return checked;
    }
  }
  if (key.type == KeyType::boolean) return {};
  const std::int64_t size = measure(value);
  if (size >= key.min && size <= key.max) return {};
  const bool counted = key.type == KeyType::text || key.type == KeyType::text_list;
  std::string range = range_text(key);
  if (range.empty()) range = "at least 0";
  if (key.secret && !counted) return Error{0, fmt::format("{} must be {}", key.name, range)};
  return Error{0, fmt::format("{} {} {}; it must {} {}", key.name, counted ? "has" : "is",
                              figure(key, size), counted ? "have" : "be", range)};
}

std::string range_text(const KeySpec& key) {
  if (key.type == KeyType::boolean || key.type == KeyType::choice) return {};
  const bool open_above = key.max == std::numeric_limits<std::int64_t>::max();
  if (open_above)
    return key.min == 0 ? std::string{} : fmt::format("at least {}", figure(key, key.min));
  if (key.type == KeyType::size || key.type == KeyType::duration) {
    return fmt::format("between {} and {}", figure(key, key.min), figure(key, key.max));
  }
  return fmt::format("between {} and {}", key.min, figure(key, key.max));
}

std::string format_value(const KeySpec& key, const Data& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  if (const auto* list = std::get_if<std::vector<std::string>>(&value)) {
    std::string joined;
    for (const std::string& entry : *list) {
      if (&entry != list->data()) joined += ',';
      joined += entry;
    }
    return joined;
  }
  const std::int64_t number = std::get<std::int64_t>(value);
  if (key.type == KeyType::size) return format_size(number);
  if (key.type == KeyType::duration) return format_duration(number);
  return std::to_string(number);
}

std::string toml_quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      constexpr char digits[] = "0123456789ABCDEF";
      out += "\\u00";
      out += digits[byte >> 4];
      out += digits[byte & 15];
    } else {
      out += c;
    }
  }
  return out += '"';
}

std::string toml_value(const KeySpec& key, const Data& value) {
  if (const auto* list = std::get_if<std::vector<std::string>>(&value)) {
    std::string out = "[";
    for (std::size_t i = 0; i < list->size(); ++i) {
      if (i != 0) out += ", ";
      out += toml_quoted((*list)[i]);
    }
    return out += ']';
  }
  const bool bare = key.type == KeyType::boolean || key.type == KeyType::integer;
  return bare ? format_value(key, value) : toml_quoted(format_value(key, value));
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  // Three rows of the usual table; the third for swapped neighbours.
  std::vector<std::size_t> before(b.size() + 1);
  std::vector<std::size_t> above(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    before.swap(above);
    above.swap(row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replace = above[j - 1] + (a[i - 1] == b[j - 1] ? 0U : 1U);
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
  }
  return row[b.size()];
}

std::string_view nearest(std::string_view name, std::span<const std::string_view> candidates) {
  constexpr std::size_t longest = 128;  // what is longer is no misspelt word
  if (name.size() > longest) return {};
  const std::string wanted = folded(name);
  std::size_t fewest = std::max<std::size_t>(1, leaf_of(name).size() / 3) + 1;
  std::string_view found;
  for (const std::string_view candidate : candidates) {
    const std::size_t edits = edit_distance(wanted, candidate);
    if (edits < fewest) {
      fewest = edits;
      found = candidate;
    }
  }
  return found;
}

std::string meant(std::string_view nearest) {
  return nearest.empty() ? std::string{} : fmt::format("; did you mean \"{}\"?", nearest);
}

}  // namespace ringgate::config
