// What is said of files of another format version (FORMAT.md, "Versions").
#pragma once

#include <cerrno>
#include <cstdint>

#include "engine/base/result.hpp"

namespace ringgate::log {

// Error::code of what a newer program wrote: it is left alone, and nothing is written beside it.
constexpr int newer_format = EPROTONOSUPPORT;
// Of a file of another version than `known`; with newer_format where it is a later one.
Error version_error(std::uint64_t version, std::uint64_t known);

}  // namespace ringgate::log
