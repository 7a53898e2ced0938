#include "tools/load/frames.hpp"

#include <cstring>
#include <ctime>

namespace ringgate::load {
namespace {

constexpr std::uint8_t delimiter = 0x7e;
constexpr std::uint8_t escape = 0x7d;
constexpr std::uint64_t ones = 0x0101010101010101;
constexpr std::uint64_t highs = 0x8080808080808080;

// Non-zero if any byte of `word` is zero. Never misses one; may not say which.
constexpr std::uint64_t zero_bytes(std::uint64_t word) { return (word - ones) & ~word & highs; }

std::uint8_t to_bcd(int value) { return static_cast<std::uint8_t>(value / 10 << 4 | value % 10); }

std::uint8_t fold(std::uint64_t word) {
  word ^= word >> 32;
  word ^= word >> 16;
  word ^= word >> 8;
  return static_cast<std::uint8_t>(word);
}

std::size_t put_text(std::uint8_t* at, std::string_view text, std::size_t width) {
  std::memset(at, 0, width);
  std::memcpy(at, text.data(), text.size() < width ? text.size() : width);
  return width;
}

}  // namespace

Phone phone_from_number(std::uint64_t digits) {
  Phone phone{};
  for (std::size_t i = phone.size(); i-- > 0; digits /= 100) {
    phone[i] = to_bcd(static_cast<int>(digits % 100));
  }
  return phone;
}

std::uint64_t number_from_phone(const Phone& phone) {
  std::uint64_t digits = 0;
  for (const std::uint8_t byte : phone) {
    digits = digits * 100 + static_cast<std::uint64_t>(byte >> 4) * 10 + (byte & 0xf);
  }
  return digits;
}

BcdTime bcd_time(WallUs wall) {
  const std::time_t seconds = static_cast<std::time_t>(wall / us_per_s + 8 * 3600);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  return {to_bcd(parts.tm_year % 100), to_bcd(parts.tm_mon + 1), to_bcd(parts.tm_mday),
          to_bcd(parts.tm_hour),       to_bcd(parts.tm_min),     to_bcd(parts.tm_sec)};
}

std::size_t write_frame(std::uint8_t* out, std::uint8_t* raw, std::size_t count) {
  std::uint64_t sum = 0;
  std::size_t i = 0;
  for (; i + 8 <= count; i += 8) sum ^= load_native<std::uint64_t>(raw + i);
  std::uint8_t check = fold(sum);
  for (; i < count; ++i) check = static_cast<std::uint8_t>(check ^ raw[i]);
  raw[count++] = check;

  // Copies eight bytes at a time until one of them needs an escape.
  std::uint8_t* to = out;
  *to++ = delimiter;
  i = 0;
  while (i < count) {
    const std::uint64_t word = load_native<std::uint64_t>(raw + i);
    if ((zero_bytes(word ^ (ones * delimiter)) | zero_bytes(word ^ (ones * escape))) == 0) {
      store_native(to, word);
      to += 8;
      i += 8;
      continue;
    }
    for (const std::size_t stop = i + 8; i < stop && i < count; ++i) {
      if (raw[i] == delimiter || raw[i] == escape) {
        *to++ = escape;
        *to++ = raw[i] == delimiter ? 2 : 1;
      } else {
        *to++ = raw[i];
      }
    }
  }
  to -= i > count ? i - count : 0;  // the last word may have reached past the end
  *to++ = delimiter;
  return static_cast<std::size_t>(to - out);
}

FrameWriter::FrameWriter(Version version) : version_(version) {
  constexpr std::size_t body_bytes = 28 + 6 + 4 + 4 + 6 + 3 + 3;
  body_at_ = start(report_.data(), 0x0200, body_bytes, Phone{}, 0);
  report_bytes_ = body_at_ + body_bytes;
  std::uint8_t* item = report_.data() + body_at_ + 28;
  constexpr std::uint8_t items[][2] = {{0x01, 4}, {0x02, 2}, {0x03, 2},
                                       {0x25, 4}, {0x30, 1}, {0x31, 1}};
  for (const auto& [id, size] : items) {
    item[0] = id;
    item[1] = size;
    item += 2 + size;
  }
  std::uint8_t out[frame_bytes_max];
  report(out, Phone{}, 0, BcdTime{}, Position{});
}

std::size_t FrameWriter::start(std::uint8_t* raw, std::uint16_t message_id, std::size_t body_bytes,
                               const Phone& phone, std::uint16_t serial) const {
  const bool wide = version_ == Version::v2019;
  store_be16(raw, message_id);
  store_be16(raw + 2, static_cast<std::uint16_t>(body_bytes | (wide ? 0x4000U : 0U)));
  std::uint8_t* at = raw + 4;
  if (wide) {
    *at++ = 1;  // protocol version
    std::memset(at, 0, 4);
    at += 4;
  }
  std::memcpy(at, phone.data(), phone.size());
  store_be16(at + 6, serial);
  return static_cast<std::size_t>(at + 8 - raw);
}

std::size_t FrameWriter::report(std::uint8_t* out, const Phone& phone, std::uint16_t serial,
                                const BcdTime& time, const Position& position) {
  std::uint8_t* body = report_.data() + body_at_;
  store_be32(body, position.alarm);
  store_be32(body + 4, position.status);
  store_be32(body + 8, position.latitude_udeg);
  store_be32(body + 12, position.longitude_udeg);
  store_be16(body + 16, position.altitude_m);
  store_be16(body + 18, position.speed_dkmh);
  store_be16(body + 20, position.heading_deg);
  store_be32(body + 30, position.odometer_hm);
  store_be16(body + 36, position.fuel_dl);
  store_be16(body + 40, position.speed_dkmh);
  store_be32(body + 44, position.signals);
  body[50] = position.signal_strength;
  body[53] = position.satellites;
  return report(out, phone, serial, time);
}

std::size_t FrameWriter::report(std::uint8_t* out, const Phone& phone, std::uint16_t serial,
                                const BcdTime& time) {
  std::uint8_t* body = report_.data() + body_at_;
  std::memcpy(body - 8, phone.data(), phone.size());
  store_be16(body - 2, serial);
  std::memcpy(body + 22, time.data(), time.size());
  return write_frame(out, report_.data(), report_bytes_);
}

std::size_t FrameWriter::register_terminal(std::uint8_t* out, const Phone& phone,
                                           std::uint16_t serial) const {
  const bool wide = version_ == Version::v2019;
  char plate[16];
  std::memcpy(plate, "TEST", 4);
  for (std::size_t i = 0; i < 6; ++i) {  // the phone's last six digits
    const std::uint8_t byte = phone[3 + i / 2];
    plate[4 + i] = static_cast<char>('0' + (i % 2 == 0 ? byte >> 4 : byte & 0xf));
  }
  const std::size_t body_bytes = (wide ? 76U : 37U) + 10U;
  std::uint8_t raw[160] = {};
  std::uint8_t* at = raw + start(raw, 0x0100, body_bytes, phone, serial);
  store_be16(at, 31);      // Shanghai
  store_be16(at + 2, 104);
  at += 4;
  at += put_text(at, "RGSIM", wide ? 11 : 5);
  at += put_text(at, "RG-LOAD", wide ? 30 : 20);
  at += put_text(at, {plate + 3, 7}, wide ? 30 : 7);
  *at++ = 2;  // plate colour: yellow
  at += put_text(at, {plate, 10}, 10);
  return write_frame(out, raw, static_cast<std::size_t>(at - raw));
}

std::size_t FrameWriter::authenticate(std::uint8_t* out, const Phone& phone, std::uint16_t serial,
                                      Bytes code) const {
  const bool wide = version_ == Version::v2019;
  const std::size_t code_bytes = code.size() < 200 ? code.size() : 200;
  std::uint8_t raw[300] = {};
  const std::size_t body_bytes = code_bytes + (wide ? 36U : 0U);
  std::uint8_t* at = raw + start(raw, 0x0102, body_bytes, phone, serial);
  if (wide) *at++ = static_cast<std::uint8_t>(code_bytes);
  std::memcpy(at, code.data(), code_bytes);
  at += code_bytes;
  if (wide) {
    at += put_text(at, "860000000000000", 15);  // IMEI
    at += put_text(at, "1.0", 20);              // software version
  }
  return write_frame(out, raw, static_cast<std::size_t>(at - raw));
}

std::size_t FrameWriter::logout(std::uint8_t* out, const Phone& phone,
                                std::uint16_t serial) const {
  std::uint8_t raw[40] = {};
  return write_frame(out, raw, start(raw, 0x0003, 0, phone, serial));
}

namespace {

// Unescapes; the size, or 0 when an escape is broken or there is too much.
std::size_t unescape(Bytes inside, ReplyScratch& out) {
  if (inside.size() > 2 * out.size()) return 0;
  std::size_t size = 0;
  for (std::size_t i = 0; i < inside.size(); ++i) {
    std::uint8_t byte = inside[i];
    if (byte == escape) {
      if (++i == inside.size() || (inside[i] != 1 && inside[i] != 2)) return 0;
      byte = inside[i] == 2 ? delimiter : escape;
    }
    if (size == out.size()) return 0;
    out[size++] = byte;
  }
  return size;
}

}  // namespace

ReplyKind parse_reply(Bytes inside, Version version, ReplyScratch& scratch, Reply& out) {
  if (inside.empty()) return ReplyKind::broken;
  const std::uint8_t* raw = inside.data();
  std::size_t size = inside.size();
  if (std::memchr(inside.data(), escape, inside.size()) != nullptr) {
    size = unescape(inside, scratch);
    raw = scratch.data();
  }
  const bool wide = version == Version::v2019;
  const std::size_t header_bytes = wide ? 17 : 12;
  if (size < header_bytes + 1) return ReplyKind::broken;
  std::uint8_t check = 0;
  for (std::size_t i = 0; i < size; ++i) check = static_cast<std::uint8_t>(check ^ raw[i]);
  if (check != 0 || ((raw[2] & 0x40) != 0) != wide) return ReplyKind::broken;
  const std::size_t body_bytes = load_be16(raw + 2) & 0x3ffU;
  const bool has_parts = (raw[2] & 0x20) != 0;
  if (header_bytes + (has_parts ? 4U : 0U) + body_bytes + 1 != size) return ReplyKind::broken;
  out.message_id = load_be16(raw);
  std::memcpy(out.phone.data(), raw + header_bytes - 8, out.phone.size());
  const std::uint8_t* body = raw + header_bytes;
  if (out.message_id == 0x8001 && !has_parts) {
    if (body_bytes != 5) return ReplyKind::broken;
    out.serial = load_be16(body);
    out.answered_id = load_be16(body + 2);
    out.result = body[4];
    return ReplyKind::general;
  }
  if (out.message_id == 0x8100 && !has_parts) {
    if (body_bytes < 3) return ReplyKind::broken;
    out.serial = load_be16(body);
    out.result = body[2];
    out.code = {body + 3, body_bytes - 3};
    return ReplyKind::registered;
  }
  out.raw = {raw, size - 1};
  return ReplyKind::other;
}

}  // namespace ringgate::load
