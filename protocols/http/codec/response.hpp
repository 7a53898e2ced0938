// Heads of responses (RFC 9112 section 4), written into memory of the caller, and bodies
// of errors. Pure; heads without allocation; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/bytes.hpp"
#include "engine/base/clock.hpp"

namespace ringgate::http {

std::string_view reason_phrase(std::uint16_t status);  // "OK"; "" where it is unknown

// RFC 9457: what an application/problem+json says, `detail` being for people; may be empty.
std::string problem_body(std::uint16_t status, std::string_view detail);

// "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 5.6.7), 29 bytes.
constexpr std::size_t date_size = 29;
void write_date(std::int64_t unix_s, char* out);

// The Date field's line, made once a second.
class DateLine {
 public:
  // "Date: ...\r\n"; valid until the next call.
  std::string_view at(WallUs now_us) {
    const std::int64_t second = now_us / us_per_s;
    if (second != second_) renew(second);
    return {line_, sizeof line_};
  }

 private:
  void renew(std::int64_t second);
  std::int64_t second_ = -1;
  char line_[6 + date_size + 2] = {};
};

// Writes a head piece by piece. Too little room is the caller's mistake and is caught.
class HeadWriter {
 public:
  explicit HeadWriter(MutableBytes room) : out_(room.data()), room_(room.size()) {}
  HeadWriter& status(std::uint16_t status);
  HeadWriter& line(std::string_view whole);  // with its CR LF
  // `value` has no CR, LF or NUL: asserted.
  HeadWriter& field(std::string_view name, std::string_view value);
  HeadWriter& field(std::string_view name, std::uint64_t value);
  // The empty line; the head's size.
  std::size_t end();

 private:
  void put(std::string_view text);
  std::uint8_t* out_;
  std::size_t room_;
  std::size_t size_ = 0;
};

}  // namespace ringgate::http
