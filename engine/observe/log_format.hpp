// Turns one log event into one line of text: logfmt or JSON, in a buffer of fixed size, without
// allocation. Pure, any thread.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "engine/base/clock.hpp"

namespace ringgate::observe {

enum class Level : std::uint8_t { debug, info, warn, error };
enum class LogFormat : std::uint8_t { logfmt, json };

std::string_view level_name(Level level);  // "debug", "info", "warn", "error"

// A typed key and value. Holds views: it lives no longer than the statement that logs it.
// Keys are plain identifiers from the source code and are not escaped.
class Field {
 public:
  Field(std::string_view key, std::string_view text) : key_(key), kind_(Kind::text), text_(text) {}
  Field(std::string_view key, const char* text) : Field(key, std::string_view(text)) {}
  template <std::same_as<bool> T>
  Field(std::string_view key, T value) : key_(key), kind_(Kind::boolean), boolean_(value) {}
  template <std::signed_integral T>
  Field(std::string_view key, T value) : key_(key), kind_(Kind::integer), integer_(value) {}
  template <std::unsigned_integral T>
    requires(!std::same_as<T, bool>)
  Field(std::string_view key, T value) : key_(key), kind_(Kind::natural), natural_(value) {}
  // `decimals` digits behind the point; not finite: "nan" in logfmt, null in JSON.
  Field(std::string_view key, double value, int decimals = 3)
      : key_(key), kind_(Kind::number), decimals_(decimals), number_(value) {}

 private:
  friend class LineFormatter;
  enum class Kind : std::uint8_t { text, boolean, integer, natural, number };

  std::string_view key_;
  Kind kind_;
  int decimals_ = 0;
  union {
    std::string_view text_;
    bool boolean_;
    std::int64_t integer_;
    std::uint64_t natural_;
    double number_;
  };
};

// What stands in front of the fields of every line.
struct LineHead {
  WallUs time = 0;
  Level level = Level::info;
  std::string_view source;   // "shard-0", "main"
  std::string_view message;  // constant text; what varies goes into fields
  std::uint64_t suppressed = 0;  // lines of the same place that were held back; 0: not written
};

struct LineStyle {
  LogFormat format = LogFormat::logfmt;
  bool colour = false;  // logfmt only: the level
};

// Below this no line head would fit.
constexpr std::size_t line_size_min = 256;

// Writes one line ending in '\n' into `out` (at least line_size_min bytes) and returns its size.
// What does not fit is cut and the line ends in truncated=true; it stays well-formed.
// logfmt: values that are empty or hold a blank, '=', '"', '\' or anything that needs an escape are
// quoted; escapes are \" \\ \n \r \t and \xNN (control bytes, and bytes that are no UTF-8).
// Time is RFC 3339 in UTC with milliseconds.
std::size_t format_line(std::span<char> out, LineStyle style, const LineHead& head,
                        std::span<const Field> fields);

// The same line, and where its message stands in it, with the quotes that it may have.
struct LineExtent {
  std::uint16_t size = 0;
  std::uint16_t message_begin = 0;
  std::uint16_t message_end = 0;
};
LineExtent format_extent(std::span<char> out, LineStyle style, const LineHead& head,
                         std::span<const Field> fields);

constexpr std::size_t time_text_size = 24;  // 2026-11-20T22:27:39.123Z
// Writes time_text_size bytes; years 0 to 9999.
void format_time(char* out, WallUs time);

}  // namespace ringgate::observe
