// What the operations of the control socket say of filters, and the time they go by.
#pragma once

#include <chrono>
#include <string>

#include "engine/base/json_writer.hpp"
#include "storage/event/device_filter.hpp"

namespace ringgate::server {

inline std::string filter_error(const event::FilterError& error) {
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("ok").boolean(false).key("error").begin_object();
  json.key("code").text("bad-filter").key("message").text(error.message);
  json.key("column").unsigned_integer(error.column).end_object().end_object();
  return text;
}

inline WallUs wall_now_us() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(now).count();
}

}  // namespace ringgate::server
