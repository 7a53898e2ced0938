// Which devices are meant: the small language of `--filter` and of the API, over the keys that
// DeviceGate::list writes.
//
//   online                          a key that is true
//   not online
//   phone~138*                      text with * and ?
//   version=2019   alarm!=0   speed>80   frames<=1000
//   last_heard>10m                  heard last more than ten minutes ago (s, m, h, d, 1h30m)
//   in(31.1,121.2,31.4,121.6)       last position within a rectangle: lat, lon of two corners
//   online and version=2019 and in(31.1,121.2,31.4,121.6)
//
// Any key of the list can be named; `speed`, `alarm`, `latitude`, `longitude`, `heading` stand for
// speed_kmh, alarm_bits, latitude_deg, longitude_deg, heading_deg. A comparison with a key that the
// device does not have is false, whichever it is. Values with blanks or signs stand in "quotes".
//
// Immutable after parse(): any thread. Cold: allocates.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/base/clock.hpp"
#include "engine/base/result.hpp"

namespace ringgate::event {

// What a device has under a key: nothing, true or false, a number, a text.
using FieldValue = std::variant<std::monostate, bool, double, std::string>;

// A device, for a filter.
class FieldSource {
 public:
  virtual ~FieldSource() = default;
  virtual FieldValue field(std::string_view key) const = 0;
};

// What is wrong with a filter, and where: `column` counts bytes from 1.
struct FilterError {
  std::size_t column = 1;
  std::string message;
};

class DeviceFilter {
 public:
  // Filters are written by people; more than this is none.
  static constexpr std::size_t text_size_max = 4096;

  // Blank: every device. `known`: the keys that devices may have, so that a misspelt one is an
  // error and does not, behind 'not', mean every device; empty: any key.
  static Result<DeviceFilter, FilterError> parse(std::string_view text,
                                                 std::span<const std::string_view> known = {});
  bool matches(const FieldSource& device, WallUs now_us) const;

 private:
  friend class FilterParser;
  enum class Test : std::uint8_t { flag, equal, unequal, like, more, more_or_equal, less,
                                   less_or_equal, within };
  struct Term {
    Test test = Test::flag;
    bool negated = false;
    bool age = false;  // compares how long ago the key's time (in us) was, in seconds
    bool is_number = false;
    std::string key;
    std::string text;
    double number = 0;
    double corners[4] = {};  // lowest latitude, lowest longitude, highest, highest
  };
  static bool holds(const Term& term, const FieldSource& device, WallUs now_us);

  std::vector<Term> terms_;  // all must hold
};

// `*` is any text, `?` one byte. No recursion.
bool matches_pattern(std::string_view pattern, std::string_view text);

}  // namespace ringgate::event
