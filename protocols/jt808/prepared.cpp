#include "protocols/jt808/prepared.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "engine/base/hex.hpp"
#include "engine/base/json_scan.hpp"
#include "protocols/jt808/codec/body_json.hpp"
#include "protocols/jt808/codec/messages.hpp"
#include "protocols/jt808/limits.hpp"

namespace ringgate::jt808 {

namespace {

constexpr std::size_t phone_digits_max = 20;

// A member's text without its quotes; escapes are not looked into: no name needs one.
std::string_view unquoted(std::string_view value) {
  if (value.size() < 2 || value.front() != '"') return value;
  return value.substr(1, value.size() - 2);
}

std::optional<std::uint16_t> parse_id(std::string_view text) {
  if (text.starts_with("0x") || text.starts_with("0X")) text.remove_prefix(2);
  std::uint16_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id, 16);
  if (error != std::errc() || end != text.data() + text.size() || text.size() != 4) return {};
  return id;
}

Result<void> apply_answer(std::string_view json, Answer& answer) {
  const std::string_view text = unquoted(scan_json_object(json, "answer").member);
  if (text.empty()) return {};
  if (text == "none") {
    answer = {.rule = Answer::Rule::none};
  } else if (text == "general") {
    answer = {.rule = Answer::Rule::general};
  } else if (const auto id = parse_id(text); id) {
    const bool has_serial = scan_json_object(json, "answer_has_serial").member != "false";
    answer = {.rule = Answer::Rule::own, .id = *id, .has_serial = has_serial};
  } else {
    return Error{0, fmt::format("'answer' is '{}': use none, general or an id like 0x0104", text)};
  }
  return {};
}

// `json` without its members of that name: the tables take no keys but their own.
std::string without(std::string json, std::string_view name) {
  constexpr std::string_view blanks = " \t\r\n";
  for (;;) {
    const std::string_view value = scan_json_object(json, name).member;
    if (value.empty()) return json;
    const auto value_at = static_cast<std::size_t>(value.data() - json.data());
    std::size_t end = value_at + value.size();
    std::size_t begin = json.rfind('"', json.rfind(':', value_at)) - name.size() - 1;
    const std::size_t after = json.find_first_not_of(blanks, end);
    const std::size_t before = json.find_last_not_of(blanks, begin - 1);
    if (json[after] == ',') {
      end = after + 1;
    } else if (json[before] == ',') {
      begin = before;
    }
    json.erase(begin, end - begin);
  }
}

Result<void> too_long(std::size_t size) {
  if (size <= downlink_body_max) return {};
  return Error{0, fmt::format("the body has {} bytes, {} are the most", size, downlink_body_max)};
}

// Bytes as they are, for every version.
Result<void> encode_raw(PreparedMessage& made, std::string_view hex) {
  auto body = from_hex(hex);
  if (!body) return Error{0, "'body_hex' is no hex"};
  if (auto fits = too_long(body->size()); !fits) return fits.error();
  const auto shared = std::make_shared<const std::vector<std::uint8_t>>(std::move(*body));
  for (PreparedMessage::Encoding& encoding : made.encodings) encoding.body = shared;
  return {};
}

// By the tables, for each version that has the message. What one version can't say is no error as
// long as another can.
Result<void> encode_fields(PreparedMessage& made, const MessageSpec* spec, std::string_view json) {
  if (spec == nullptr) {
    return Error{0, fmt::format("0x{:04X} is in no table: its body must be 'body_hex'", made.id)};
  }
  std::string fields(scan_json_object(json, "body").member);
  if (fields.empty()) {
    fields = json;
    for (const char* own : {"message", "answer", "answer_has_serial"}) {
      fields = without(std::move(fields), own);
    }
  }
  std::string problem = "no version has this message";
  bool any = false;
  for (const Version version : {Version::v2019, Version::v2013}) {
    auto& encoding = made.encodings[static_cast<std::size_t>(version)];
    const LayoutMask mask = version == Version::v2019 ? in_2019 : before_2019;
    if ((spec->versions & mask) == 0) {
      encoding.why_not = fmt::format("{} has no {}", version == Version::v2019 ? "2019" : "2013",
                                     spec->name);
      continue;
    }
    auto body = encode_body(*spec, version, fields);
    if (body) {
      if (auto fits = too_long(body->size()); !fits) return fits.error();
      encoding.body = std::make_shared<const std::vector<std::uint8_t>>(std::move(*body));
      any = true;
    } else {
      encoding.why_not = problem = body.error().message;
    }
  }
  if (!any) return Error{0, problem};
  return {};
}

}  // namespace

// What Gate::row() writes.
std::span<const std::string_view> DeviceProtocol::list_keys() const {
  static constexpr std::string_view keys[] = {
      "phone",         "online",        "version",      "transport",     "peer",
      "online_since",  "frames",        "last_heard",   "last_heard_us", "banned",
      "position_time", "latitude_deg",  "longitude_deg", "speed_kmh",    "heading_deg",
      "alarm_bits",    "status_bits"};
  return keys;
}

Result<DeviceKey> DeviceProtocol::parse_device(std::string_view text) const {
  const bool digits = std::all_of(text.begin(), text.end(),
                                  [](char c) { return c >= '0' && c <= '9'; });
  if (text.empty() || !digits || text.size() > phone_digits_max) {
    return Error{0, fmt::format("'{}' is no phone number: 1 to {} digits", text,
                                phone_digits_max)};
  }
  while (text.size() > 1 && text.front() == '0') text.remove_prefix(1);
  return DeviceKey(Namespace::phone, text);
}

Result<std::shared_ptr<const event::PreparedCommand>> DeviceProtocol::prepare(
    std::string_view json) const {
  const JsonScan scan = scan_json_object(json, "message");
  if (scan.error != JsonScan::Error::none) {
    return Error{0, fmt::format("no JSON object (at byte {})", scan.offset)};
  }
  if (scan.member.empty()) {
    return Error{0, "'message' is missing: a name, or an id like \"0x8104\""};
  }
  const std::string_view name = unquoted(scan.member);
  const MessageSpec* spec = find_message(name);
  const auto id = parse_id(name);
  if (spec == nullptr && !id) return Error{0, fmt::format("'{}' is no message", name)};
  if (spec != nullptr && spec->from_device) {
    return Error{0, fmt::format("'{}' is a message of terminals", spec->name)};
  }
  auto made = std::make_shared<PreparedMessage>();
  made->id = spec != nullptr ? spec->id : *id;
  if (spec != nullptr) {
    made->name = spec->name;
    made->answer = spec->answer;
  }
  auto encoded = scan_json_object(json, "body_hex").member.empty()
                     ? encode_fields(*made, spec, json)
                     : encode_raw(*made, unquoted(scan_json_object(json, "body_hex").member));
  if (!encoded) return encoded.error();
  if (auto answer = apply_answer(json, made->answer); !answer) return answer.error();
  return std::shared_ptr<const event::PreparedCommand>(std::move(made));
}

}  // namespace ringgate::jt808
