// Ring features as text, for settings and logs. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/io/ring.hpp"

namespace ringgate::io {

// The Feature bits that `names` lists, separated by blanks or commas; the reverse of
// feature_names(). For the hidden setting that forces fallbacks. Error: the name that is none, and
// those there are.
Result<std::uint32_t> features_from_names(std::string_view names);

}  // namespace ringgate::io
