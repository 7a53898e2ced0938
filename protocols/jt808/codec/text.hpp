// GBK, the character set of every STRING, to UTF-8 and back. Allocates: for tools, sinks and
// commands. Any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/base/bytes.hpp"

namespace ringgate::jt808 {

// Bytes that are no GBK become U+FFFD, one each.
std::string utf8_from_gbk(Bytes text);

// Appends `text` in GBK. Returns what is wrong (it is no UTF-8, or a character is not in GBK), or
// nothing.
std::string gbk_from_utf8(std::string_view text, std::vector<std::uint8_t>& out);

// Without 00 and spaces at both ends.
Bytes trimmed(Bytes text);

}  // namespace ringgate::jt808
