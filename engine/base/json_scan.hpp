// Checks JSON text (RFC 8259) without building anything, and finds members of the top-level object.
// Pure, no allocation, bounded depth; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace ringgate {

// Nested deeper than this is no telemetry, and bounds the recursion.
constexpr int json_depth_max = 32;

struct JsonScan {
  enum class Error : std::uint8_t { none, not_json, no_object, too_deep };
  Error error = Error::none;
  std::size_t offset = 0;  // of the error
  // The member's value as it stands in the text, quotes included; of several the last. Empty: none.
  std::string_view member;
};

// `text` must be one object, with blanks around it at most. `name` must need no escapes.
JsonScan scan_json_object(std::string_view text, std::string_view name);

struct JsonMember {
  std::string_view name;   // as it stands between its quotes
  std::string_view value;  // as JsonScan::member
};
// All members of the object in one go: the first of them into `out`, how many it has into `count`,
// which may be more than `out` holds.
JsonScan scan_json_members(std::string_view text, std::span<JsonMember> out, std::size_t& count);

}  // namespace ringgate
