// Why bytes on a link were not a frame. Each reason is a counter of its own. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ringgate::jt808 {

enum class BadReason : std::uint8_t {
  none,
  garbage,    // bytes outside delimiters that are no frame either
  escape,     // 7D followed by something other than 01 or 02
  checksum,   // XOR of header, body and check byte is not 0
  too_short,  // fewer bytes than the shortest header and a check byte
  oversize,   // no delimiter within the longest possible frame
  length,     // the body length in the header disagrees with the frame
  phone,      // a nibble A-F in the phone number
  header,     // packet total or number that cannot be
};
constexpr std::size_t bad_reason_count = 9;

constexpr std::string_view name(BadReason reason) {
  constexpr std::string_view names[bad_reason_count] = {
      "none",     "garbage", "escape", "checksum", "too_short",
      "oversize", "length",  "phone",  "header"};
  return names[static_cast<std::size_t>(reason)];
}

}  // namespace ringgate::jt808
