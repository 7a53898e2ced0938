#include "protocols/jt808/catalog.hpp"

#include <algorithm>
#include <cstdio>

#include "protocols/jt808/codec/messages.hpp"

namespace ringgate::jt808 {

namespace {

std::string_view version_text(const Header& header, Bytes body) {
  if (header.version == Version::v2019) return "2019";
  // Only a registration tells 2011 from 2013.
  Registration registration;
  if (header.message_id == id::registration && decode_registration(header, body, registration) &&
      registration.layout == Registration::Layout::v2011) {
    return "2011";
  }
  return "2013";
}

void json_header(const Header& header, Bytes body, JsonWriter& out) {
  const MessageDescriptor* message = find_message(header.message_id);
  if (message != nullptr) out.key("name").text(message->name);
  out.key("version").text(version_text(header, body));
  out.key("phone").text(header.phone.text());
  out.key("serial").unsigned_integer(header.serial);
  if (header.subpackage()) {
    out.key("packet_total").unsigned_integer(header.packet_total);
    out.key("packet_number").unsigned_integer(header.packet_number);
  }
  if (header.encrypted()) {
    out.key("encryption").unsigned_integer((header.attributes & attribute_encryption) >> 10);
  }
}

}  // namespace

std::vector<event::MessageInfo> Catalog::list() const {
  std::vector<event::MessageInfo> out;
  for (const MessageDescriptor& message : messages()) {
    out.push_back({message.id, message.name, message.source, message.from_device});
  }
  return out;
}

std::string Catalog::message_id_text(std::uint16_t id) const {
  char text[8];
  std::snprintf(text, sizeof text, "0x%04x", static_cast<unsigned>(id));
  return text;
}

void Catalog::json(Bytes frame, JsonWriter& out) const {
  out.begin_object();
  Header header;
  const BadReason reason = parse_header(frame, header);
  if (reason != BadReason::none) {
    out.key("error").text(std::string("header: ") + std::string(name(reason)));
    out.key("offset").unsigned_integer(0);
    out.end_object();
    return;
  }
  const Bytes body = body_of(frame, header);
  const BodyCheck check = check_body(header, body);
  if (!check.ok()) {
    out.key("error").text(check.problem);
    out.key("offset").unsigned_integer(header.size + check.offset);
  }
  json_header(header, body, out);
  const MessageDescriptor* message = find_message(header.message_id);
  const bool opaque = header.encrypted() || header.fragment();
  if (message != nullptr && !opaque) {
    message->json(header, body, out);
  } else if (message == nullptr || message->secret == nullptr) {
    out.key("body").hex(body);
  }
  out.end_object();
}

// When in doubt the whole body is blanked: parts, encrypted bodies and broken headers of messages
// that carry a code.
std::vector<std::uint8_t> Catalog::redact(Bytes frame) const {
  std::vector<std::uint8_t> out(frame.begin(), frame.end());
  if (out.size() < header_size_min) return out;
  const MessageDescriptor* message = find_message(load_be16(out.data()));
  if (message == nullptr || message->secret == nullptr) return out;
  Header header;
  std::size_t start = header_size_min;
  std::size_t size = out.size() - start;
  if (parse_header(frame, header) == BadReason::none) {
    const Bytes body = body_of(frame, header);
    start = header.size;
    size = body.size();
    if (!header.encrypted() && !header.fragment()) {
      const MessageDescriptor::Secret secret = message->secret(header, body);
      start += secret.offset;
      size = secret.size;
    }
  }
  std::fill_n(out.begin() + static_cast<std::ptrdiff_t>(start), size, std::uint8_t{'*'});
  return out;
}

}  // namespace ringgate::jt808
