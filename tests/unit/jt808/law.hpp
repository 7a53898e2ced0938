// The law of the tables, as tests and fuzzers ask it of any frame: what is decoded and encoded
// again is the same bytes, and every byte has a name or is listed.
#pragma once

#include <algorithm>
#include <string>

#include "protocols/jt808/codec/body_json.hpp"
#include "protocols/jt808/codec/explain.hpp"
#include "protocols/jt808/codec/messages.hpp"
#include "protocols/jt808/codec/walk.hpp"
#include "protocols/jt808/codec/whole.hpp"

namespace ringgate::jt808::test {

inline std::string json_of_frame(Bytes frame) {
  std::string out;
  JsonWriter json(out);
  frame_json(frame, true, json);
  return out;
}

// Ranges in the order in which they are told.
class Coverage final : public Visitor {
 public:
  std::string wrong;
  std::size_t at = 0;
  std::size_t unknown = 0;  // bytes that no field names

  void field(const FieldSeen& seen) override { take(seen.offset, seen.bytes.size()); }
  void length(const Field&, std::size_t offset, std::size_t size, std::uint64_t) override {
    take(offset, size);
  }
  void begin_item(const Field&, const ItemSeen& item) override {
    take(item.offset, item.value_offset - item.offset);
    if (item.fits) return;
    take(item.value_offset, item.value.size());
    unknown += item.value.size();
  }
  void unparsed(std::size_t offset, Bytes bytes) override {
    take(offset, bytes.size());
    unknown += bytes.size();
  }

 private:
  void take(std::size_t offset, std::size_t size) {
    if (offset != at && wrong.empty()) {
      wrong = "offset " + std::to_string(offset) + " told, " + std::to_string(at) + " is next";
    }
    at = offset + size;
  }
};

// Whether the lines of an explanation show every byte of the frame once, in order.
inline bool explains_all(Bytes frame) {
  std::size_t at = 0;
  for (const ExplainLine& line : explain(frame, true)) {
    if (line.bytes.empty()) continue;
    if (line.offset != at || line.bytes.data() != frame.data() + at) return false;
    at += line.bytes.size();
  }
  return at == frame.size();
}

// Empty: the frame obeys. Otherwise what is wrong.
inline std::string broken_law(Bytes frame) {
  const std::string text = json_of_frame(frame);
  const auto again = encode_frame(text);
  if (!again) return "does not encode: " + again.error().message + "\n" + text;
  if (!std::ranges::equal(*again, frame)) return "other bytes from\n" + text;
  if (!explains_all(frame)) return "not all bytes are explained of\n" + text;
  Header header;
  if (parse_stored(frame, header) != BadReason::none) return {};
  const MessageSpec* message = find_message(header.message_id);
  if (message == nullptr || header.encrypted() || header.fragment()) return {};
  Coverage coverage;
  const Bytes body = body_of(frame, header);
  walk_body(*message, header.version, body, coverage);
  if (!coverage.wrong.empty()) return coverage.wrong + "\n" + text;
  if (coverage.at != body.size()) return "bytes are left over\n" + text;
  return {};
}

}  // namespace ringgate::jt808::test
