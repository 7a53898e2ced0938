#include "protocols/jt808/codec/body_json.hpp"
#include "protocols/jt808/codec/messages.hpp"
#include "protocols/jt808/codec/values.hpp"
#include "protocols/jt808/codec/walk.hpp"
#include "protocols/jt808/codec/whole.hpp"

namespace ringgate::jt808 {

namespace {

// The attributes as far as the other keys say them.
std::uint16_t told_attributes(const Header& header, std::size_t body_size) {
  std::uint16_t out = header.attributes & (attribute_body_size | attribute_encryption);
  if (header.subpackage()) out |= attribute_subpackage;
  if (header.version == Version::v2019) out |= attribute_versioned;
  if (body_size > body_size_max) out |= attribute_long;
  return out;
}

void header_json(const Header& header, std::size_t body_size, const MessageSpec* message,
                 JsonWriter& out) {
  out.key("message_id").text(hex_text(header.message_id, 2));
  if (message != nullptr) out.key("message").text(message->name);
  out.key("version").text(header.version == Version::v2019 ? "2019" : "2013");
  if (header.version == Version::v2019) {
    out.key("version_byte").unsigned_integer(header.version_byte);
  }
  out.key("phone").text(header.phone.text());
  out.key("serial").unsigned_integer(header.serial);
  if (header.subpackage()) {
    out.key("packet").begin_object().key("total").unsigned_integer(header.packet_total);
    out.key("number").unsigned_integer(header.packet_number).end_object();
  }
  if (header.encrypted()) {
    out.key("encryption").unsigned_integer((header.attributes & attribute_encryption) >> 10);
  }
  if (header.attributes != told_attributes(header, body_size)) {
    const std::uint8_t bytes[] = {static_cast<std::uint8_t>(header.attributes >> 8),
                                  static_cast<std::uint8_t>(header.attributes)};
    out.key("attributes_raw").hex(bytes);
  }
}

void hex_or_stars(std::string_view key, Bytes bytes, bool hidden, JsonWriter& out) {
  out.key(key);
  hidden ? out.text(std::string(bytes.size(), '*')) : out.hex(bytes);
}

}  // namespace

void frame_json(Bytes frame, bool secrets, JsonWriter& out) {
  out.begin_object();
  Header header;
  const BadReason reason = parse_stored(frame, header);
  const MessageSpec* message = frame.size() < 2 ? nullptr : find_message(load_be16(frame.data()));
  const bool hidden = !secrets && message != nullptr && has_secrets(message->fields);
  if (reason != BadReason::none) {
    out.key("error").text(std::string("header: ").append(name(reason)));
    out.key("error_offset").unsigned_integer(0);
    hex_or_stars("frame_hex", frame, hidden, out);
    out.end_object();
    return;
  }
  const Bytes body = body_of(frame, header);
  header_json(header, body.size(), message, out);
  if (message == nullptr || header.encrypted() || header.fragment()) {
    hex_or_stars("body_hex", body, hidden, out);
  } else {
    out.key("body").begin_object();
    body_json(*message, header, body, secrets, out);
    out.end_object();
  }
  out.end_object();
}

}  // namespace ringgate::jt808
