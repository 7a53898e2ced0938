// --set on the tree of a scenario's text, before it is decoded: "seed=7",
// "class.drivers.weight=2", "stage.0.users=10", "stage.*.rate=2", "thresholds.all=[]".
#pragma once

#include <string>
#include <vector>

#include "engine/config/toml_file.hpp"
#include "tools/load/scenario/fields.hpp"

namespace ringgate::load {

// What stands left of the '=' of each, as Complaints wants it.
std::vector<std::string> set_keys(const std::vector<std::string>& sets);
// Values are TOML; what is none (10s, 127.0.0.1:7808) is taken as a text.
void apply_sets(config::TomlEntry& top, const std::vector<std::string>& sets,
                Complaints& complaints);

}  // namespace ringgate::load
