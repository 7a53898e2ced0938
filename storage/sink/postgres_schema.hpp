// The tables of the PostgreSQL sink: their columns, the statements that make them, version by
// version, and those that write them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "storage/sink/postgres_connection.hpp"
#include "storage/sink/postgres_rows.hpp"

namespace ringgate::sink {

// The version that this program writes.
constexpr int schema_version = 2;

struct PostgresLayout {
  bool hypertable = false;  // positions are one of TimescaleDB, else partitioned by day
};

// Makes what is missing, or brings an older version up to ours, in one transaction; other nodes
// wait meanwhile. Trouble: bad_config where the tables are of a newer version.
Result<PostgresLayout, Trouble> migrate_schema(PostgresConnection& connection);

// The statements of a connection that writes: rows one by one, devices, the cursor.
PostgresConnection::Done prepare_statements(PostgresConnection& connection,
                                            const PostgresLayout& layout);
const char* insert_name(Table table);
inline constexpr const char* cursor_name = "rg_cursor";

std::string copy_sql(Table table, bool staged);
// Makes the table where rows are staged that may be there already, of this connection alone.
std::string stage_sql(Table table);
// From the stage into the table: what is there already stays as it is; devices are updated.
std::string unstage_sql(Table table);

// Partitions for days since 1970, in one round trip. A day whose rows lie in the default partition
// already gets none, which is no failure.
PostgresConnection::Done make_partitions(PostgresConnection& connection,
                                         const std::vector<std::int64_t>& days);

}  // namespace ringgate::sink
