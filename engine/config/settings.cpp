#include "engine/config/settings.hpp"

#include <fmt/format.h>

namespace ringgate::config {

namespace {

const std::string default_source = "default";
constexpr std::string_view redacted = "<redacted>";

std::string_view type_name(KeyType type) {
  switch (type) {
    case KeyType::boolean: return "boolean";
    case KeyType::integer: return "integer";
    case KeyType::size: return "size";
    case KeyType::duration: return "duration";
    case KeyType::text: return "text";
    case KeyType::text_list: return "list of text";
    case KeyType::choice: return "choice";
  }
  return "";
}

bool redact(const KeySpec& key, const Data& value) {
  return key.secret && !format_value(key, value).empty();
}

// A comment ends with its line; file names may hold anything.
std::string one_line(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return text;
}

// "duration between 10s and 24h; default 5m; a change applies to new links"
std::string facts(const KeySpec& key, const Data& value) {
  std::string text(type_name(key.type));
  if (key.type == KeyType::choice) {
    text = "one of";
    for (std::size_t i = 0; i < key.choices.size(); ++i) {
      text += fmt::format("{} {}", i == 0 ? "" : ",", toml_quoted(key.choices[i]));
    }
  }
  const std::string range = range_text(key);
  if (!range.empty()) {
    text += fmt::format(" {}", range);
  } else if (key.type == KeyType::integer && !key.unit.empty()) {
    text += fmt::format(" of {}", key.unit);
  }
  text += fmt::format("; default {}", toml_value(key, value));
  switch (key.apply) {
    case Apply::live: return text += "; a reload applies it at once";
    case Apply::new_links: return text += "; a reload applies it to new links";
    case Apply::restart: break;
  }
  return text += "; a change needs a restart";
}

// Calls line(index) for the keys that `shown` admits, with a [section] header before each section.
template <class Shown, class Line>
void each_section(std::string& out, const Schema& schema, Shown shown, Line line) {
  std::string_view section;
  for (const std::size_t i : schema.by_section()) {
    if (!shown(i)) continue;
    const std::string_view next = section_of(schema.key(i).name);
    if (next != section) out += fmt::format("\n[{}]\n", next);
    section = next;
    line(i);
  }
}

}  // namespace

Settings::Settings(const Schema& schema) : schema_(&schema) {
  values_.reserve(schema.size());
  for (std::size_t i = 0; i < schema.size(); ++i) values_.push_back({schema.default_of(i), {}});
}

std::size_t Settings::index_of(std::string_view key) const {
  const std::size_t index = schema_->find(key);
  if (index == Schema::none) {
    check_failed(fmt::format("no configuration table holds the key \"{}\"", key).c_str(), __FILE__,
                 __LINE__);
  }
  return index;
}

const Settings::Value& Settings::value(std::string_view key, KeyType type) const {
  const std::size_t index = index_of(key);
  if (schema_->key(index).type != type) {
    check_failed(fmt::format("configuration key \"{}\" is no {}", key, type_name(type)).c_str(),
                 __FILE__, __LINE__);
  }
  return values_[index];
}

bool Settings::boolean(std::string_view key) const {
  return std::get<bool>(value(key, KeyType::boolean).data);
}
std::int64_t Settings::integer(std::string_view key) const {
  return std::get<std::int64_t>(value(key, KeyType::integer).data);
}
std::int64_t Settings::size_bytes(std::string_view key) const {
  return std::get<std::int64_t>(value(key, KeyType::size).data);
}
std::int64_t Settings::duration_ns(std::string_view key) const {
  return std::get<std::int64_t>(value(key, KeyType::duration).data);
}
const std::string& Settings::text(std::string_view key) const {
  const KeyType type = schema_->key(index_of(key)).type;
  return std::get<std::string>(value(key, type == KeyType::choice ? type : KeyType::text).data);
}
const std::vector<std::string>& Settings::list(std::string_view key) const {
  return std::get<std::vector<std::string>>(value(key, KeyType::text_list).data);
}

std::size_t Settings::choice_index(std::string_view key) const {
  const std::string& chosen = std::get<std::string>(value(key, KeyType::choice).data);
  const auto choices = schema_->key(index_of(key)).choices;
  std::size_t index = 0;
  while (choices[index] != chosen) ++index;  // check_value let nothing else in
  return index;
}

const std::string& Settings::source(std::string_view key) const {
  const std::string& source = values_[index_of(key)].source;
  return source.empty() ? default_source : source;
}

bool Settings::is_default(std::string_view key) const {
  return values_[index_of(key)].source.empty();
}

void Settings::put(std::size_t index, Data data, std::string source) {
  RG_CHECK(index < values_.size());
  RG_CHECK(data.index() == values_[index].data.index());
  RG_CHECK(check_value(schema_->key(index), data).ok());
  values_[index] = {std::move(data), std::move(source)};
}

std::string print_config(const Settings& settings) {
  const Schema& schema = settings.schema();
  std::string out = "# Every setting in effect. Behind each value stands where it comes from.\n";
  const auto shown = [&](std::size_t i) {
    return !schema.key(i).hidden || !settings.source(i).empty();
  };
  each_section(out, schema, shown, [&](std::size_t i) {
    const KeySpec& key = schema.key(i);
    const Data& value = settings.data(i);
    const std::string text = redact(key, value) ? toml_quoted(redacted) : toml_value(key, value);
    out += fmt::format("{} = {}  # {}\n", leaf_of(key.name), text,
                       one_line(settings.source(key.name)));
  });
  return out;
}

std::string sample_config(const Schema& schema) {
  std::string out =
      "# Every setting of ringgate with its default. Remove the # in front of a setting to change "
      "it.\n"
      "# Each can also be given as environment variable (server.shards is RINGGATE_SERVER__SHARDS; "
      "lists\n"
      "# with commas) or on the command line (--set server.shards=2); the later of file, "
      "environment and\n"
      "# command line wins. Sizes take B, KiB, MiB, GiB, TiB, kB, MB, GB, TB; durations ns, us, "
      "ms, s, m,\n"
      "# h, d, also together (1h30m).\n";
  const auto shown = [&](std::size_t i) { return !schema.key(i).hidden; };
  bool first = true;
  std::string_view section;
  each_section(out, schema, shown, [&](std::size_t i) {
    const KeySpec& key = schema.key(i);
    first = section != section_of(key.name);
    section = section_of(key.name);
    if (!first) out += '\n';
    out += fmt::format("# {}\n# {}.\n#{} = {}\n", key.doc, facts(key, schema.default_of(i)),
                       leaf_of(key.name), toml_value(key, schema.default_of(i)));
  });
  return out;
}

std::vector<Change> diff(const Settings& before, const Settings& after) {
  RG_CHECK(&before.schema() == &after.schema());
  std::vector<Change> changes;
  for (std::size_t i = 0; i < before.schema().size(); ++i) {
    if (before.data(i) == after.data(i)) continue;
    const KeySpec& key = before.schema().key(i);
    const auto fit = [&](const Data& value) {
      return redact(key, value) ? std::string(redacted) : format_value(key, value);
    };
    changes.push_back({&key, fit(before.data(i)), fit(after.data(i))});
  }
  return changes;
}

}  // namespace ringgate::config
