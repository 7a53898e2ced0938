// BCD digits, and times made of them. Pure, no allocation; any thread.
// Times are YYMMDDhhmmss, GMT+8 except in 0x8004 (UTC); years are 2000 to 2099.
#pragma once

#include <cstdint>
#include <limits>

#include "engine/base/bytes.hpp"

namespace ringgate::jt808 {

// What a field that holds no valid time decodes to.
constexpr std::int64_t time_invalid = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t gmt8_offset_s = 8 * 3600;
constexpr std::int64_t unix_2000_s = 946'684'800;
constexpr std::int64_t unix_2100_s = 4'102'444'800;

// Whether every nibble is a digit: a nibble above 9 has bit 3 and one of bits 2 and 1.
constexpr bool all_digits(std::uint64_t bcd) {
  const std::uint64_t eights = bcd & 0x8888888888888888ULL;
  return (bcd & ((eights >> 1) | (eights >> 2))) == 0;
}

// `digits`: YYMMDDhhmmss in the low 48 bits. Unix seconds as if the digits were UTC, or
// time_invalid.
inline std::int64_t time_from_digits(std::uint64_t digits) {
  static constexpr std::uint16_t before_month[16] = {0,   0,   31,  59,  90,  120, 151,
                                                     181, 212, 243, 273, 304, 334};
  static constexpr std::uint8_t days_in[16] = {0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  // 16 h + l becomes 10 h + l in each byte.
  const std::uint64_t bytes = digits - 6 * ((digits >> 4) & 0x0f0f0f0f0f0fULL);
  const auto part = [bytes](int shift) {
    return static_cast<std::uint32_t>(bytes >> shift & 0xff);
  };
  const std::uint32_t year = part(40);
  const std::uint32_t month = part(32) & 15;
  const std::uint32_t day = part(24);
  const std::uint32_t hour = part(16);
  const std::uint32_t minute = part(8);
  const std::uint32_t second = part(0);
  const std::uint32_t leap = static_cast<std::uint32_t>((year & 3) == 0);
  const std::uint32_t month_days = days_in[month] + (leap & static_cast<std::uint32_t>(month == 2));
  // One branch for all: times are nearly always valid.
  const auto one_if = [](bool condition) { return static_cast<unsigned>(condition); };
  const unsigned wrong = one_if(!all_digits(digits)) | one_if(part(32) > 12) |
                         one_if(day - 1 >= month_days) | one_if(hour > 23) | one_if(minute > 59) |
                         one_if(second > 59);
  if (wrong != 0) return time_invalid;
  const std::uint32_t days = year * 365 + (year + 3) / 4 + before_month[month] +
                             (leap & static_cast<std::uint32_t>(month > 2)) + day - 1;
  return unix_2000_s + std::int64_t{days} * 86'400 + hour * 3600 + minute * 60 + second;
}

// Six bytes of BCD at GMT+8 to Unix seconds, or time_invalid.
inline std::int64_t read_time_gmt8(const std::uint8_t* bcd) {
  const std::uint64_t digits = std::uint64_t{load_be16(bcd)} << 32 | load_be32(bcd + 2);
  const std::int64_t time = time_from_digits(digits);
  return time == time_invalid ? time : time - gmt8_offset_s;
}

// Unix seconds to six bytes of BCD, as UTC; add gmt8_offset_s for GMT+8. Times outside 2000-2099
// become zeros, which receivers take for "no time".
void write_time_utc(std::int64_t unix_s, std::uint8_t* bcd);

}  // namespace ringgate::jt808
