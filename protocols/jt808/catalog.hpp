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
  void describe(std::uint16_t id, JsonWriter& out) const override;
  std::vector<event::ExplainedLine> explain(Bytes frame, bool secrets = false) const override;
  Result<std::vector<std::uint8_t>> from_wire(Bytes wire) const override;
  // Delimiters, escapes as far as they are some, and the check byte are gone.
  std::vector<std::uint8_t> rescue(Bytes wire, bool whole) const override;
  Result<std::vector<std::uint8_t>> to_wire(Bytes frame) const override;
  // In rows.cpp. Positions: 0x0200, 0x0201, 0x0500, 0x0704; alarms: their alarm bits and the items
  // of T/JSATL 12 and JT/T 1078; devices: 0x0100 and 0x0107. Messages that came encrypted have
  // their rows by the record of the whole.
  void rows(const event::RecordView& record, event::RowVisitor& out) const override;
  bool is_part(const event::RecordView& record) const override;
  std::optional<event::DeviceTimes> device_times(const event::RecordView& record) const override;
};

}  // namespace ringgate::jt808
