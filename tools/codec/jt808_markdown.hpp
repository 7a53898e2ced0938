// The message tables of JT/T 808 as a page for people.
#pragma once

#include <string>

namespace ringgate::codec_tool {

// protocols/jt808/MESSAGES.md, which a test compares with this. Allocates; any thread.
std::string jt808_markdown();

}  // namespace ringgate::codec_tool
