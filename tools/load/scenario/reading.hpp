// Parts of the reader of scenarios: a class, a stage. Used by reader.cpp only; one thread.
#pragma once

#include <initializer_list>
#include <string_view>

#include "tools/load/scenario/fields.hpp"
#include "tools/load/scenario/shape.hpp"

namespace ringgate::load {

// `counted`: how many users it has, or what share of them, and their phones are well written.
UserClass read_class(const config::TomlEntry& table, std::size_t index, Complaints& complaints,
                     bool& counted);
// `before`: the stage before, whose last level is where this one begins by itself; null: none.
Stage read_stage(const config::TomlEntry& table, std::size_t index, const Stage* before,
                 Complaints& complaints);
// Tells which of the keys are missing. True: none is.
bool required(const Fields& fields, std::initializer_list<std::string_view> keys);

}  // namespace ringgate::load
