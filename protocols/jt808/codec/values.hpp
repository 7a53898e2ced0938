// Single values between wire and text, both ways. What a reader gives back for what a writer wrote
// is the same bytes, or the writer says so (`exact` false). Allocates; any thread.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/bytes.hpp"
#include "protocols/jt808/codec/schema.hpp"

namespace ringgate::jt808 {

std::string cat(std::initializer_list<std::string_view> parts);

struct Shown {
  std::string text;
  bool is_null = false;
  bool exact = true;  // reading `text` (or null) gives the same bytes
};

// "<key>_raw"; bits without a key have the name of their first part.
std::string raw_key(const Field& field);

// The name of a value or of a bit; empty: none.
std::string_view value_name(Names names, std::uint64_t value, Layout layout);
std::optional<std::uint32_t> named_value(Names names, std::string_view name, Layout layout);

// 1234 with two decimals is "12.34"; "-0.5".
std::string decimal_text(std::uint64_t magnitude, bool negative, unsigned decimals);
// What a JSON number in double precision stands for; nothing when it has more decimals than
// `decimals` or is beyond 2^53.
std::optional<std::int64_t> scaled_number(double value, unsigned decimals);
// "0x0200". What fits two bytes of four is written like that too: parameters are known by "0x0001".
std::string hex_text(std::uint64_t value, std::size_t bytes);
std::optional<std::uint64_t> hex_value(std::string_view text);

// The number on the wire as a signed one: integer and sign_number; numbers as they are.
std::int64_t signed_value(const Field& field, std::uint64_t number);
// And back; nothing where it does not fit.
std::optional<std::uint64_t> wire_number(const Field& field, std::int64_t value);

// time, time_utc, date, clock_ms, digits.
Shown show_digits(const Field& field, Bytes bytes);
// `out`: of the field's size. What is wrong, or empty.
std::string_view read_digits(const Field& field, std::string_view text, MutableBytes out);

// GBK to UTF-8 without padding.
Shown show_text(const Field& field, Bytes bytes);
// Into GBK, filled up to the field's size where that is fixed. What is wrong, or empty.
std::string read_text(const Field& field, std::string_view utf8, std::vector<std::uint8_t>& out);

}  // namespace ringgate::jt808
