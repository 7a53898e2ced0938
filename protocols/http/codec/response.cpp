#include "protocols/http/codec/response.hpp"

#include <charconv>
#include <cstring>

#include "engine/base/check.hpp"
#include "engine/base/json_writer.hpp"

namespace ringgate::http {

namespace {

struct Reason {
  std::uint16_t status;
  std::string_view phrase;
};
// RFC 9110 section 15, RFC 6585; those that are used here.
constexpr Reason reasons[] = {
    {100, "Continue"}, {101, "Switching Protocols"}, {200, "OK"}, {201, "Created"},
    {202, "Accepted"}, {204, "No Content"}, {206, "Partial Content"}, {301, "Moved Permanently"},
    {302, "Found"}, {303, "See Other"}, {304, "Not Modified"}, {400, "Bad Request"},
    {401, "Unauthorized"}, {403, "Forbidden"}, {404, "Not Found"}, {405, "Method Not Allowed"},
    {406, "Not Acceptable"}, {408, "Request Timeout"}, {409, "Conflict"}, {410, "Gone"},
    {411, "Length Required"}, {412, "Precondition Failed"}, {413, "Content Too Large"},
    {414, "URI Too Long"}, {415, "Unsupported Media Type"}, {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"}, {421, "Misdirected Request"}, {422, "Unprocessable Content"},
    {426, "Upgrade Required"}, {428, "Precondition Required"}, {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"}, {500, "Internal Server Error"},
    {501, "Not Implemented"}, {502, "Bad Gateway"}, {503, "Service Unavailable"},
    {504, "Gateway Timeout"}, {505, "HTTP Version Not Supported"}, {507, "Insufficient Storage"}};

constexpr std::string_view day_names[] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
constexpr std::string_view month_names[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

struct Day {
  std::int64_t year;
  unsigned month;  // 1 to 12
  unsigned day;
};
// Of the proleptic Gregorian calendar, years counted from March so that leap days come last.
Day day_of(std::int64_t days_since_1970) {
  const std::int64_t days = days_since_1970 + 719'468;  // since 0000-03-01
  const std::int64_t era = (days >= 0 ? days : days - 146'096) / 146'097;
  const auto in_era = static_cast<unsigned>(days - era * 146'097);
  const unsigned year = (in_era - in_era / 1460 + in_era / 36'524 - in_era / 146'096) / 365;
  const unsigned in_year = in_era - (365 * year + year / 4 - year / 100);
  const unsigned month = (5 * in_year + 2) / 153;
  const unsigned day = in_year - (153 * month + 2) / 5 + 1;
  const unsigned civil_month = month < 10 ? month + 3 : month - 9;
  return {static_cast<std::int64_t>(year) + era * 400 + (civil_month <= 2 ? 1 : 0), civil_month,
          day};
}

void put_digits(char*& out, unsigned value, int digits) {
  for (int i = digits - 1; i >= 0; --i) {
    out[i] = static_cast<char>('0' + value % 10);
    value /= 10;
  }
  out += digits;
}

void put_text(char*& out, std::string_view text) {
  std::memcpy(out, text.data(), text.size());
  out += text.size();
}

}  // namespace

std::string_view reason_phrase(std::uint16_t status) {
  for (const Reason& reason : reasons) {
    if (reason.status == status) return reason.phrase;
  }
  return {};
}

std::string problem_body(std::uint16_t status, std::string_view detail) {
  std::string body;
  JsonWriter json(body);
  json.begin_object();
  json.key("title").text(reason_phrase(status));
  json.key("status").unsigned_integer(status);
  if (!detail.empty()) json.key("detail").text(detail);
  json.end_object();
  return body;
}

void write_date(std::int64_t unix_s, char* out) {
  const std::int64_t days = unix_s / 86'400 - (unix_s % 86'400 < 0 ? 1 : 0);
  const auto second = static_cast<unsigned>(unix_s - days * 86'400);
  const Day day = day_of(days);
  put_text(out, day_names[static_cast<std::size_t>((days % 7 + 7) % 7)]);
  put_text(out, ", ");
  put_digits(out, day.day, 2);
  put_text(out, " ");
  put_text(out, month_names[day.month - 1]);
  put_text(out, " ");
  put_digits(out, static_cast<unsigned>(day.year), 4);
  put_text(out, " ");
  put_digits(out, second / 3600, 2);
  put_text(out, ":");
  put_digits(out, second / 60 % 60, 2);
  put_text(out, ":");
  put_digits(out, second % 60, 2);
  put_text(out, " GMT");
}

void DateLine::renew(std::int64_t second) {
  second_ = second;
  std::memcpy(line_, "Date: ", 6);
  write_date(second, line_ + 6);
  std::memcpy(line_ + 6 + date_size, "\r\n", 2);
}

void HeadWriter::put(std::string_view text) {
  RG_CHECK(text.size() <= room_ - size_);
  if (text.empty()) return;
  std::memcpy(out_ + size_, text.data(), text.size());
  size_ += text.size();
}

HeadWriter& HeadWriter::status(std::uint16_t status) {
  RG_CHECK(status >= 100 && status <= 999);
  if (status == 200) return line("HTTP/1.1 200 OK\r\n");
  char digits[3];
  char* out = digits;
  put_digits(out, status, 3);
  put("HTTP/1.1 ");
  put({digits, sizeof digits});
  put(" ");
  put(reason_phrase(status));
  put("\r\n");
  return *this;
}

HeadWriter& HeadWriter::line(std::string_view whole) {
  put(whole);
  return *this;
}

HeadWriter& HeadWriter::field(std::string_view name, std::string_view value) {
  RG_CHECK(value.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos);
  put(name);
  put(": ");
  put(value);
  put("\r\n");
  return *this;
}

HeadWriter& HeadWriter::field(std::string_view name, std::uint64_t value) {
  char digits[20];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, value);
  RG_CHECK(error == std::errc());
  return field(name, {digits, static_cast<std::size_t>(end - digits)});
}

std::size_t HeadWriter::end() {
  put("\r\n");
  return size_;
}

}  // namespace ringgate::http
