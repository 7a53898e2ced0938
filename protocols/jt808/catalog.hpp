// JT/T 808 messages for sinks, tools and the API: names and decoded bodies. Stateless; any thread.
#pragma once

#include "storage/event/catalog.hpp"

namespace ringgate::jt808 {

class Catalog final : public event::MessageCatalog {
 public:
  std::string_view protocol() const override { return "jt808"; }
  Namespace ns() const override { return Namespace::phone; }
  std::vector<event::MessageInfo> list() const override;
  std::string message_id_text(std::uint16_t id) const override;
  void json(Bytes frame, JsonWriter& out, bool secrets = false) const override;
  Result<std::vector<std::uint8_t>> encode(std::string_view json) const override;
  std::vector<std::uint8_t> redact(Bytes frame) const override;
};

}  // namespace ringgate::jt808
