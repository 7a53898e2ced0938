#include "engine/observe/log_format.hpp"

#include <charconv>
#include <chrono>
#include <cmath>
#include <cstring>

#include "engine/base/check.hpp"
#include "engine/base/utf8.hpp"

namespace ringgate::observe {

std::string_view level_name(Level level) {
  switch (level) {
    case Level::debug: return "debug";
    case Level::info: return "info";
    case Level::warn: return "warn";
    case Level::error: return "error";
  }
  return "error";
}

namespace {

constexpr char hex_digits[] = "0123456789abcdef";

void put_digits(char* out, unsigned width, std::uint64_t value) {
  for (unsigned i = width; i-- > 0; value /= 10) out[i] = static_cast<char>('0' + value % 10);
}

std::string_view colour_of(Level level) {
  switch (level) {
    case Level::debug: return "\x1b[2m";
    case Level::info: return "\x1b[32m";
    case Level::warn: return "\x1b[33m";
    case Level::error: return "\x1b[1;31m";
  }
  return "";
}

bool plain_in_logfmt(std::string_view text) {
  if (text.empty()) return false;
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    const std::size_t length = utf8_length(text, at);
    if (length == 0) return false;
    if (length == 1 &&
        (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f || c == '=' || c == '"' || c == '\\')) {
      return false;
    }
    at += length;
  }
  return true;
}

// The escape for the character at `at`, or the character itself. `length` is its size in `text`.
struct Escape {
  char text[8];
  std::size_t size;
};

Escape escaped(std::string_view text, std::size_t at, std::size_t length, bool json) {
  Escape out{{}, 0};
  const auto put = [&](std::string_view part) {
    std::memcpy(out.text + out.size, part.data(), part.size());
    out.size += part.size();
  };
  const auto byte = static_cast<unsigned char>(text[at]);
  const char digits[2] = {hex_digits[byte >> 4], hex_digits[byte & 15]};
  if (length == 0) {
    put(json ? std::string_view("\xef\xbf\xbd") : std::string_view("\\x"));
    if (!json) put({digits, 2});
  } else if (length > 1 || (byte >= 0x20 && byte != 0x7f && byte != '"' && byte != '\\')) {
    put(text.substr(at, length));
  } else if (byte == '"' || byte == '\\') {
    put("\\");
    put(text.substr(at, 1));
  } else if (byte == '\n') {
    put("\\n");
  } else if (byte == '\r') {
    put("\\r");
  } else if (byte == '\t') {
    put("\\t");
  } else {
    put(json ? std::string_view("\\u00") : std::string_view("\\x"));
    put({digits, 2});
  }
  return out;
}

}  // namespace

void format_time(char* out, WallUs time) {
  using namespace std::chrono;
  const sys_time<milliseconds> at{floor<milliseconds>(microseconds{time})};
  const auto day = floor<days>(at);
  const year_month_day date{day};
  const hh_mm_ss clock{at - day};
  std::memcpy(out, "0000-00-00T00:00:00.000Z", time_text_size);
  put_digits(out, 4, static_cast<std::uint64_t>(static_cast<int>(date.year())));
  put_digits(out + 5, 2, static_cast<unsigned>(date.month()));
  put_digits(out + 8, 2, static_cast<unsigned>(date.day()));
  put_digits(out + 11, 2, static_cast<std::uint64_t>(clock.hours().count()));
  put_digits(out + 14, 2, static_cast<std::uint64_t>(clock.minutes().count()));
  put_digits(out + 17, 2, static_cast<std::uint64_t>(clock.seconds().count()));
  put_digits(out + 20, 3, static_cast<std::uint64_t>(clock.subseconds().count()));
}

// Appends to a fixed buffer. A tail is kept free, so that a cut line can still be closed.
class LineFormatter {
 public:
  LineFormatter(std::span<char> out, LineStyle style)
      : out_(out),
        room_(out.size() - tail_size),
        json_(style.format == LogFormat::json),
        style_(style) {}

  void head(const LineHead& head) {
    if (json_) put("{");
    char time[time_text_size];
    format_time(time, head.time);
    field({"time", std::string_view(time, sizeof time)});
    if (style_.colour && !json_) {
      put(" level=");
      put(colour_of(head.level));
      put(level_name(head.level));
      put("\x1b[0m");
    } else {
      field({"level", level_name(head.level)});
    }
    field({"source", head.source});
    // Behind its key: ` msg=` or `,"msg":`.
    message_begin_ = used_ + (json_ ? 7 : 5);
    field({"msg", head.message});
    message_end_ = used_;
  }

  LineExtent extent(std::size_t size) const {
    return {static_cast<std::uint16_t>(size), static_cast<std::uint16_t>(message_begin_),
            static_cast<std::uint16_t>(message_end_)};
  }

  void field(const Field& f) {
    if (cut_) return;
    const std::size_t start = used_;
    // A key, its quotes and separators, and at least a few bytes of value, or nothing of it.
    if (room_ - used_ < f.key_.size() + value_size_min) {
      cut_ = true;
      return;
    }
    if (json_) {
      put(first_ ? "\"" : ",\"");
      put(f.key_);
      put("\":");
    } else {
      if (!first_) put(" ");
      put(f.key_);
      put("=");
    }
    first_ = false;
    if (!value(f)) used_ = start;
  }

  std::size_t finish() {
    room_ = out_.size();
    if (cut_) put(json_ ? ",\"truncated\":true" : " truncated=true");
    put(json_ ? "}\n" : "\n");
    return used_;
  }

 private:
  static constexpr std::size_t tail_size = 24;
  static constexpr std::size_t value_size_min = 32;  // the longest number fits

  bool value(const Field& f) {
    char digits[64];
    char* const end = digits + sizeof digits;
    switch (f.kind_) {
      case Field::Kind::text: text(f.text_); return true;
      case Field::Kind::boolean: put(f.boolean_ ? "true" : "false"); return true;
      case Field::Kind::integer: return put_number(digits, std::to_chars(digits, end, f.integer_));
      case Field::Kind::natural: return put_number(digits, std::to_chars(digits, end, f.natural_));
      case Field::Kind::number: break;
    }
    if (!std::isfinite(f.number_)) {
      put(json_ ? "null" : "nan");
      return true;
    }
    const auto fixed = std::to_chars(digits, digits + value_size_min - 8, f.number_,
                                     std::chars_format::fixed, f.decimals_);
    // Too long to read as fixed digits: the exponent form is short.
    if (fixed.ec == std::errc{}) return put_number(digits, fixed);
    return put_number(digits,
                      std::to_chars(digits, end, f.number_, std::chars_format::scientific, 6));
  }

  bool put_number(const char* digits, std::to_chars_result result) {
    if (result.ec != std::errc{}) return false;
    put({digits, static_cast<std::size_t>(result.ptr - digits)});
    return true;
  }

  void text(std::string_view value) {
    const bool quoted = json_ || !plain_in_logfmt(value) || value.size() > room_ - used_;
    if (!quoted) {
      put(value);
      return;
    }
    put("\"");
    for (std::size_t at = 0; at < value.size();) {
      const std::size_t length = utf8_length(value, at);
      const Escape escape = escaped(value, at, length, json_);
      if (escape.size + 1 > room_ - used_) {
        cut_ = true;
        break;
      }
      put({escape.text, escape.size});
      at += length == 0 ? 1 : length;
    }
    put("\"");
  }

  void put(std::string_view part) {
    RG_CHECK(part.size() <= room_ - used_);
    std::memcpy(out_.data() + used_, part.data(), part.size());
    used_ += part.size();
  }

  std::span<char> out_;
  std::size_t room_;
  std::size_t used_ = 0;
  std::size_t message_begin_ = 0;
  std::size_t message_end_ = 0;
  bool json_;
  LineStyle style_;
  bool first_ = true;
  bool cut_ = false;
};

std::size_t format_line(std::span<char> out, LineStyle style, const LineHead& head,
                        std::span<const Field> fields) {
  return format_extent(out, style, head, fields).size;
}

LineExtent format_extent(std::span<char> out, LineStyle style, const LineHead& head,
                         std::span<const Field> fields) {
  RG_CHECK(out.size() >= line_size_min);
  // Names of sources and messages are constants of the program; a cut keeps a mistake harmless.
  LineHead fitting = head;
  fitting.source = head.source.substr(0, 32);
  fitting.message = head.message.substr(0, 96);
  LineFormatter line(out, style);
  line.head(fitting);
  if (head.suppressed != 0) line.field({"suppressed", head.suppressed});
  for (const Field& field : fields) line.field(field);
  return line.extent(line.finish());
}

}  // namespace ringgate::observe
