#include "protocols/jt808/codec/values.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "engine/base/hex.hpp"
#include "protocols/jt808/codec/bcd.hpp"
#include "protocols/jt808/codec/location.hpp"
#include "protocols/jt808/codec/text.hpp"

namespace ringgate::jt808 {

std::string cat(std::initializer_list<std::string_view> parts) {
  std::string out;
  for (const std::string_view part : parts) out += part;
  return out;
}

std::string raw_key(const Field& field) {
  std::string_view key = field.key;
  if (key.empty()) key = field.parts.empty() ? std::string_view("value") : field.parts[0].key;
  return cat({key, "_raw"});
}

std::string_view value_name(Names names, std::uint64_t value, Layout layout) {
  for (const Name& name : names) {
    if (name.value == value && (name.layouts & mask_of(layout)) != 0) return name.name;
  }
  return {};
}

std::optional<std::uint32_t> named_value(Names names, std::string_view text, Layout layout) {
  for (const Name& name : names) {
    if (name.name == text && (name.layouts & mask_of(layout)) != 0) return name.value;
  }
  return {};
}

std::string decimal_text(std::uint64_t magnitude, bool negative, unsigned decimals) {
  std::string out = std::to_string(magnitude);
  if (decimals != 0) {
    if (out.size() <= decimals) out.insert(0, decimals + 1 - out.size(), '0');
    out.insert(out.size() - decimals, 1, '.');
  }
  if (negative) out.insert(0, 1, '-');
  return out;
}

std::optional<std::int64_t> scaled_number(double value, unsigned decimals) {
  for (unsigned i = 0; i < decimals; ++i) value *= 10;
  const double rounded = std::round(value);
  constexpr double exact_max = 9007199254740992.0;  // 2^53
  // What is left over comes from decimal fractions that binary ones can't hold.
  if (!(std::fabs(rounded) < exact_max) || std::fabs(value - rounded) > 1e-3) return {};
  return static_cast<std::int64_t>(rounded);
}

std::string hex_text(std::uint64_t value, std::size_t bytes) {
  const bool is_short = bytes == 4 && value <= 0xffff;
  char text[24];
  std::snprintf(text, sizeof text, "0x%0*llx", static_cast<int>(is_short ? 4 : 2 * bytes),
                static_cast<unsigned long long>(value));
  return text;
}

std::optional<std::uint64_t> hex_value(std::string_view text) {
  if (text.starts_with("0x") || text.starts_with("0X")) text.remove_prefix(2);
  std::uint64_t value = 0;
  const auto done = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (text.empty() || done.ec != std::errc{} || done.ptr != text.data() + text.size()) return {};
  return value;
}

std::int64_t signed_value(const Field& field, std::uint64_t number) {
  if (field.kind == Kind::sign_number) {
    return cabin_temperature_c(static_cast<std::uint32_t>(number));
  }
  if (field.kind == Kind::integer) {
    const unsigned unused = 64U - 8U * field.size;
    return static_cast<std::int64_t>(number << unused) >> unused;
  }
  return static_cast<std::int64_t>(number);
}

std::optional<std::uint64_t> wire_number(const Field& field, std::int64_t value) {
  const unsigned bits = 8U * field.size;
  const auto magnitude = static_cast<std::uint64_t>(value < 0 ? -value : value);
  if (field.kind == Kind::sign_number) {
    if (magnitude > 0x7fff) return {};
    return magnitude | (value < 0 ? 0x8000U : 0U);
  }
  if (field.kind == Kind::integer) {
    const std::uint64_t limit = std::uint64_t{1} << (bits - 1);
    if (magnitude > limit - (value < 0 ? 0 : 1)) return {};
    return static_cast<std::uint64_t>(value) & (UINT64_MAX >> (64U - bits));
  }
  if (value < 0 || magnitude > (UINT64_MAX >> (64U - bits))) return {};
  return magnitude;
}

namespace {

bool all_zero(Bytes bytes) {
  return std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0; });
}

// Digits only: two of `text` at a time into `out`.
bool read_bcd(std::string_view text, std::uint8_t* out) {
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const char high = text[i], low = text[i + 1];
    if (high < '0' || high > '9' || low < '0' || low > '9') return false;
    out[i / 2] = static_cast<std::uint8_t>((high - '0') << 4 | (low - '0'));
  }
  return true;
}

// Whether `text` looks like `shape`, where 0 is any digit; its digits go to `digits`.
bool matches(std::string_view text, std::string_view shape, std::string& digits) {
  digits.clear();
  if (text.size() != shape.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (shape[i] != '0') {
      if (text[i] != shape[i]) return false;
    } else if (text[i] < '0' || text[i] > '9') {
      return false;
    } else {
      digits += text[i];
    }
  }
  return true;
}

std::int64_t unix_of(const std::uint8_t* bcd) {
  return time_from_digits(std::uint64_t{load_be16(bcd)} << 32 | load_be32(bcd + 2));
}

// hhmmss, as of a day that exists.
bool is_clock(const std::uint8_t* bcd) {
  const std::uint8_t day[6] = {0x20, 0x01, 0x01, bcd[0], bcd[1], bcd[2]};
  return unix_of(day) != time_invalid;
}

std::string print_bcd(const char* shape, const std::uint8_t* bcd) {
  std::string out;
  std::size_t nibble = 0;
  for (const char* at = shape; *at != 0; ++at) {
    if (*at != '0') {
      out += *at;
      continue;
    }
    const unsigned value = nibble % 2 == 0 ? bcd[nibble / 2] >> 4U : bcd[nibble / 2] & 15U;
    out += static_cast<char>('0' + value);
    ++nibble;
  }
  return out;
}

Shown show_time(const Field& field, Bytes bytes) {
  Shown out{.is_null = true};
  if (all_zero(bytes)) return out;
  if (all_zero(bytes.first(3)) && is_clock(&bytes[3])) {
    return {.text = print_bcd("00:00:00", &bytes[3])};
  }
  std::int64_t unix_s = unix_of(bytes.data());
  if (unix_s != time_invalid && field.kind == Kind::time) unix_s -= gmt8_offset_s;
  if (unix_s == time_invalid || unix_s < unix_2000_s) {
    out.exact = false;
    return out;
  }
  std::uint8_t utc[6];
  write_time_utc(unix_s, utc);
  return {.text = cat({"20", print_bcd("00-00-00T00:00:00Z", utc)})};
}

std::string_view read_time(const Field& field, std::string_view text, std::uint8_t* out) {
  constexpr std::string_view wanted = R"(wants "2026-01-31T08:00:00Z", "08:00:00" or null)";
  std::string digits;
  std::fill_n(out, 6, std::uint8_t{0});
  if (matches(text, "00:00:00", digits)) {
    return read_bcd(digits, out + 3) && is_clock(out + 3) ? std::string_view{} : wanted;
  }
  std::int64_t east_s = 0;
  if (!matches(text, "2000-00-00T00:00:00Z", digits)) {
    for (const char sign : {'+', '-'}) {
      const std::string shape = cat({"2000-00-00T00:00:00", {&sign, 1}, "00:00"});
      if (!matches(text, shape, digits)) continue;
      const int hours = (digits[13] - '0') * 10 + digits[14] - '0';
      const int minutes = (digits[15] - '0') * 10 + digits[16] - '0';
      east_s = (sign == '+' ? 60 : -60) * (hours * 60 + minutes);
      break;
    }
    if (digits.size() < 13) return wanted;
  }
  // "2000" of the shape: a literal 2, then the digits 0YY; the century is ours.
  if (digits[0] != '0') return wanted;
  std::uint8_t bcd[6];
  if (!read_bcd(digits.substr(1, 12), bcd)) return wanted;
  std::int64_t unix_s = unix_of(bcd);
  if (unix_s == time_invalid) return "is no time that exists";
  unix_s += (field.kind == Kind::time ? gmt8_offset_s : 0) - east_s;
  if (unix_s < unix_2000_s || unix_s >= unix_2100_s) return "is not in 2000 to 2099";
  write_time_utc(unix_s, out);
  return {};
}

bool is_date(const std::uint8_t* bcd) {
  // Leap years of other centuries are told wrong by a day at most; nobody writes 1900.
  const std::uint8_t time[6] = {bcd[1], bcd[2], bcd[3], 0, 0, 0};
  return all_digits(bcd[0]) && unix_of(time) != time_invalid;
}

}  // namespace

Shown show_digits(const Field& field, Bytes bytes) {
  Shown out;
  switch (field.kind) {
    case Kind::time:
    case Kind::time_utc: return show_time(field, bytes);
    case Kind::date:
      out.is_null = all_zero(bytes) || !is_date(bytes.data());
      out.exact = !out.is_null || all_zero(bytes);
      if (!out.is_null) out.text = print_bcd("0000-00-00", bytes.data());
      return out;
    case Kind::clock_ms:
      out.is_null = !is_clock(bytes.data()) ||
                    !all_digits(std::uint64_t{load_be16(bytes.data() + 3)});
      out.exact = !out.is_null;
      if (!out.is_null) out.text = print_bcd("00:00:00.0000", bytes.data());
      return out;
    default:
      out.text = to_hex(bytes);
      out.exact = std::ranges::all_of(bytes, [](std::uint8_t byte) { return all_digits(byte); });
      return out;
  }
}

std::string_view read_digits(const Field& field, std::string_view text, MutableBytes out) {
  std::string digits;
  switch (field.kind) {
    case Kind::time:
    case Kind::time_utc: return read_time(field, text, out.data());
    case Kind::date:
      if (!matches(text, "0000-00-00", digits) || !read_bcd(digits, out.data()) ||
          !is_date(out.data())) {
        return R"(wants a date such as "2026-01-31", or null)";
      }
      return {};
    case Kind::clock_ms:
      if (!matches(text, "00:00:00.0000", digits) || !read_bcd(digits, out.data()) ||
          !is_clock(out.data())) {
        return R"(wants a time such as "08:00:00.1230")";
      }
      return {};
    default:
      if (text.size() > 2 * out.size()) return "has too many digits";
      digits = std::string(2 * out.size() - text.size(), '0').append(text);
      return read_bcd(digits, out.data()) ? std::string_view{} : "wants digits in quotes";
  }
}

Shown show_text(const Field& field, Bytes bytes) {
  Bytes text = bytes;
  while (!text.empty() && text.back() == 0) text = text.first(text.size() - 1);
  if (field.extent == Extent::fixed) {
    while (!text.empty() && text.front() == 0) text = text.subspan(1);
    while (field.space_padded && !text.empty() && text.back() == ' ') {
      text = text.first(text.size() - 1);
    }
  }
  Shown out{.text = utf8_from_gbk(text)};
  std::vector<std::uint8_t> again;
  out.exact = read_text(field, out.text, again).empty() && std::ranges::equal(again, bytes);
  return out;
}

std::string read_text(const Field& field, std::string_view utf8, std::vector<std::uint8_t>& out) {
  out.clear();
  std::string problem = gbk_from_utf8(utf8, out);
  if (!problem.empty()) return problem;
  if (field.extent != Extent::fixed) return {};
  if (out.size() > field.size) {
    return cat({"has ", std::to_string(out.size()), " bytes in GBK, ", std::to_string(field.size),
                " fit"});
  }
  const std::size_t missing = field.size - out.size();
  const auto padding = static_cast<std::uint8_t>(field.space_padded ? ' ' : 0);
  out.insert(field.front_padded ? out.begin() : out.end(), missing, padding);
  return {};
}

}  // namespace ringgate::jt808
