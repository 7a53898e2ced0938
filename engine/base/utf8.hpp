// UTF-8 as RFC 3629 section 4 has it. Pure, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ringgate {

// Length in bytes (1 to 4) of the valid sequence at `at`; 0 where there is none.
inline std::size_t utf8_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) -> unsigned {
    return at + i < text.size() ? static_cast<std::uint8_t>(text[at + i]) : 0U;
  };
  const auto tail = [&](std::size_t i) { return (byte(i) & 0xc0U) == 0x80U; };
  const unsigned lead = byte(0);
  if (at >= text.size()) return 0;
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return tail(1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    if (!tail(1) || !tail(2)) return 0;
    if (lead == 0xe0 && byte(1) < 0xa0) return 0;  // overlong
    if (lead == 0xed && byte(1) > 0x9f) return 0;  // surrogates
    return 3;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    if (!tail(1) || !tail(2) || !tail(3)) return 0;
    if (lead == 0xf0 && byte(1) < 0x90) return 0;
    if (lead == 0xf4 && byte(1) > 0x8f) return 0;
    return 4;
  }
  return 0;
}

inline bool is_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = utf8_length(text, at);
    if (length == 0) return false;
    at += length;
  }
  return true;
}

// At most `size_max` bytes of a text, cut at a whole character.
inline std::string_view cut_utf8(std::string_view text, std::size_t size_max) {
  if (text.size() <= size_max) return text;
  std::size_t at = 0;
  while (at < size_max) {
    const std::size_t length = utf8_length(text, at);
    const std::size_t step = length == 0 ? 1 : length;
    if (at + step > size_max) break;
    at += step;
  }
  return text.substr(0, at);
}

}  // namespace ringgate
