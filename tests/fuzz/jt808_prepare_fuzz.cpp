// What people write to send a command (DeviceProtocol::prepare), and phone numbers as they write
// them. Input: the text of the command; its first bytes are also read as a phone number.
// What must hold: a text that is no JSON object is refused; what is taken has a body for some
// version, no longer than a message may be; a body made from fields decodes, and the text it is
// shown as gives the same bytes again.
// By hand as jt808_framing_fuzz.cpp says.
#include <string>
#include <vector>

#include "engine/base/json_scan.hpp"
#include "protocols/jt808/codec/body_json.hpp"
#include "protocols/jt808/codec/messages.hpp"
#include "protocols/jt808/limits.hpp"
#include "protocols/jt808/prepared.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::jt808;

void require(bool condition) {
  if (!condition) __builtin_trap();
}

void check_phone(const DeviceProtocol& protocol, std::string_view text) {
  const auto key = protocol.parse_device(text);
  if (!key) {
    require(!key.error().message.empty());
    return;
  }
  require(key->id() == "0" || key->id().front() != '0');
  require(text.ends_with(key->id()) && text.size() <= 20);
  // Whoever has this number is who is meant: what its frames say is the same key.
  FrameWriter writer(make_peer(Version::v2019, text), 0x0002, 1);
  Header header;
  require(parse_header(writer.unescaped(), header) == BadReason::none);
  require(header.phone.text() == key->id());
}

void check_encoding(const PreparedMessage& made, Version version, bool raw) {
  const PreparedMessage::Encoding& encoding = made.encoding(version);
  if (encoding.body == nullptr) {
    require(!encoding.why_not.empty());
    return;
  }
  require(encoding.body->size() <= downlink_body_max);
  const MessageSpec* spec = find_message(made.id);
  if (raw || spec == nullptr) return;
  require(check_body(*spec, version, *encoding.body).ok());
  Header header{};
  header.message_id = made.id;
  header.version = version;
  std::string shown;
  JsonWriter json(shown);
  json.begin_object();
  body_json(*spec, header, *encoding.body, true, json);
  json.end_object();
  const auto again = encode_body(*spec, version, shown);
  require(again.ok() && *again == *encoding.body);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const DeviceProtocol protocol;
  const std::string_view text = as_text({data, size});
  for (const std::size_t digits : {0, 1, 11, 20, 21}) {
    check_phone(protocol, text.substr(0, digits));
  }
  const auto prepared = protocol.prepare(text);
  const JsonScan scan = scan_json_object(text, "message");
  if (!prepared) {
    require(!prepared.error().message.empty());
    return 0;
  }
  require(scan.error == JsonScan::Error::none && !scan.member.empty());
  const auto& made = static_cast<const PreparedMessage&>(**prepared);
  const bool raw = !scan_json_object(text, "body_hex").member.empty();
  require(made.encodings[0].body != nullptr || made.encodings[1].body != nullptr);
  require(!made.name.empty() || raw);
  check_encoding(made, Version::v2013, raw);
  check_encoding(made, Version::v2019, raw);
  return 0;
}
