// Bodies of requests: JSON as strangers send it, read strictly. Pure; any thread.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>

#include "engine/base/result.hpp"

namespace ringgate::api {

using Json = nlohmann::json;

// An object or an array. Error: no JSON, not UTF-8, nested deeper than json_depth_max, a number
// beyond all bounds, or a key that stands twice in one object (readers differ in which they take).
Result<Json> read_json(std::string_view text);

// The members of an object. Each is asked for once with its type; what is wrong first is the error,
// which names the key. A key that nobody has asked for is wrong, too.
class Members {
 public:
  explicit Members(const Json& object) : object_(object) {}

  // Null: it is not there.
  const Json* get(std::string_view key);
  bool has(std::string_view key) const { return object_.contains(key); }
  // Each leaves `out` as it is where the key is not there. A text of at most `bytes_max` bytes.
  void text(std::string_view key, std::string& out, std::size_t bytes_max);
  void flag(std::string_view key, bool& out);
  void number(std::string_view key, std::uint64_t& out, std::uint64_t least, std::uint64_t most);
  // Says what is wrong, unless something was before.
  void wrong(std::string_view key, std::string_view what);

  bool good() const { return error_.empty(); }
  // After all keys were asked for. Empty: all is well.
  const std::string& error();

 private:
  const Json& object_;
  std::set<std::string, std::less<>> asked_;
  std::string error_;
};

}  // namespace ringgate::api
