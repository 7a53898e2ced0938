// Devices of the control socket as filters see them, and what filters say of themselves.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/base/json_writer.hpp"
#include "storage/event/device_filter.hpp"

namespace ringgate::server {

// A row of DeviceGate::list. Read only when a filter asks.
class JsonFields final : public event::FieldSource {
 public:
  explicit JsonFields(const std::string& row) : row_(row) {}

  event::FieldValue field(std::string_view key) const override {
    if (parsed_.is_null()) parsed_ = nlohmann::json::parse(row_, nullptr, false);
    const auto found = parsed_.find(key);
    if (found == parsed_.end()) return {};
    if (found->is_boolean()) return found->get<bool>();
    if (found->is_number()) return found->get<double>();
    if (found->is_string()) return found->get<std::string>();
    return {};
  }

 private:
  const std::string& row_;
  mutable nlohmann::json parsed_;
};

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
