// GBK, the character set of every STRING, to UTF-8. Allocates: for tools and sinks. Any thread.
#pragma once

#include <string>

#include "engine/base/bytes.hpp"

namespace ringgate::jt808 {

// Bytes that are no GBK become U+FFFD, one each.
std::string utf8_from_gbk(Bytes text);

// Without 00 and spaces at both ends.
Bytes trimmed(Bytes text);

}  // namespace ringgate::jt808
