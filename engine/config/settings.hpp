// The merged configuration: a value and its source for every key of a schema.
//
//   Schema schema;                                  // lives as long as its settings
//   schema.add(server_keys);
//   auto loaded = load_settings(schema, {"/etc/ringgate.toml"}, environ, {"server.shards=2"});
//   if (!loaded) for (const ConfigError& e : loaded.error()) print(e.text());
//   const auto idle_ns = loaded->duration_ns("jt808.idle_timeout");
//
// Layers, later ones win: defaults, files in order, environment, --set in order. Every error of
// every layer is reported at once.
//
// Threads: plain values; readable by any thread once built. Getters look names up in a hash table:
// take what the message path needs at start. An unknown key or a wrong type in a getter is a
// mistake in the program and ends the process.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/config/schema.hpp"

namespace ringgate::config {

struct ConfigError {
  std::string where;  // "/etc/x.toml:12:5", "environment RINGGATE_...", "--set jt808.idle_timeout"
  std::string message;  // names the key and the cure
  std::string text() const { return where + ": " + message; }
};
using ConfigErrors = std::vector<ConfigError>;

class Settings {
 public:
  explicit Settings(const Schema& schema);  // all defaults

  const Schema& schema() const { return *schema_; }

  bool boolean(std::string_view key) const;
  std::int64_t integer(std::string_view key) const;
  std::int64_t size_bytes(std::string_view key) const;
  std::int64_t duration_ns(std::string_view key) const;
  const std::string& text(std::string_view key) const;  // also of a choice
  const std::vector<std::string>& list(std::string_view key) const;
  // Which of KeySpec::choices, so that an enum in the same order can be cast from it.
  std::size_t choice_index(std::string_view key) const;

  // "default", "/etc/x.toml:12:5", "environment RINGGATE_JT808__IDLE_TIMEOUT", "--set
  // jt808.idle_timeout".
  const std::string& source(std::string_view key) const;
  bool is_default(std::string_view key) const;  // nobody set it

  // For loaders and tests: the value must satisfy its key.
  void put(std::size_t index, Data value, std::string source);
  const Data& data(std::size_t index) const { return values_[index].data; }
  const std::string& source(std::size_t index) const { return values_[index].source; }

 private:
  struct Value {
    Data data;
    std::string source;  // empty: default
  };
  const Value& value(std::string_view key, KeyType type) const;
  std::size_t index_of(std::string_view key) const;

  const Schema* schema_;
  std::vector<Value> values_;
};

// The whole way of a server or tool. `environment` holds "NAME=value" strings; only names that
// start with RINGGATE_ are looked at. Nothing is taken over when there is any error.
Result<Settings, ConfigErrors> load_settings(const Schema& schema,
                                             std::span<const std::string> files,
                                             std::span<const std::string> environment,
                                             std::span<const std::string> sets);

// `environ` of the process as load_settings wants it.
std::vector<std::string> process_environment();

// Every value in effect with its source, as TOML that parses. Secrets read "<redacted>" unless
// empty; hidden keys appear when they are set.
std::string print_config(const Settings& settings);

// Every key that is not hidden, with what it means, its type, range, default and reload class.
// Every setting is commented out; uncommented, it is the default.
std::string sample_config(const Schema& schema);

// A key whose value differs. Both texts are fit to print: secrets read "<redacted>".
struct Change {
  const KeySpec* key;
  std::string before;
  std::string after;
};
// In the order of the schema; both must be of the same one.
std::vector<Change> diff(const Settings& before, const Settings& after);

}  // namespace ringgate::config
