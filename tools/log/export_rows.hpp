// Rows of records as lines of a table: JSON Lines or CSV with the same columns. Pure; one thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "storage/event/catalog.hpp"
#include "storage/log/record.hpp"
#include "storage/log/segment.hpp"

namespace ringgate::log_tool {

// In the order of `row_kind_names`.
enum class RowKind : std::uint8_t { positions, alarms, sessions, devices, media, records };
inline constexpr std::string_view row_kind_names[] = {"positions", "alarms", "sessions",
                                                      "devices",   "media",  "records"};
enum class RowFormat : std::uint8_t { jsonl, csv };

// One line of a table, cell after cell; every row of a table has the same cells in the same order.
class Cells {
 public:
  virtual ~Cells() = default;
  virtual void begin() = 0;
  virtual void end() = 0;
  virtual void text(std::string_view column, std::string_view value) = 0;  // empty: not said
  virtual void hex(std::string_view column, Bytes value) = 0;
  virtual void json(std::string_view column, std::string_view value) = 0;  // empty: none
  virtual void integer(std::string_view column, std::int64_t value) = 0;
  virtual void number(std::string_view column, double value, int decimals) = 0;  // NaN: not said
  virtual void boolean(std::string_view column, bool value) = 0;
  virtual void time(std::string_view column, WallUs value) = 0;  // 0: not said
};
std::unique_ptr<Cells> make_cells(RowFormat format, std::string& out);

// Whose rows they are.
struct RowSource {
  std::string_view node;  // as text
  log::StreamId stream;
  const log::Record* record = nullptr;
  std::string_view protocol;
};

void put_row(Cells& cells, const RowSource& source, const event::PositionRow& row);
void put_row(Cells& cells, const RowSource& source, const event::AlarmRow& row);
void put_row(Cells& cells, const RowSource& source, const event::SessionRow& row);
void put_row(Cells& cells, const RowSource& source, const event::DeviceRow& row);
void put_row(Cells& cells, const RowSource& source, const event::MediaRow& row);
void put_record(Cells& cells, const RowSource& source, const event::MessageCatalog* catalog);

// CSV: the names of the columns.
void put_header(RowKind kind, std::string& out);

}  // namespace ringgate::log_tool
