// Rows of a batch as COPY BINARY wants them, a buffer for each table. One thread.
#pragma once

#include <array>
#include <set>
#include <string>
#include <string_view>

#include "storage/sink/target.hpp"

namespace ringgate::sink {

enum class Table : std::uint8_t { positions, alarms, sessions, devices, media, count };
constexpr std::size_t table_count = static_cast<std::size_t>(Table::count);
inline constexpr std::string_view table_names[] = {"ringgate_positions", "ringgate_alarms",
                                                   "ringgate_sessions", "ringgate_devices",
                                                   "ringgate_media"};

class PostgresRows {
 public:
  // Forgets what was there; fills the buffers with the rows of all records.
  void fill(const Batch& batch);

  const std::string& copy(Table table) const { return at(table).bytes; }
  std::uint64_t rows(Table table) const { return at(table).rows; }
  std::uint64_t rows() const;
  // Days (since 1970) of the positions' device times.
  const std::set<std::int64_t>& days() const { return days_; }

 private:
  friend class PostgresVisitor;
  struct Buffer {
    std::string bytes;
    std::uint64_t rows = 0;
  };
  const Buffer& at(Table table) const { return buffers_[static_cast<std::size_t>(table)]; }
  Buffer& at(Table table) { return buffers_[static_cast<std::size_t>(table)]; }

  std::array<Buffer, table_count> buffers_;
  std::set<std::int64_t> days_;
};

// As PostgreSQL takes it: NUL and what is no UTF-8 become U+FFFD.
void append_clean(std::string& out, std::string_view text);

}  // namespace ringgate::sink
