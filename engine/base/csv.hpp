// Cells of comma-separated values (RFC 4180). Pure; any thread.
#pragma once

#include <string>
#include <string_view>

namespace ringgate {

// Appends the cell; in quotes where it holds a comma, a quote or the end of a line.
inline void put_csv_cell(std::string& out, std::string_view value) {
  if (value.find_first_of(",\"\r\n") == std::string_view::npos) {
    out += value;
    return;
  }
  out += '"';
  for (const char letter : value) {
    if (letter == '"') out += '"';
    out += letter;
  }
  out += '"';
}

}  // namespace ringgate
