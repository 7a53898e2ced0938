// Tables of typed keys. A room says what can be set in it:
//
//   inline constexpr std::string_view admissions[] = {"open", "known"};
//   inline constexpr config::KeySpec jt808_keys[] = {
//       {.name = "jt808.idle_timeout", .type = KeyType::duration, .default_text = "5m",
//        .doc = "Close a link that has sent nothing for this long.", .apply = Apply::new_links,
//        .min = 10 * ns_per_s, .max = 24 * 3600 * ns_per_s},
//       {.name = "jt808.admission", .type = KeyType::choice, .default_text = "open",
//        .doc = "Who may register.", .apply = Apply::live, .choices = admissions}};
//
// and main collects them: schema.add(jt808_keys). Everything else (files, environment, --set,
// errors, the printed configuration, the sample) comes from these tables.
//
// Threads: filled by one thread at start, then constant and readable by any. Mistakes in a table (a
// key twice, a default that does not parse) end the process with a sentence that names the key.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "engine/base/result.hpp"

namespace ringgate::config {

enum class KeyType : std::uint8_t {
  boolean,    // true, false
  integer,    // 42
  size,       // "64MiB"; bytes
  duration,   // "30s"; nanoseconds
  text,       // "..."
  text_list,  // ["a", "b"]; in the environment and --set also: a,b
  choice,     // one of `choices`
};

// When a changed value takes effect at a reload.
enum class Apply : std::uint8_t { live, new_links, restart };

std::string_view apply_name(Apply apply);  // "live", "new links", "restart"

// Static: the schema keeps a pointer. Names are section.key in [a-z0-9_] and dots.
struct KeySpec {
  std::string_view name;
  KeyType type = KeyType::text;
  std::string_view default_text = {};  // as the environment would say it: "5m", "a,b", ""
  std::string_view doc;                // one sentence
  Apply apply = Apply::restart;
  // integer: the value; size: bytes; duration: nanoseconds; text: its length in bytes; text_list:
  // its number of entries. Both ends belong to the range.
  std::int64_t min = 0;
  std::int64_t max = std::numeric_limits<std::int64_t>::max();
  std::string_view unit = {};  // of an integer, for people: "links"
  std::span<const std::string_view> choices = {};
  // Further condition on a text or on each entry of a list; its message stands alone.
  Result<void> (*check)(std::string_view) = nullptr;
  bool secret = false;  // never printed, neither by print_config nor in errors
  bool hidden = false;  // for tests and experts: not in the sample; printed only when set
};

// A parsed value: boolean, integer/size/duration, text/choice, list.
using Data = std::variant<bool, std::int64_t, std::string, std::vector<std::string>>;

class Schema {
 public:
  void add(std::span<const KeySpec> table);

  std::size_t size() const { return keys_.size(); }
  const KeySpec& key(std::size_t index) const { return *keys_[index]; }
  const Data& default_of(std::size_t index) const { return defaults_[index]; }
  // Indices in the order of printing: sections as first added, keys of a section together.
  std::vector<std::size_t> by_section() const;

  static constexpr std::size_t none = std::numeric_limits<std::size_t>::max();
  std::size_t find(std::string_view name) const;  // none when unknown
  // Whether any key starts with `section` and a dot.
  bool has_section(std::string_view section) const;

  // The known key or section most like `name`, where one is close enough to be meant; else empty.
  std::string_view nearest_key(std::string_view name) const;
  std::string_view nearest_section(std::string_view name) const;

 private:
  std::vector<const KeySpec*> keys_;
  std::vector<Data> defaults_;
  std::unordered_map<std::string_view, std::size_t> index_;
};

// "jt808" of "jt808.idle_timeout"; "idle_timeout" of it.
std::string_view section_of(std::string_view name);
std::string_view leaf_of(std::string_view name);
// "RINGGATE_JT808__IDLE_TIMEOUT" of "jt808.idle_timeout".
std::string environment_name(std::string_view key);

// A value as the environment, --set and default_text give it. The error names the key and says what
// would be right; it repeats no secret.
Result<Data> parse_value(const KeySpec& key, std::string_view text);
// Range, choices, encoding and KeySpec::check of a value that has the right type.
Result<void> check_value(const KeySpec& key, const Data& value);
// For people: 5m, 64MiB, a,b. Secrets are not redacted here.
std::string format_value(const KeySpec& key, const Data& value);
// As TOML: "5m", ["a", "b"].
std::string toml_value(const KeySpec& key, const Data& value);
std::string toml_quoted(std::string_view text);
// "between 10s and 24h", "at least 1 link"; empty without limits.
std::string range_text(const KeySpec& key);
// "must be a duration such as \"30s\"", as errors say it.
std::string_view expectation(KeyType type);

// The number of edits between two words (insert, delete, replace, swap neighbours).
std::size_t edit_distance(std::string_view a, std::string_view b);
// The candidate with the fewest edits, at most a third of the last word of `name`; else empty.
std::string_view nearest(std::string_view name, std::span<const std::string_view> candidates);
// `; did you mean "x"?` of what nearest() found; nothing where it found nothing.
std::string meant(std::string_view nearest);

}  // namespace ringgate::config
