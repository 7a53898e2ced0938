// Commands before they go to a shard: what people write, encoded once for every version that the
// devices may speak.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "protocols/jt808/codec/header.hpp"
#include "protocols/jt808/codec/schema.hpp"
#include "protocols/jt808/downlink.hpp"
#include "storage/event/device_gate.hpp"

namespace ringgate::jt808 {

// One message of the platform. Immutable; any thread.
struct PreparedMessage final : event::PreparedCommand {
  std::uint16_t id = 0;
  std::string name;  // "text-message"; empty: in no table
  Answer answer;     // what the terminal will say to it

  struct Encoding {
    SharedBody body;      // null: this version has no such message, or not with these fields
    std::string why_not;  // then
  };
  std::array<Encoding, 2> encodings;  // by Version

  const Encoding& encoding(Version version) const {
    return encodings[static_cast<std::size_t>(version)];
  }
};

// Makes commands for terminals. Stateless; any thread.
class DeviceProtocol final : public event::DeviceProtocol {
 public:
  Namespace ns() const override { return Namespace::phone; }
  std::span<const std::string_view> list_keys() const override;
  // A phone number in digits, with or without the zeros that pad it.
  Result<DeviceKey> parse_device(std::string_view text) const override;
  // {"message": NAME or "0x8300", fields...}; the fields may stand in an object "body" instead.
  // Messages of vendors, or bodies that are at hand as bytes: {"message": "0x8F01", "body_hex":
  // "0102"}. "answer" replaces what the tables say of the reply: "none", "general" (0x0001), or the
  // id of a message whose body begins with our serial; with "answer_has_serial": false one that
  // does not.
  Result<std::shared_ptr<const event::PreparedCommand>> prepare(
      std::string_view json) const override;
};

}  // namespace ringgate::jt808
