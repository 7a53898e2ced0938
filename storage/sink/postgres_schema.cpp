#include "storage/sink/postgres_schema.hpp"

#include <fmt/format.h>

#include <array>
#include <chrono>

namespace ringgate::sink {

namespace {

// Columns that all tables begin with: the record's identity, whose it is, when it came.
#define RG_KEY_COLUMNS                                                                    \
  "node uuid not null, run int4 not null, shard int2 not null, position int8 not null, "  \
  "sub int4 not null, namespace int2 not null, device text not null, "                    \
  "received timestamptz not null, "
#define RG_POSITION_COLUMNS                                                                 \
  RG_KEY_COLUMNS                                                                            \
  "device_time timestamptz not null, latitude float8 not null, longitude float8 not null, " \
  "altitude_m float8, speed_kmh float8, heading_deg float8, odometer_km float8, "           \
  "alarm_bits int8 not null, status_bits int8 not null, fixed bool not null, "              \
  "late bool not null, primary key (node, run, shard, position, sub, device_time)"

// Names of columns as rows are written. Tables may have further ones, of their owner.
#define RG_KEY_NAMES "node, run, shard, position, sub, namespace, device, received"
constexpr std::string_view column_names[] = {
    RG_KEY_NAMES ", device_time, latitude, longitude, altitude_m, speed_kmh, heading_deg, "
                 "odometer_km, alarm_bits, status_bits, fixed, late",
    RG_KEY_NAMES ", device_time, type, source, alarm_id, level, latitude, longitude, speed_kmh, "
                 "phase",
    RG_KEY_NAMES ", what, detail",
    RG_KEY_NAMES ", plate, plate_colour, terminal_id, maker, model, version",
    RG_KEY_NAMES ", device_time, blob, name, type, size_bytes, metadata",
    RG_KEY_NAMES ", device_time, latitude, longitude, altitude_m, speed_kmh, heading_deg, "
                 "odometer_km, alarm_bits, status_bits, fixed, late",
};
constexpr int column_counts[] = {19, 17, 10, 14, 14, 19};
static_assert(std::size(column_names) == table_count && std::size(column_counts) == table_count);

// Of version 1. Positions follow, for they depend on what the server has.
constexpr std::string_view tables_1 =
    "create table ringgate_cursor (node uuid primary key, name text not null, "
    "cursor text not null, updated timestamptz not null default now());"
    "create table ringgate_alarms (" RG_KEY_COLUMNS
    "device_time timestamptz not null, type text not null, source text not null, "
    "alarm_id int8 not null, level int2 not null, latitude float8, longitude float8, "
    "speed_kmh float8, primary key (node, run, shard, position, sub));"
    "create index on ringgate_alarms (device, device_time);"
    "create table ringgate_sessions (" RG_KEY_COLUMNS
    "what text not null, detail text not null, primary key (node, run, shard, position, sub));"
    "create index on ringgate_sessions (device, received);"
    "create table ringgate_devices (" RG_KEY_COLUMNS
    "plate text not null, plate_colour int2 not null, terminal_id text not null, "
    "maker text not null, model text not null, version text not null, "
    "primary key (namespace, device));"
    "create table ringgate_media (" RG_KEY_COLUMNS
    "device_time timestamptz not null, blob text not null, name text not null, "
    "type text not null, size_bytes int8 not null, metadata text not null, "
    "primary key (node, run, shard, position, sub));"
    "create index on ringgate_media (device, device_time);";
constexpr std::string_view positions_1 = "create table ringgate_positions (" RG_POSITION_COLUMNS
                                         ")";
constexpr std::string_view partitioned_1 =
    " partition by range (device_time); create table "
    "ringgate_positions_other partition of ringgate_positions default;";
// Its own index by time alone would be one more than partitions have.
constexpr std::string_view hypertable_1 =
    "; select create_hypertable('ringgate_positions', 'device_time', "
    "chunk_time_interval => interval '1 day', create_default_indexes => false);";
constexpr std::string_view index_1 =
    "create index on ringgate_positions (device, device_time);"
    "insert into ringgate_schema (version) values (1);";

// Version 2: a cursor for each connection; begin and end of alarms; wrong clocks of hypertables.
constexpr std::string_view tables_2 =
    "alter table ringgate_cursor add part int2 not null default 0, "
    "drop constraint ringgate_cursor_pkey, add primary key (node, part);"
    "alter table ringgate_alarms add phase text not null default '';"
    "insert into ringgate_schema (version) values (2);";
constexpr std::string_view other_2 =
    "create table if not exists ringgate_positions_other (" RG_POSITION_COLUMNS ");"
    "create index on ringgate_positions_other (device, device_time);";

// What a device has said stays until it says something else: one record tells its plate, another
// one its maker.
constexpr std::string_view device_update =
    "on conflict (namespace, device) do update set node = excluded.node, run = excluded.run, "
    "shard = excluded.shard, position = excluded.position, sub = excluded.sub, "
    "received = excluded.received, plate = coalesce(nullif(excluded.plate, ''), d.plate), "
    "plate_colour = case when excluded.plate = '' then d.plate_colour "
    "else excluded.plate_colour end, "
    "terminal_id = coalesce(nullif(excluded.terminal_id, ''), d.terminal_id), "
    "maker = coalesce(nullif(excluded.maker, ''), d.maker), "
    "model = coalesce(nullif(excluded.model, ''), d.model), "
    "version = coalesce(nullif(excluded.version, ''), d.version) "
    "where excluded.received >= d.received";

std::string_view name_of(Table table) { return table_names[static_cast<std::size_t>(table)]; }
std::string_view columns_of(Table table) { return column_names[static_cast<std::size_t>(table)]; }

// Many rows of one device become one, with the newest of what each says.
std::string devices_from_stage() {
  constexpr std::string_view order = "order by received desc, run desc, position desc";
  std::string sql = "insert into ringgate_devices as d (";
  sql += columns_of(Table::devices);
  sql += ") select ";
  for (const std::string_view column : {"node", "run", "shard", "position", "sub"}) {
    sql += fmt::format("(array_agg({} {}))[1], ", column, order);
  }
  sql += "namespace, device, max(received)";
  const auto said = [&](std::string_view column, std::string_view by, std::string_view none) {
    sql += fmt::format(", coalesce((array_agg({} {}) filter (where {} <> ''))[1], {})", column,
                       order, by, none);
  };
  said("plate", "plate", "''");
  said("plate_colour", "plate", "0");
  for (const std::string_view column : {"terminal_id", "maker", "model", "version"}) {
    said(column, column, "''");
  }
  sql += fmt::format(" from stage_{} group by namespace, device order by namespace, device {}",
                     name_of(Table::devices), device_update);
  return sql;
}

std::string insert_sql(Table table) {
  std::string values;
  for (int i = 1; i <= column_counts[static_cast<std::size_t>(table)]; ++i) {
    values += fmt::format("{}${}", i == 1 ? "" : ", ", i);
  }
  const bool devices = table == Table::devices;
  return fmt::format("insert into {}{} ({}) values ({}) {}", name_of(table),
                     devices ? " as d" : "", columns_of(table), values,
                     devices ? device_update : "on conflict do nothing");
}

// The parts of the cursor that one connection writes: each $6th from part $5 on.
constexpr std::string_view cursor_sql =
    "insert into ringgate_cursor (node, part, name, cursor) "
    "select $1::uuid, p::int2, $2::text, $3::text "
    "from generate_series($5::int4, $4::int4 - 1, $6::int4) p "
    "on conflict (node, part) do update set name = excluded.name, cursor = excluded.cursor, "
    "updated = now()";

std::string upgrade_sql(int from, bool timescale, bool hypertable) {
  std::string sql;
  if (from < 1) {
    sql += tables_1;
    sql += positions_1;
    sql += timescale ? hypertable_1 : partitioned_1;
    sql += index_1;
  }
  if (from < 2) {
    sql += tables_2;
    if (from < 1 ? timescale : hypertable) sql += other_2;
  }
  return sql;
}

}  // namespace

Result<PostgresLayout, Trouble> migrate_schema(PostgresConnection& connection) {
  // The key of the lock means nothing; it is ringgate's.
  if (auto done = connection.query(
          "begin; select pg_advisory_xact_lock(7269737472);"
          "create table if not exists ringgate_schema (version int4 primary key, "
          "applied timestamptz not null default now())"); !done) {
    return done.error();
  }
  std::vector<std::string> found;
  if (auto done = connection.query(
          "select coalesce(max(version), 0) from ringgate_schema;"
          "select count(*) from pg_extension where extname = 'timescaledb';"
          "select count(*) from pg_partitioned_table where "
          "partrelid = to_regclass('ringgate_positions')", found); !done) {
    return done.error();
  }
  RG_CHECK(found.size() == 3);
  const int version = std::atoi(found[0].c_str());
  const bool timescale = found[1] != "0";
  const bool fresh = version < 1;
  const PostgresLayout layout{.hypertable = fresh ? timescale : found[2] == "0"};
  if (version > schema_version) {
    return Trouble{Failure::bad_config,
                   fmt::format("PostgreSQL: the tables have version {}, and this ringgate knows "
                               "{}; use the ringgate that made them", version, schema_version), 0};
  }
  if (auto done = connection.query(upgrade_sql(version, timescale, layout.hypertable) + "commit");
      !done) {
    return done.error();
  }
  return layout;
}

const char* insert_name(Table table) {
  constexpr const char* names[] = {"rg_positions", "rg_alarms", "rg_sessions",
                                   "rg_devices",   "rg_media",  "rg_positions_other"};
  static_assert(std::size(names) == table_count);
  return names[static_cast<std::size_t>(table)];
}

PostgresConnection::Done prepare_statements(PostgresConnection& connection,
                                            const PostgresLayout& layout) {
  if (auto begun = connection.begin_pipeline(); !begun) return begun;
  for (std::size_t i = 0; i < table_count; ++i) {
    const auto table = static_cast<Table>(i);
    if (table == Table::positions_other && !layout.hypertable) continue;
    if (auto sent = connection.prepare(insert_name(table), insert_sql(table)); !sent) return sent;
  }
  if (auto sent = connection.prepare(cursor_name, std::string(cursor_sql)); !sent) return sent;
  return connection.end_pipeline();
}

std::string copy_sql(Table table, bool staged) {
  return fmt::format("copy {}{} ({}) from stdin (format binary)", staged ? "stage_" : "",
                     name_of(table), columns_of(table));
}

std::string stage_sql(Table table) {
  return fmt::format("create temp table if not exists stage_{0} on commit delete rows as "
                     "select {1} from {0} with no data", name_of(table), columns_of(table));
}

std::string unstage_sql(Table table) {
  if (table == Table::devices) return devices_from_stage();
  return fmt::format("insert into {0} ({1}) select {1} from stage_{0} on conflict do nothing",
                     name_of(table), columns_of(table));
}

PostgresConnection::Done make_partitions(PostgresConnection& connection,
                                         const std::vector<std::int64_t>& days) {
  if (auto begun = connection.begin_pipeline(); !begun) return begun;
  if (auto sent = connection.send("select pg_advisory_lock(7269737473)"); !sent) return sent;
  if (auto synced = connection.sync(); !synced) return synced;
  for (const std::int64_t day : days) {
    const std::chrono::year_month_day date{std::chrono::sys_days{std::chrono::days{day}}};
    const std::string sql = fmt::format(
        "create table if not exists ringgate_positions_{:04}{:02}{:02} partition of "
        "ringgate_positions for values from (to_timestamp({})) to (to_timestamp({}))",
        static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
        static_cast<unsigned>(date.day()), day * 86'400, (day + 1) * 86'400);
    if (auto sent = connection.send(sql); !sent) return sent;
    if (auto synced = connection.sync(); !synced) return synced;
  }
  if (auto sent = connection.send("select pg_advisory_unlock(7269737473)"); !sent) return sent;
  return connection.end_pipeline("23514");
}

}  // namespace ringgate::sink
