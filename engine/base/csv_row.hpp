// One row of comma-separated values (RFC 4180), cell after cell; the row ends when it dies. Pure.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>

#include "engine/base/csv.hpp"

namespace ringgate {

class CsvRow {
 public:
  explicit CsvRow(std::string& out) : out_(out) {}
  ~CsvRow() { out_ += "\r\n"; }
  CsvRow(const CsvRow&) = delete;
  CsvRow& operator=(const CsvRow&) = delete;

  // Quoted where it holds a comma, a quote or the end of a line.
  CsvRow& text(std::string_view value) {
    separate();
    put_csv_cell(out_, value);
    return *this;
  }
  CsvRow& integer(std::int64_t value) {
    separate();
    fmt::format_to(std::back_inserter(out_), "{}", value);
    return *this;
  }
  CsvRow& number(double value, int decimals) {  // not finite: empty
    separate();
    if (std::isfinite(value)) fmt::format_to(std::back_inserter(out_), "{:.{}f}", value, decimals);
    return *this;
  }
  CsvRow& boolean(bool value) {
    separate();
    out_ += value ? "true" : "false";
    return *this;
  }
  CsvRow& empty() {
    separate();
    return *this;
  }

 private:
  void separate() {
    if (begun_) out_ += ',';
    begun_ = true;
  }
  std::string& out_;
  bool begun_ = false;
};

}  // namespace ringgate
