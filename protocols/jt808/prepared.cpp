#include "protocols/jt808/prepared.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "engine/base/hex.hpp"
#include "engine/base/json_scan.hpp"
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

}  // namespace

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
  auto made = std::make_shared<PreparedMessage>();
  const auto id = parse_id(name);
  if (!id) return Error{0, fmt::format("'{}' is no message that is known", name)};
  made->id = *id;
  const JsonScan raw = scan_json_object(json, "body_hex");
  if (raw.member.empty()) return Error{0, "'body_hex' is missing"};
  const auto body = from_hex(unquoted(raw.member));
  if (!body) return Error{0, "'body_hex' is no hex"};
  if (body->size() > downlink_body_max) {
    return Error{0, fmt::format("the body has {} bytes, {} are the most", body->size(),
                                downlink_body_max)};
  }
  const auto shared = std::make_shared<const std::vector<std::uint8_t>>(*body);
  for (PreparedMessage::Encoding& encoding : made->encodings) encoding.body = shared;
  if (auto answer = apply_answer(json, made->answer); !answer) return answer.error();
  return std::shared_ptr<const event::PreparedCommand>(std::move(made));
}

}  // namespace ringgate::jt808
