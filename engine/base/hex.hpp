// Hexadecimal text. Pure, any thread; allocates, so not for the message path.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/bytes.hpp"

namespace ringgate {

void append_hex(std::string& out, Bytes bytes);  // lower case, no separators
std::string to_hex(Bytes bytes);
// Upper or lower case; white space between bytes is skipped. Nothing on an odd digit or a stranger.
std::optional<std::vector<std::uint8_t>> from_hex(std::string_view text);

}  // namespace ringgate
