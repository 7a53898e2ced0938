// Wall clock times as JSON. Any thread.
#pragma once

#include <string_view>

#include "engine/base/clock.hpp"
#include "engine/base/json_writer.hpp"
#include "engine/observe/log_format.hpp"

namespace ringgate::jt808 {

// Adds `key` as RFC 3339 text in UTC with milliseconds, and null for 0.
inline void json_wall(std::string_view key, WallUs at_us, JsonWriter& out) {
  out.key(key);
  if (at_us == 0) {
    out.null();
    return;
  }
  char text[observe::time_text_size];
  observe::format_time(text, at_us);
  out.text({text, sizeof text});
}

}  // namespace ringgate::jt808
