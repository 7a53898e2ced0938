// jsonl records for tools and sinks: a record's body is the line itself. It gives no rows: what a
// line's members mean is between the device and who reads it. Stateless; any thread.
#pragma once

#include <algorithm>

#include "protocols/jsonl/codec.hpp"
#include "storage/event/catalog.hpp"

namespace ringgate::jsonl {

class Catalog final : public event::MessageCatalog {
 public:
  std::string_view protocol() const override { return "jsonl"; }
  Namespace ns() const override { return Namespace::json; }
  std::vector<event::MessageInfo> list() const override { return {}; }
  std::string message_id_text(std::uint16_t) const override { return {}; }
  void json(Bytes frame, JsonWriter& out, bool = false) const override {
    std::string text(as_text(frame));
    std::ranges::replace(text, '\r', ' ');  // blanks between values; some readers end lines there
    const LineError error = parse_line(text).error;
    if (error == LineError::none) return static_cast<void>(out.raw(text));
    out.begin_object().key("error").text(line_error_names[static_cast<std::size_t>(error)]);
    out.key("offset").unsigned_integer(0).end_object();
  }
  // A record is the line itself, so it is checked and kept as it is.
  Result<std::vector<std::uint8_t>> encode(std::string_view json) const override {
    const LineError error = parse_line(json).error;
    if (error != LineError::none) {
      return Error{0, std::string(line_error_names[static_cast<std::size_t>(error)])};
    }
    return std::vector<std::uint8_t>(json.begin(), json.end());
  }
  std::vector<std::uint8_t> redact(Bytes line) const override { return {line.begin(), line.end()}; }
};

}  // namespace ringgate::jsonl
