#include "protocols/jt808/codec/messages.hpp"

#include <algorithm>
#include <cstdio>

#include "protocols/jt808/codec/location_json.hpp"
#include "protocols/jt808/codec/text.hpp"

namespace ringgate::jt808 {

namespace {

// Cuts fields off the front of a body whose size was checked.
struct Fields {
  Bytes left;
  std::uint8_t u8() { return take(1)[0]; }
  std::uint16_t u16() { return load_be16(take(2).data()); }
  Bytes take(std::size_t size) {
    const Bytes field = left.first(size);
    left = left.subspan(size);
    return field;
  }
};

std::string hex_id(std::uint16_t id) {
  char text[8];
  std::snprintf(text, sizeof text, "0x%04x", static_cast<unsigned>(id));
  return text;
}

}  // namespace

bool decode_general_reply(Bytes body, GeneralReply& out) {
  if (body.size() < 5) return false;
  out = {load_be16(&body[0]), load_be16(&body[2]), body[4]};
  return true;
}

bool decode_registration(const Header& header, Bytes body, Registration& out) {
  using Layout = Registration::Layout;
  struct Sizes {
    std::size_t maker, model, id;
  };
  Sizes sizes{};
  if (header.version == Version::v2019 && body.size() >= 76) {
    out.layout = Layout::v2019;
    sizes = {11, 30, 30};
  } else if (body.size() >= 37) {
    out.layout = Layout::v2013;
    sizes = {5, 20, 7};
  } else if (body.size() >= 25) {
    out.layout = Layout::v2011;
    sizes = {5, 8, 7};
  } else {
    return false;
  }
  Fields fields{body};
  out.province = fields.u16();
  out.city = fields.u16();
  out.maker = trimmed(fields.take(sizes.maker));
  out.model = trimmed(fields.take(sizes.model));
  out.terminal_id = trimmed(fields.take(sizes.id));
  out.plate_color = fields.u8();
  out.plate = trimmed(fields.left);
  return true;
}

bool decode_authentication(const Header& header, Bytes body, Authentication& out) {
  out = {};
  if (body.empty()) return false;
  if (header.version == Version::v2013) {
    out.code = trimmed(body);
    return true;
  }
  const std::size_t size = body[0];
  if (1 + size > body.size()) return false;
  out.code = trimmed(body.subspan(1, size));
  const Bytes rest = body.subspan(1 + size);
  if (rest.size() >= 15) out.imei = trimmed(rest.first(15));
  if (rest.size() >= 35) out.software_version = trimmed(rest.subspan(15, 20));
  return true;
}

bool decode_registration_reply(Bytes body, RegistrationReply& out) {
  if (body.size() < 3) return false;
  out = {load_be16(&body[0]), body[2], body.subspan(3)};
  return true;
}

namespace {

using Secret = MessageDescriptor::Secret;

BodyCheck needs(Bytes body, std::size_t size) {
  if (body.size() >= size) return {};
  return {"body too short", body.size()};
}

void json_secret(Bytes secret, JsonWriter& out) {
  out.key("auth_code").text(std::string(secret.size(), '*'));
}

// --- 0x0001, 0x8001 ---

BodyCheck check_general_reply(const Header&, Bytes body) { return needs(body, 5); }

std::string_view result_name(std::uint8_t result) {
  constexpr std::string_view names[] = {"ok", "failed", "bad-message", "unsupported",
                                        "alarm-handled"};
  return result < std::size(names) ? names[result] : "unknown";
}

void json_general_reply(const Header&, Bytes body, JsonWriter& out) {
  GeneralReply reply;
  if (!decode_general_reply(body, reply)) return;
  out.key("reply_serial").unsigned_integer(reply.reply_serial);
  out.key("reply_message_id").text(hex_id(reply.reply_id));
  out.key("result").unsigned_integer(reply.result);
  out.key("result_name").text(result_name(reply.result));
}

// --- messages without a body ---

BodyCheck check_nothing(const Header&, Bytes) { return {}; }

// Some terminals put battery, signal and status behind a heartbeat.
void json_nothing(const Header&, Bytes body, JsonWriter& out) {
  if (!body.empty()) out.key("extra").hex(body);
}

// --- 0x0100 ---

BodyCheck check_registration(const Header& header, Bytes body) {
  Registration registration;
  if (decode_registration(header, body, registration)) return {};
  return {"body too short", body.size()};
}

void json_registration(const Header& header, Bytes body, JsonWriter& out) {
  Registration registration;
  if (!decode_registration(header, body, registration)) return;
  constexpr std::string_view layouts[] = {"2011", "2013", "2019"};
  out.key("layout").text(layouts[static_cast<std::size_t>(registration.layout)]);
  out.key("province").unsigned_integer(registration.province);
  out.key("city").unsigned_integer(registration.city);
  out.key("maker").text(utf8_from_gbk(registration.maker));
  out.key("model").text(utf8_from_gbk(registration.model));
  out.key("terminal_id").text(utf8_from_gbk(registration.terminal_id));
  out.key("plate_color").unsigned_integer(registration.plate_color);
  out.key(registration.plate_color == 0 ? "vin" : "plate").text(utf8_from_gbk(registration.plate));
}

// --- 0x0102 ---

BodyCheck check_authentication(const Header& header, Bytes body) {
  Authentication authentication;
  if (decode_authentication(header, body, authentication)) return {};
  return {body.empty() ? "body too short" : "code longer than the body", body.empty() ? 0U : 1U};
}

Secret secret_authentication(const Header& header, Bytes body) {
  if (header.version == Version::v2019 && !body.empty() && 1U + body[0] <= body.size()) {
    return {1, body[0]};
  }
  return {0, body.size()};
}

void json_authentication(const Header& header, Bytes body, JsonWriter& out) {
  Authentication authentication;
  if (!decode_authentication(header, body, authentication)) return;
  json_secret(authentication.code, out);
  if (!authentication.imei.empty()) out.key("imei").text(utf8_from_gbk(authentication.imei));
  if (!authentication.software_version.empty()) {
    out.key("software_version").text(utf8_from_gbk(authentication.software_version));
  }
}

// --- 0x0200, 0x0704 ---

BodyCheck check_location(const Header&, Bytes body) { return needs(body, location_base_size); }

void json_location_report(const Header& header, Bytes body, JsonWriter& out) {
  json_location(header.version, body, out);
}

BodyCheck check_batch(const Header&, Bytes body) {
  const BatchSummary batch = for_each_location(body, [](const Location&, Bytes, std::size_t) {});
  if (body.size() < batch_header_size) return {"body too short", body.size()};
  if (batch.malformed) return {"item runs over the end", batch.malformed_offset};
  if (batch.bad != 0) return {"item too short for a position", batch_header_size};
  return {};
}

void json_batch(const Header& header, Bytes body, JsonWriter& out) {
  if (body.size() < batch_header_size) return;
  out.key("locations").begin_array();
  const BatchSummary batch =
      for_each_location(body, [&](const Location&, Bytes item, std::size_t) {
        out.begin_object();
        json_location(header.version, item, out);
        out.end_object();
      });
  out.end_array();
  out.key("declared_count").unsigned_integer(batch.declared);
  out.key("stored_out_of_coverage").boolean(batch.type == 1);
  out.key("type").unsigned_integer(batch.type);
  if (batch.bad != 0) out.key("bad_items").unsigned_integer(batch.bad);
}

// --- 0x8004, 0x8100 ---

BodyCheck check_time_reply(const Header&, Bytes body) { return needs(body, 6); }

void json_time_reply(const Header&, Bytes body, JsonWriter& out) {
  if (body.size() < 6) return;
  const std::uint64_t digits = std::uint64_t{load_be16(&body[0])} << 32 | load_be32(&body[2]);
  json_time("time", time_from_digits(digits), out);
}

BodyCheck check_registration_reply(const Header&, Bytes body) { return needs(body, 3); }

Secret secret_registration_reply(const Header&, Bytes body) {
  const std::size_t start = std::min<std::size_t>(body.size(), 3);
  return {start, body.size() - start};
}

void json_registration_reply(const Header&, Bytes body, JsonWriter& out) {
  RegistrationReply reply;
  if (!decode_registration_reply(body, reply)) return;
  constexpr std::string_view names[] = {"ok", "vehicle-already-registered", "no-such-vehicle",
                                        "terminal-already-registered", "no-such-terminal"};
  out.key("reply_serial").unsigned_integer(reply.reply_serial);
  out.key("result").unsigned_integer(reply.result);
  out.key("result_name").text(reply.result < std::size(names) ? names[reply.result] : "unknown");
  if (!reply.code.empty()) json_secret(reply.code, out);
}

constexpr MessageDescriptor table[] = {
    {id::terminal_reply, "terminal-reply", "JT/T 808-2019 8.1", true, check_general_reply,
     json_general_reply, nullptr},
    {id::heartbeat, "heartbeat", "JT/T 808-2019 8.3", true, check_nothing, json_nothing, nullptr},
    {id::logout, "logout", "JT/T 808-2019 8.10", true, check_nothing, json_nothing, nullptr},
    {id::time_query, "time-query", "JT/T 808-2019 8.4", true, check_nothing, json_nothing, nullptr},
    {id::registration, "register", "JT/T 808-2019 8.8", true, check_registration,
     json_registration, nullptr},
    {id::authentication, "authenticate", "JT/T 808-2019 8.11", true, check_authentication,
     json_authentication, secret_authentication},
    {id::location, "location-report", "JT/T 808-2013 8.18", true, check_location,
     json_location_report, nullptr},
    {id::location_batch, "location-batch", "JT/T 808-2013 8.49", true, check_batch, json_batch,
     nullptr},
    {id::platform_reply, "platform-reply", "JT/T 808-2019 8.2", false, check_general_reply,
     json_general_reply, nullptr},
    {id::time_reply, "time-reply", "JT/T 808-2019 8.5", false, check_time_reply, json_time_reply,
     nullptr},
    {id::registration_reply, "register-reply", "JT/T 808-2019 8.9", false,
     check_registration_reply, json_registration_reply, secret_registration_reply},
};

static_assert(std::is_sorted(
    std::begin(table), std::end(table),
    [](const MessageDescriptor& a, const MessageDescriptor& b) { return a.id < b.id; }));

}  // namespace

std::span<const MessageDescriptor> messages() { return table; }

const MessageDescriptor* find_message(std::uint16_t message_id) {
  const auto at = std::lower_bound(
      std::begin(table), std::end(table), message_id,
      [](const MessageDescriptor& message, std::uint16_t wanted) { return message.id < wanted; });
  return at != std::end(table) && at->id == message_id ? at : nullptr;
}

BodyCheck check_body(const Header& header, Bytes body) {
  const MessageDescriptor* message = find_message(header.message_id);
  if (message == nullptr || header.encrypted() || header.fragment()) return {};
  return message->check(header, body);
}

}  // namespace ringgate::jt808
