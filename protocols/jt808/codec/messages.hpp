// The bodies that a session looks into, besides positions (location.hpp), and the table of all
// messages. Pure, no allocation; results point into the body. Any thread.
#pragma once

#include <span>
#include <string_view>

#include "engine/base/bytes.hpp"
#include "protocols/jt808/codec/header.hpp"
#include "protocols/jt808/codec/ids.hpp"
#include "protocols/jt808/codec/schema.hpp"

namespace ringgate::jt808 {

// 0x0001 and 0x8001. JT/T 808-2019 8.1 and 8.2.
struct GeneralReply {
  std::uint16_t reply_serial = 0;
  std::uint16_t reply_id = 0;
  std::uint8_t result = 0;  // 0 ok, 1 failed, 2 bad message, 3 unsupported, 0x8001 also 4 alarm
};
bool decode_general_reply(Bytes body, GeneralReply& out);

// 0x0100. JT/T 808-2019 8.8, 2013 8.5, 2011 8.5. Strings lose their padding (00 and spaces).
struct Registration {
  enum class Layout : std::uint8_t { v2011, v2013, v2019 };
  Layout layout = Layout::v2013;
  std::uint16_t province = 0;  // first two digits of the GB/T 2260 code
  std::uint16_t city = 0;      // last four
  Bytes maker;
  Bytes model;
  Bytes terminal_id;
  std::uint8_t plate_color = 0;  // 0: the vehicle has no plate, `plate` is its VIN
  Bytes plate;                   // GBK
};
// The layout of 2019 needs a header of 2019 and 76 bytes. Otherwise 37 bytes or more are read as
// 2013 and less as 2011; a 2011 terminal that sends a VIN of 17 characters can't be told from 2013.
bool decode_registration(const Header& header, Bytes body, Registration& out);

// 0x0102. JT/T 808-2019 8.11, 2013 8.8.
struct Authentication {
  Bytes code;  // without padding
  Bytes imei;  // 2019 only
  Bytes software_version;
};
// In the layout of 2019 only the code is needed: what is missing behind it stays empty.
bool decode_authentication(const Header& header, Bytes body, Authentication& out);

// 0x8100. JT/T 808-2019 8.9.
struct RegistrationReply {
  std::uint16_t reply_serial = 0;
  std::uint8_t result = 0;
  Bytes code;
};
bool decode_registration_reply(Bytes body, RegistrationReply& out);

// Where a body stops making sense.
struct BodyCheck {
  std::string_view problem;  // empty: it decodes
  std::size_t offset = 0;    // in the body
  bool ok() const { return problem.empty(); }
};

// One message, one entry: the tables are what validates, names, lists, shows and writes bodies.
std::span<const MessageSpec> messages();  // sorted by id
const MessageSpec* find_message(std::uint16_t message_id);  // null: not supported
// By "0x8300", "8300" or "text-message"; null: not known.
const MessageSpec* find_message(std::string_view id_or_name);

// What an alarm or status bit of a position means; empty for a reserved one.
std::string_view alarm_name(Version version, unsigned bit);
std::string_view status_name(Version version, unsigned bit);

// Whether the body of a frame decodes. Bodies that can't be looked into (unknown ids, encrypted
// ones, parts of a message) pass.
BodyCheck check_body(const MessageSpec& message, Version version, Bytes body);
BodyCheck check_body(const Header& header, Bytes body);

}  // namespace ringgate::jt808
