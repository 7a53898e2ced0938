#include "protocols/jt808/catalog.hpp"

#include <algorithm>

#include "protocols/jt808/codec/body_json.hpp"
#include "protocols/jt808/codec/describe.hpp"
#include "protocols/jt808/codec/explain.hpp"
#include "protocols/jt808/codec/form.hpp"
#include "protocols/jt808/codec/framing.hpp"
#include "protocols/jt808/codec/messages.hpp"
#include "protocols/jt808/codec/values.hpp"
#include "protocols/jt808/codec/walk.hpp"
#include "protocols/jt808/codec/whole.hpp"
#include "protocols/jt808/codec/writer.hpp"
#include "protocols/jt808/inflate.hpp"

namespace ringgate::jt808 {

namespace {

// Blanks out what the tables call secret, and what can't be read of a message with secrets.
class Blanker final : public Visitor {
 public:
  explicit Blanker(MutableBytes body) : body_(body) {}
  void field(const FieldSeen& seen) override {
    if (seen.field.is_secret) blank(seen.offset, seen.bytes.size());
  }
  void begin_item(const Field&, const ItemSeen& item) override {
    if (!item.fits && item.spec != nullptr && has_secrets(item.spec->fields)) {
      blank(item.value_offset, item.value.size());
    }
  }
  void unparsed(std::size_t offset, Bytes bytes) override { blank(offset, bytes.size()); }

 private:
  void blank(std::size_t offset, std::size_t size) {
    std::ranges::fill(body_.subspan(offset, size), std::uint8_t{'*'});
  }
  MutableBytes body_;
};

}  // namespace

std::vector<event::MessageInfo> Catalog::list() const {
  std::vector<event::MessageInfo> out;
  for (const MessageSpec& message : messages()) {
    out.push_back({message.id, message.name, message.source, message.from_device});
  }
  return out;
}

std::string Catalog::message_id_text(std::uint16_t id) const { return hex_text(id, 2); }

void Catalog::json(Bytes frame, JsonWriter& out, bool secrets) const {
  Header header;
  const bool compressed = frame.size() >= 2 && load_be16(frame.data()) == id::compressed &&
                          parse_stored(frame, header) == BadReason::none && !header.encrypted() &&
                          !header.fragment();
  if (!compressed) return frame_json(frame, secrets, out);
  std::string text;
  JsonWriter whole(text);
  frame_json(frame, secrets, whole);
  text.back() = ',';  // another member in place of the end
  text += "\"inflated\":";
  JsonWriter inflated(text);
  inflated_json(body_of(frame, header), secrets, inflated);
  text += '}';
  out.raw(text);
}

Result<std::vector<std::uint8_t>> Catalog::encode(std::string_view json) const {
  return encode_frame(json);
}

void Catalog::describe(std::uint16_t id, JsonWriter& out) const {
  const MessageSpec* const message = find_message(id);
  if (message == nullptr) return;
  out.key("versions");
  versions_json(*message, out);
  out.key("has_secrets").boolean(has_secrets(message->fields));
  if (message->from_device) return;
  out.key("answer");
  answer_json(message->answer, out);
  out.key("forms");
  forms_json(*message, out);
}

std::vector<event::ExplainedLine> Catalog::explain(Bytes frame, bool secrets) const {
  using Mark = event::ExplainedLine::Kind;
  static_assert(static_cast<int>(ExplainLine::Kind::title) == static_cast<int>(Mark::title) &&
                static_cast<int>(ExplainLine::Kind::problem) == static_cast<int>(Mark::problem));
  std::vector<event::ExplainedLine> out;
  for (ExplainLine& line : jt808::explain(frame, secrets)) {
    out.push_back({.kind = static_cast<Mark>(line.kind),
                   .depth = line.depth,
                   .offset = line.offset,
                   .size = line.bytes.size(),
                   .name = std::move(line.name),
                   .value = std::move(line.value),
                   .unit = line.unit,
                   .source = line.source,
                   .note = line.note,
                   .is_secret = line.is_secret});
  }
  return out;
}

Result<std::vector<std::uint8_t>> Catalog::from_wire(Bytes wire) const {
  std::vector<std::uint8_t> scratch(scratch_size);
  const NextFrame next = next_frame(wire, scratch);
  if (next.kind == NextFrame::Kind::need_more) return Error{0, "no closing 7e"};
  if (next.kind != NextFrame::Kind::frame) return Error{0, std::string(name(next.reason))};
  if (next.consumed != wire.size()) return Error{0, "more than one frame"};
  return std::vector<std::uint8_t>(next.frame.begin(), next.frame.end());
}

std::vector<std::uint8_t> Catalog::rescue(Bytes wire, bool whole) const {
  if (!wire.empty() && wire.front() == delimiter) wire = wire.subspan(1);
  if (!wire.empty() && wire.back() == delimiter) wire = wire.first(wire.size() - 1);
  std::vector<std::uint8_t> out;
  for (std::size_t i = 0; i < wire.size(); ++i) {
    const bool escaped = wire[i] == escape_mark && i + 1 < wire.size() &&
                         (wire[i + 1] == 0x01 || wire[i + 1] == 0x02);
    out.push_back(escaped ? static_cast<std::uint8_t>(0x7c + wire[++i]) : wire[i]);
  }
  if (whole && !out.empty()) out.pop_back();
  return out;
}

Result<std::vector<std::uint8_t>> Catalog::to_wire(Bytes frame) const {
  std::vector<std::uint8_t> out(wire_size_max);
  const std::size_t size = frame.size() > frame_size_max ? 0 : write_frame(out, frame);
  if (size == 0) return Error{0, "body: takes several packets"};
  out.resize(size);
  return out;
}

// When in doubt the whole body is blanked: parts, encrypted bodies and broken headers of messages
// that carry a code.
std::vector<std::uint8_t> Catalog::redact(Bytes frame) const {
  std::vector<std::uint8_t> out(frame.begin(), frame.end());
  if (out.size() < header_size_min) return out;
  const MessageSpec* message = find_message(load_be16(out.data()));
  if (message == nullptr || !has_secrets(message->fields)) return out;
  Header header;
  std::size_t start = header_size_min;
  if (parse_stored(frame, header) == BadReason::none) {
    start = header.size;
    if (!header.encrypted() && !header.fragment()) {
      Blanker blanker(MutableBytes(out).subspan(start));
      walk_body(*message, header.version, body_of(frame, header), blanker);
      return out;
    }
  }
  std::fill(out.begin() + static_cast<std::ptrdiff_t>(start), out.end(), std::uint8_t{'*'});
  return out;
}

}  // namespace ringgate::jt808
