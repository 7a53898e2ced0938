#include "protocols/jt808/catalog.hpp"

#include <algorithm>

#include "protocols/jt808/codec/body_json.hpp"
#include "protocols/jt808/codec/messages.hpp"
#include "protocols/jt808/codec/values.hpp"
#include "protocols/jt808/codec/walk.hpp"
#include "protocols/jt808/codec/whole.hpp"
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
