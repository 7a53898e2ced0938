// Newline-delimited JSON: one object a line whose `id` names the device. Pure, no allocation; any
// thread.
#pragma once

#include "engine/base/ids.hpp"
#include "engine/base/json_scan.hpp"

namespace ringgate::jsonl {

// Longest line without its end. Fits a mail to another shard (limits::mail_bytes_max).
constexpr std::size_t line_size_max = 16 * 1024;

enum class LineError : std::uint8_t { none, not_json, no_object, too_deep, bad_id, too_long };
inline constexpr std::string_view line_error_names[] = {"none",     "not_json", "no_object",
                                                        "too_deep", "bad_id",   "too_long"};

struct Line {
  LineError error = LineError::none;
  std::string_view id;  // in the line
};

// Of what JSON lets stand in a string as it is: DEL and the C1 controls (U+0080 to U+009F), which
// some terminals obey. Ids are shown to people.
inline bool has_controls(std::string_view id) {
  for (std::size_t i = 0; i < id.size(); ++i) {
    const auto byte = static_cast<unsigned char>(id[i]);
    const auto next = static_cast<unsigned char>(i + 1 < id.size() ? id[i + 1] : 0);
    if (byte == 0x7f || (byte == 0xc2 && next < 0xa0)) return true;
  }
  return false;
}

// The `id` is a string without escapes and control characters, or an integer as written, of 1 to
// 38 bytes.
inline Line parse_line(std::string_view text) {
  if (text.size() > line_size_max) return {LineError::too_long, {}};
  const JsonScan scan = scan_json_object(text, "id");
  if (scan.error != JsonScan::Error::none) return {static_cast<LineError>(scan.error), {}};
  std::string_view id = scan.member;
  const bool quoted = id.size() >= 2 && id.front() == '"';
  if (quoted) id = id.substr(1, id.size() - 2);
  const bool usable = quoted ? id.find('\\') == std::string_view::npos
                             : id.find_first_not_of("-0123456789") == std::string_view::npos;
  if (!usable || !DeviceKey::fits(id) || has_controls(id)) return {LineError::bad_id, {}};
  return {LineError::none, id};
}

}  // namespace ringgate::jsonl
