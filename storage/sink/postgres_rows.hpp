// Rows of a batch as COPY BINARY wants them, a buffer for each table. One thread.
#pragma once

#include <array>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/sink/target.hpp"

namespace ringgate::sink {

enum class Table : std::uint8_t {
  positions,
  alarms,
  sessions,
  devices,
  media,
  positions_other,
  count
};
constexpr std::size_t table_count = static_cast<std::size_t>(Table::count);
inline constexpr std::string_view table_names[] = {"ringgate_positions", "ringgate_alarms",
                                                   "ringgate_sessions", "ringgate_devices",
                                                   "ringgate_media", "ringgate_positions_other"};

namespace postgres_limits {
// Days around a record's arrival that its positions may be of to have a table of their own.
// Positions of other days (wrong clocks) share one, so that no device can make thousands of tables.
constexpr std::int64_t days_back = 400;
constexpr std::int64_t days_ahead = 2;
// What a COPY costs beside its rows is two ways to the server and back, and a row by itself some
// 10 us of the server; up to so many rows of a table go one by one, in one way with all others.
constexpr std::uint64_t single_rows_max = 256;
// A connection more is worth its round trips from so many records on.
constexpr std::size_t part_records_min = 2'000;
}  // namespace postgres_limits

class PostgresRows {
 public:
  // Forgets what was there; fills the buffers with the rows of the records of part `part` of
  // `parts`: all of a device are in one part, in their order. `split_other`: positions of days far
  // from their arrival go to positions_other, else to positions.
  void fill(const Batch& batch, std::size_t part, std::size_t parts, bool split_other);

  // What COPY wants: its signature, rows, the end.
  const std::string& copy(Table table) const { return at(table).bytes; }
  std::uint64_t rows(Table table) const { return at(table).starts.size(); }
  // One row: the count of its values, then each with its size. Devices come in the order of their
  // names (nodes that write the same ones wait for each other, and never in a circle).
  std::string_view tuple(Table table, std::size_t row) const;
  std::uint64_t rows() const;
  // Days (since 1970) of the device times in `positions`.
  const std::set<std::int64_t>& days() const { return days_; }

 private:
  friend class PostgresVisitor;
  struct Buffer {
    std::string bytes;
    std::vector<std::uint32_t> starts;  // of each row
  };
  const Buffer& at(Table table) const { return buffers_[static_cast<std::size_t>(table)]; }
  Buffer& at(Table table) { return buffers_[static_cast<std::size_t>(table)]; }

  std::array<Buffer, table_count> buffers_;
  std::set<std::int64_t> days_;
  std::vector<std::pair<std::string, std::uint32_t>> device_order_;  // name, start
};

// As PostgreSQL takes it: NUL and what is no UTF-8 become U+FFFD.
void append_clean(std::string& out, std::string_view text);

}  // namespace ringgate::sink
