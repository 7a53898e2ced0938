// Rows of DeviceGate::list as filters see them. Any thread.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "storage/event/device_filter.hpp"

namespace ringgate::event {

// A row of DeviceGate::list. Read only when a filter asks.
class JsonFields final : public FieldSource {
 public:
  explicit JsonFields(const std::string& row) : row_(row) {}

  FieldValue field(std::string_view key) const override {
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

}  // namespace ringgate::event
