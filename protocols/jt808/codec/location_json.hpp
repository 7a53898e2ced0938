// A position as JSON, with units in the names. Allocates: for tools and sinks. Any thread.
#pragma once

#include <string_view>

#include "engine/base/bytes.hpp"
#include "engine/base/json_writer.hpp"
#include "protocols/jt808/codec/header.hpp"

namespace ringgate::jt808 {

// Adds the keys of a position body to the open object. `version` decides what some bits mean.
void json_location(Version version, Bytes body, JsonWriter& out);

// Adds `key` as RFC 3339 text in UTC and null for time_invalid.
void json_time(std::string_view key, std::int64_t unix_s, JsonWriter& out);

// What an alarm or status bit means; empty for a reserved one.
std::string_view alarm_name(Version version, unsigned bit);
std::string_view status_name(Version version, unsigned bit);

}  // namespace ringgate::jt808
