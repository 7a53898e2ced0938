// JSON as the tree that engine/config makes of TOML, so that one reader takes both. Pure.
#pragma once

#include <string_view>

#include "engine/base/result.hpp"
#include "engine/config/toml_file.hpp"

namespace ringgate::chaos {

// The top object: entries without lines; their paths are as those of TOML. The error's place is
// "line:column". Refused besides what is no JSON: names that stand twice in an object, null, what
// is nested deeper than limits::json_depth_max.
Result<config::TomlEntry, config::ConfigError> parse_json(std::string_view text);

}  // namespace ringgate::chaos
