// Messages as they are stored: a frame as it came, or, for a message that came in parts or was
// decrypted, one that stands for the whole: the header of its first part without the packet fields,
// and the whole body. The ten bits of length do not hold every whole body: for
// one that is longer they are 0, and the reserved bit 15 is set. No frame looks like that, since
// its length would disagree. Pure; any thread.
#pragma once

#include <cstring>

#include "protocols/jt808/codec/header.hpp"

namespace ringgate::jt808 {

constexpr std::uint16_t attribute_long = 0x8000;
constexpr std::size_t whole_header_max = 17;

// As parse_header, for what the log keeps. In a long one bit 14 says which layout it has.
inline BadReason parse_stored(Bytes stored, Header& out) {
  constexpr std::uint16_t mask = attribute_long | attribute_body_size;
  const bool marked = stored.size() > header_size_min + body_size_max &&
                      (load_be16(&stored[2]) & mask) == attribute_long;
  if (!marked) [[likely]] return parse_header(stored, out);
  const std::size_t size = (load_be16(&stored[2]) & attribute_versioned) != 0 ? 17 : 12;
  if ((load_be16(&stored[2]) & attribute_subpackage) != 0) return BadReason::header;
  return parse_header(stored.first(size), out);  // as the header of an empty body
}

// Of a header that parse_stored read.
inline bool is_long(const Header& header) {
  return (header.attributes & (attribute_long | attribute_body_size)) == attribute_long;
}

// Writes the header of the whole that `part` is a part of, with `serial` and no packet fields;
// encryption bits as in `part`. Returns its size (at most whole_header_max); `whole` is what
// parse_stored would make of it.
inline std::size_t write_whole_header(std::uint8_t* to, const Header& part, std::uint16_t serial,
                                      std::size_t body_size, Header& whole) {
  // Bit 14 says the layout: a terminal that sets it and sends that of 2013 is not repeated.
  const unsigned versioned = part.version == Version::v2019 ? attribute_versioned : 0U;
  const unsigned length =
      body_size > body_size_max ? attribute_long : static_cast<unsigned>(body_size);
  const auto attributes = static_cast<std::uint16_t>(
      (part.attributes & attribute_encryption) | versioned | length);
  std::uint8_t* at = to;
  store_be16(at, part.message_id);
  store_be16(at + 2, attributes);
  at += 4;
  if (part.version == Version::v2019) *at++ = part.version_byte;
  std::memcpy(at, part.phone_bcd, part.phone_size);
  at += part.phone_size;
  store_be16(at, serial);
  at += 2;
  whole = part;
  whole.attributes = attributes;
  whole.serial = serial;
  whole.packet_total = whole.packet_number = 0;
  whole.size = static_cast<std::uint8_t>(at - to);
  return whole.size;
}

}  // namespace ringgate::jt808
