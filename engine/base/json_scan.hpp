// Checks JSON text (RFC 8259) without building anything, and finds one member of the top-level
// object. Pure, no allocation, bounded depth; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
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

}  // namespace ringgate
