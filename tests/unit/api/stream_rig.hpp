// What tests of the live stream share: a protocol of devices that are numbers, and events.
#pragma once

#include <charconv>
#include <string>

#include "protocols/api/stream_events.hpp"
#include "protocols/api/subscription.hpp"

namespace ringgate::unit {

class Numbers final : public event::DeviceProtocol {
 public:
  Namespace ns() const override { return Namespace::phone; }
  std::span<const std::string_view> list_keys() const override { return {}; }
  Result<DeviceKey> parse_device(std::string_view text) const override {
    const bool digits = text.find_first_not_of("0123456789") == std::string_view::npos;
    if (!digits || !DeviceKey::fits(text)) return Error{0, "no number of a device"};
    return DeviceKey(Namespace::phone, text);
  }
  Result<std::shared_ptr<const event::PreparedCommand>> prepare(std::string_view) const override {
    return Error{0, "no commands"};
  }
};

inline DeviceKey device(std::uint64_t number) {
  return {Namespace::phone, std::to_string(number)};
}

class MadeEvent final : public api::Event {
 public:
  MadeEvent(const api::EventFacts& facts, std::string json) : json_(std::move(json)) {
    facts_ = facts;
  }
  std::string_view json(bool) override { return json_; }

 private:
  std::string json_;
};

}  // namespace ringgate::unit
