#include "protocols/jt808/codec/messages.hpp"

#include <algorithm>
#include <array>

#include "protocols/jt808/codec/tables/basics.hpp"
#include "protocols/jt808/codec/tables/jsatl12.hpp"
#include "protocols/jt808/codec/tables/jt1078.hpp"
#include "protocols/jt808/codec/tables/location_messages.hpp"
#include "protocols/jt808/codec/tables/media.hpp"
#include "protocols/jt808/codec/tables/terminal.hpp"
#include "protocols/jt808/codec/tables/text_and_areas.hpp"
#include "protocols/jt808/codec/text.hpp"
#include "protocols/jt808/codec/values.hpp"
#include "protocols/jt808/codec/walk.hpp"

namespace ringgate::jt808 {

namespace {

// Cuts fields off the front of a body whose size was checked.
struct Cutter {
  Bytes left;
  std::uint8_t u8() { return take(1)[0]; }
  std::uint16_t u16() { return load_be16(take(2).data()); }
  Bytes take(std::size_t size) {
    const Bytes field = left.first(size);
    left = left.subspan(size);
    return field;
  }
};

}  // namespace

bool decode_general_reply(Bytes body, GeneralReply& out) {
  if (body.size() < 5) return false;
  out = {load_be16(&body[0]), load_be16(&body[2]), body[4]};
  return true;
}

bool decode_registration(const Header& header, Bytes body, Registration& out) {
  struct Sizes {
    std::size_t maker, model, id;
  };
  Sizes sizes{};
  if (header.version == Version::v2019 && body.size() >= 76) {
    out.layout = Registration::Layout::v2019;
    sizes = {11, 30, 30};
  } else if (body.size() >= 37) {
    out.layout = Registration::Layout::v2013;
    sizes = {5, 20, 7};
  } else if (body.size() >= 25) {
    out.layout = Registration::Layout::v2011;
    sizes = {5, 8, 7};
  } else {
    return false;
  }
  Cutter fields{body};
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

template <std::size_t... sizes>
constexpr auto merged(const MessageSpec (&... tables)[sizes]) {
  std::array<MessageSpec, (sizes + ...)> out{};
  auto to = out.begin();
  ((to = std::copy(std::begin(tables), std::end(tables), to)), ...);
  std::sort(out.begin(), out.end(),
            [](const MessageSpec& a, const MessageSpec& b) { return a.id < b.id; });
  return out;
}

// Every message table has its line here.
constexpr auto table =
    merged(tables::basics, tables::terminal_messages, tables::location_messages,
           tables::text_messages, tables::area_messages, tables::media_messages,
           tables::data_messages, tables::jt1078_messages, tables::jsatl12_messages);

static_assert(std::adjacent_find(table.begin(), table.end(),
                                 [](const MessageSpec& a, const MessageSpec& b) {
                                   return a.id == b.id;
                                 }) == table.end(),
              "two messages have one id");

}  // namespace

std::span<const MessageSpec> messages() { return table; }

const MessageSpec* find_message(std::uint16_t message_id) {
  const auto at = std::ranges::lower_bound(table, message_id, {}, &MessageSpec::id);
  return at != table.end() && at->id == message_id ? &*at : nullptr;
}

const MessageSpec* find_message(std::string_view id_or_name) {
  const auto at = std::ranges::find(table, id_or_name, &MessageSpec::name);
  if (at != table.end()) return &*at;
  const auto id = hex_value(id_or_name);
  return id && *id <= 0xffff ? find_message(static_cast<std::uint16_t>(*id)) : nullptr;
}

namespace {
constexpr Layout plain_layout(Version version) {
  return version == Version::v2019 ? Layout::v2019 : Layout::v2013;
}
}  // namespace

std::string_view alarm_name(Version version, unsigned bit) {
  return value_name(tables::alarm_bits, bit, plain_layout(version));
}
std::string_view status_name(Version version, unsigned bit) {
  return value_name(tables::status_bits, bit, plain_layout(version));
}

BodyCheck check_body(const MessageSpec& message, Version version, Bytes body) {
  Visitor visitor;
  const WalkResult result = walk_body(message, version, body, visitor);
  return {result.problem, result.problem_offset};
}

BodyCheck check_body(const Header& header, Bytes body) {
  const MessageSpec* message = find_message(header.message_id);
  if (message == nullptr || header.encrypted() || header.fragment()) return {};
  return check_body(*message, header.version, body);
}

}  // namespace ringgate::jt808
