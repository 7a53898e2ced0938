// What people see: tables, colours on terminals, times and units. One thread.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "tools/ctl/client.hpp"

namespace ringgate::ctl {

enum class Colour : std::uint8_t { plain, good, bad, dim, strong };
// Around `text` where stdout is a terminal and NO_COLOR is not set.
std::string coloured(Colour colour, std::string_view text);

// A table that is printed row by row: columns have the widths that they begin with.
class Table {
 public:
  struct Column {
    std::string_view title;
    std::size_t width;  // what is longer moves the rest of its row
    bool right = false;
  };
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  void row(const std::vector<std::string>& cells, Colour colour = Colour::plain);

 private:
  void print(const std::vector<std::string>& cells, Colour colour) const;
  std::vector<Column> columns_;
  bool titled_ = false;
};

// Text that a terminal shows and does not obey: control characters as \x1b.
std::string printable(std::string_view text);
// A value as people read it: text without quotes, null as "-", the rest as JSON.
std::string plain(const Json& value);
std::string plain(const Json& object, const char* key);
// "3s", "12m", "5h", "2d" since a time in microseconds since 1970; "never" for 0.
std::string ago(const Json& object, const char* key);
// "key  value" lines, with units spoken out: speed_kmh 60.0 -> "speed  60.0 km/h".
void print_object(const Json& object, std::size_t indent = 0);
// "field=value field=value": everything in one line.
std::string one_line(const Json& object);
std::string ansi_clear();

}  // namespace ringgate::ctl
