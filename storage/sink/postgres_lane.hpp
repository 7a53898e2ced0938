// A lane of the PostgreSQL sink: one connection of its pool that writes parts of batches, each part
// in a transaction of its own together with its part of the cursor. One thread at a time.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "storage/sink/postgres_connection.hpp"
#include "storage/sink/postgres_rows.hpp"
#include "storage/sink/postgres_schema.hpp"

namespace ringgate::sink {

// What a transaction says of the cursor: parts `part`, `part` + `step`, ... below `parts`.
struct PostgresCursorPart {
  std::string_view node;  // as text
  std::string_view name;
  std::string_view cursor;  // as text
  std::size_t part = 0;
  std::size_t step = 1;
  std::size_t parts = 1;
};

class PostgresLane {
 public:
  using Done = PostgresConnection::Done;

  PostgresLane(const PostgresOptions& options, const StopSignal& stop)
      : options_(options), connection_(options, stop) {}

  PostgresConnection& connection() { return connection_; }
  // Connects; the statements follow by prepare(), once there are tables.
  Done connect();
  Done prepare(const PostgresLayout& layout);
  void close() { connection_.close(); }
  bool usable() const { return connection_.healthy(); }
  // Whether it has lived, or been used, for so long that it should be made anew.
  bool expired(MonoNs now) const;
  MonoNs used_at() const { return used_at_; }

  // All rows and the cursor, or nothing of it.
  Done write(const PostgresRows& rows, const PostgresCursorPart& cursor);

 private:
  Done transaction(const PostgresRows& rows, const PostgresCursorPart& cursor, bool staging);
  Done call_rows(const PostgresRows& rows, Table table);

  const PostgresOptions& options_;
  PostgresConnection connection_;
  bool staging_ = false;  // rows came that were there: until a transaction had none of them
  std::array<bool, table_count> staged_{};  // has a stage
  MonoNs ends_at_ = 0;
  MonoNs used_at_ = 0;
  std::uint64_t uses_ = 0;
};

}  // namespace ringgate::sink
