// The header of a frame. Pure, no allocation; any thread.
// JT/T 808-2019 4.4.3, JT/T 808-2013 4.4.3. Layouts (bytes):
//   2011, 2013: id 2 | attributes 2 | phone BCD 6 | serial 2 [| packet total 2 | packet number 2]
//   2019:       id 2 | attributes 2 | version 1 | phone BCD 10 | serial 2 [| total 2 | number 2]
// Attributes: bits 0-9 body length, 10-12 encryption, 13 subpackage, 14 version byte present.
// 2011 and 2013 have the same header; only a registration's body tells them apart.
#pragma once

#include <string_view>

#include "engine/base/bytes.hpp"
#include "protocols/jt808/codec/bcd.hpp"
#include "protocols/jt808/codec/framing.hpp"
#include "protocols/jt808/codec/reason.hpp"

namespace ringgate::jt808 {

enum class Version : std::uint8_t { v2013, v2019 };  // v2013 stands for 2011 too

constexpr std::uint16_t attribute_body_size = 0x03ff;
constexpr std::uint16_t attribute_encryption = 0x1c00;
constexpr std::uint16_t attribute_subpackage = 0x2000;
constexpr std::uint16_t attribute_versioned = 0x4000;

// Phone number as it is spoken: without the leading zeros that pad it; all zeros is "0".
struct Phone {
  char digits[20];      // as on the wire, padded
  std::uint8_t begin;   // first digit that counts
  std::uint8_t end;     // 12 or 20
  std::string_view text() const {
    return {digits + begin, static_cast<std::size_t>(end - begin)};
  }
};

// Trivially copyable on purpose, without default values: parse_header fills all of it.
struct Header {
  std::uint16_t message_id;
  std::uint16_t attributes;     // as sent
  std::uint16_t serial;
  std::uint16_t packet_total;   // 0 unless the subpackage bit is set
  std::uint16_t packet_number;  // from 1; 0 unless the subpackage bit is set
  Version version;              // of the layout that fits; the bit in `attributes` may disagree
  std::uint8_t version_byte;    // 2019 only: 1 at first, one more per revision
  std::uint8_t size;            // bytes before the body
  std::uint8_t phone_offset;    // of the BCD phone in the frame
  std::uint8_t phone_size;      // BCD bytes: 6 or 10
  std::uint8_t phone_bcd[10];   // as sent: replies echo them
  Phone phone;

  std::size_t body_size() const { return attributes & attribute_body_size; }
  bool encrypted() const { return (attributes & attribute_encryption) != 0; }
  bool subpackage() const { return (attributes & attribute_subpackage) != 0; }
  // A part of a message: its body does not decode alone.
  bool fragment() const { return packet_total > 1; }
};
static_assert(std::is_trivially_copyable_v<Header>);

namespace detail {


// Sixteen BCD digits, the first in the highest bits, to characters.
inline void spread_digits(std::uint64_t bcd, char* out) {
#if defined(__SSE2__)
  const __m128i packed = _mm_cvtsi64_si128(static_cast<std::int64_t>(__builtin_bswap64(bcd)));
  const __m128i low_nibbles = _mm_set1_epi8(0x0f);
  const __m128i high = _mm_and_si128(_mm_srli_epi16(packed, 4), low_nibbles);
  const __m128i low = _mm_and_si128(packed, low_nibbles);
  const __m128i text = _mm_or_si128(_mm_unpacklo_epi8(high, low), _mm_set1_epi8('0'));
  std::memcpy(out, &text, sizeof text);
#else
  for (int i = 0; i < 16; ++i) out[i] = static_cast<char>('0' + (bcd >> (60 - 4 * i) & 15));
#endif
}

// Fills in the phone; false when a nibble is no digit.
inline bool read_phone(const std::uint8_t* bcd, Version version, Header& out) {
  if (version == Version::v2013) {
    // The two bytes before the phone are attributes, so eight bytes can be read from there.
    const std::uint64_t value = load_be64(bcd - 2) & 0xffffffffffffULL;
    if (!all_digits(value)) return false;
    store_be64(out.phone_bcd, value << 16);
    std::memset(out.phone_bcd + 8, 0, 2);
    spread_digits(value << 16, out.phone.digits);
    std::memset(out.phone.digits + 16, '0', 4);
    const int zeros = (__builtin_clzll(value | 1) - 16) / 4;
    out.phone.begin = static_cast<std::uint8_t>(zeros);
    out.phone.end = 12;
    out.phone_size = 6;
    return true;
  }
  const std::uint64_t first = load_be64(bcd);
  const std::uint64_t last = load_be16(bcd + 8);
  if (!all_digits(first) || !all_digits(last)) return false;
  std::memcpy(out.phone_bcd, bcd, 10);
  spread_digits(first, out.phone.digits);
  const auto tail = static_cast<std::uint32_t>(last);
  const std::uint32_t last_four = 0x30303030U | (tail >> 12 & 0xf) | (tail & 0xf00) |
                                  (tail << 12 & 0xf0000) | (tail << 24 & 0xf000000);
  std::memcpy(out.phone.digits + 16, &last_four, sizeof last_four);
  const int zeros = first != 0 ? __builtin_clzll(first) / 4
                               : 16 + (__builtin_clzll(last | 1) - 48) / 4;
  out.phone.begin = static_cast<std::uint8_t>(zeros);
  out.phone.end = 20;
  out.phone_size = 10;
  return true;
}

}  // namespace detail

// Reads the header of an unescaped frame (header and body, no check byte). The body is
// frame.subspan(out.size). Some devices set the version bit and send the layout of 2013: the layout
// whose length agrees is taken; no frame can agree with both.
inline BadReason parse_header(Bytes frame, Header& out) {
  if (frame.size() < header_size_min) return BadReason::too_short;
  const std::uint8_t* const at = frame.data();
  out.message_id = load_be16(at);
  out.attributes = load_be16(at + 2);
  const std::size_t packets = out.subpackage() ? 4 : 0;
  const std::size_t rest = frame.size() - packets;  // may wrap; then it agrees with nothing
  std::size_t phone = 4;
  out.version = Version::v2013;
  out.version_byte = 0;
  if ((out.attributes & attribute_versioned) != 0 && rest == 17 + out.body_size()) {
    out.version = Version::v2019;
    out.version_byte = at[4];
    phone = 5;
  } else if (rest != 12 + out.body_size()) {
    return BadReason::length;
  }
  if (!detail::read_phone(at + phone, out.version, out)) return BadReason::phone;
  const std::size_t serial = phone + out.phone_size;
  out.phone_offset = static_cast<std::uint8_t>(phone);
  out.size = static_cast<std::uint8_t>(serial + 2 + packets);
  out.serial = load_be16(at + serial);
  out.packet_total = 0;
  out.packet_number = 0;
  if (packets != 0) {
    out.packet_total = load_be16(at + serial + 2);
    out.packet_number = load_be16(at + serial + 4);
    if (out.packet_number == 0 || out.packet_number > out.packet_total) return BadReason::header;
  }
  return BadReason::none;
}

inline Bytes body_of(Bytes frame, const Header& header) { return frame.subspan(header.size); }

}  // namespace ringgate::jt808
