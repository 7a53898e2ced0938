#include "storage/sink/postgres.hpp"

#include <fmt/format.h>
#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <set>

#include "engine/io/sys.hpp"
#include "storage/sink/postgres_rows.hpp"
#include "storage/sink/stop_signal.hpp"

namespace ringgate::sink {

namespace {

constexpr std::size_t copy_chunk = 256U << 10;
// Days around now that get partitions of their own; positions of other days (wrong clocks) go to
// the default partition, so that no device can make thousands of tables.
constexpr std::int64_t days_back = 400;
constexpr std::int64_t days_ahead = 2;
constexpr std::int64_t day_us = 86'400LL * us_per_s;

// Columns that all tables begin with: the record's identity, whose it is, when it came.
#define RG_KEY_COLUMNS                                                                    \
  "node uuid not null, run int4 not null, shard int2 not null, position int8 not null, "  \
  "sub int4 not null, namespace int2 not null, device text not null, "                    \
  "received timestamptz not null, "

// Of version 1, in one transaction. Positions follow, for they depend on what the server has.
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
constexpr std::string_view positions_1 =
    "create table ringgate_positions (" RG_KEY_COLUMNS
    "device_time timestamptz not null, latitude float8 not null, longitude float8 not null, "
    "altitude_m float8, speed_kmh float8, heading_deg float8, odometer_km float8, "
    "alarm_bits int8 not null, status_bits int8 not null, fixed bool not null, "
    "late bool not null, primary key (node, run, shard, position, sub, device_time))";
constexpr std::string_view devices_upsert =
    "insert into ringgate_devices as d select distinct on (namespace, device) * "
    "from stage_ringgate_devices order by namespace, device, received desc "
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

Failure failure_of(std::string_view state) {
  const std::string_view kind = state.substr(0, 2);
  if (kind == "28" || state == "42501") return Failure::refused;
  if (state == "42P01") return Failure::unreachable;  // our tables are gone: open() makes them
  if (kind == "53" || kind == "40" || state == "55P03" || state == "57014") {
    return Failure::overloaded;
  }
  if (kind == "08" || kind == "57" || kind == "58" || kind == "XX" || state.empty()) {
    return Failure::unreachable;
  }
  return Failure::bad_config;
}

// "FATAL:  28P01: ..." of a connection that was refused.
std::string_view state_in(std::string_view message) {
  for (std::size_t at = message.find(":  "); at != std::string_view::npos;
       at = message.find(":  ", at + 1)) {
    const std::string_view state = message.substr(at + 3, 5);
    const bool is_state = state.size() == 5 && message.substr(at + 8, 1) == ":" &&
                          std::all_of(state.begin(), state.end(), [](unsigned char c) {
                            return std::isdigit(c) != 0 || std::isupper(c) != 0;
                          });
    if (is_state) return state;
  }
  return {};
}

std::string one_line(std::string_view text) {
  std::string out(text.substr(0, text.find_last_not_of("\n ") + 1));
  std::replace(out.begin(), out.end(), '\n', ' ');
  return out;
}

class PostgresTarget final : public Target {
 public:
  PostgresTarget(const PostgresOptions& options, observe::LogSource& logs)
      : options_(options), logs_(logs), node_(log::to_text(options.node)) {}
  ~PostgresTarget() override { close(); }

  bool keeps_cursor() const override { return true; }
  Result<std::optional<log::Cursor>, Trouble> open() override;
  Result<void, Trouble> write(const Batch& batch) override;
  std::uint64_t rows_written() const override { return rows_written_; }
  Result<void, Trouble> idle() override { return query("select 1"); }
  void close() override {
    if (connection_ != nullptr) PQfinish(connection_);
    connection_ = nullptr;
    days_.clear();
    staging_ = false;
  }
  void stop() override { stop_.stop(); }

 private:
  using Done = Result<void, Trouble>;
  Done connect();
  Done wait(short events);
  Done flush();
  // Runs statements to their end; the value of the last row's first column goes to `value`.
  Done query(const std::string& sql, std::optional<std::string>* value = nullptr);
  Done results(std::string_view what, std::optional<std::string>* value);
  Done migrate();
  Done partitions();
  Done transaction(const Batch& batch, bool staged);
  Done copy(Table table, std::string_view before, bool staged);
  Trouble trouble_of(const PGresult* result) const;
  Trouble lost(std::string_view what) const;

  const PostgresOptions options_;
  observe::LogSource& logs_;
  StopSignal stop_;
  PGconn* connection_ = nullptr;
  PostgresRows rows_;
  std::set<std::int64_t> days_;  // that have a partition, or can have none
  bool hypertable_ = false;
  bool staging_ = false;  // rows came that were there: a seek; until the connection ends
  bool duplicate_ = false;  // the last failure was one of these
  const std::string node_;
  MonoNs opened_at_ = 0;
  std::uint64_t rows_written_ = 0;
};

MonoNs now_ns() { return io::real_sys().mono_now(); }

Trouble PostgresTarget::lost(std::string_view what) const {
  const char* said = connection_ == nullptr ? "" : PQerrorMessage(connection_);
  return {Failure::unreachable, fmt::format("PostgreSQL: {}: {}", what, one_line(said)), 0};
}

Trouble PostgresTarget::trouble_of(const PGresult* result) const {
  const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const std::string_view text = state == nullptr ? "" : state;
  return {failure_of(text),
          fmt::format("PostgreSQL: {} ({})", one_line(PQresultErrorMessage(result)), text), 0};
}

PostgresTarget::Done PostgresTarget::wait(short events) {
  pollfd waits[] = {{PQsocket(connection_), events, 0}, {stop_.fd(), POLLIN, 0}};
  const int ready = ::poll(waits, 2, static_cast<int>(options_.timeout_ns / ns_per_ms));
  if (stop_.stopped()) return lost("the gateway ends");
  if (ready == 0) {
    return lost(fmt::format("no answer for {} s", options_.timeout_ns / ns_per_s));
  }
  return {};
}

PostgresTarget::Done PostgresTarget::connect() {
  close();
  connection_ = PQconnectStart(options_.url.c_str());
  if (connection_ == nullptr) return lost("no memory");
  PQsetErrorVerbosity(connection_, PQERRORS_VERBOSE);  // so that the refusal has its code
  PostgresPollingStatusType next = PGRES_POLLING_WRITING;
  while (PQstatus(connection_) != CONNECTION_BAD && next != PGRES_POLLING_OK &&
         next != PGRES_POLLING_FAILED) {
    if (auto waited = wait(next == PGRES_POLLING_READING ? POLLIN : POLLOUT); !waited) {
      return waited;
    }
    next = PQconnectPoll(connection_);
  }
  if (PQstatus(connection_) != CONNECTION_OK) {
    Trouble trouble = lost("can't connect");
    const std::string_view state = state_in(PQerrorMessage(connection_));
    if (!state.empty()) trouble.failure = failure_of(state);
    return trouble;
  }
  PQsetErrorVerbosity(connection_, PQERRORS_DEFAULT);
  PQsetnonblocking(connection_, 1);
  // What the server says beside errors ("relation exists") is no news.
  PQsetNoticeProcessor(connection_, [](void*, const char*) {}, nullptr);
  opened_at_ = now_ns();
  return {};
}

PostgresTarget::Done PostgresTarget::flush() {
  for (;;) {
    const int left = PQflush(connection_);
    if (left < 0) return lost("connection lost");
    if (left == 0) return {};
    if (auto waited = wait(POLLIN | POLLOUT); !waited) return waited;
    if (PQconsumeInput(connection_) == 0) return lost("connection lost");
  }
}

// Until nothing is left, or COPY wants its rows.
PostgresTarget::Done PostgresTarget::results(std::string_view what,
                                             std::optional<std::string>* value) {
  const MonoNs began = now_ns();
  std::optional<Trouble> trouble;
  for (;;) {
    while (PQisBusy(connection_) != 0) {
      if (auto waited = wait(POLLIN); !waited) return waited;
      if (PQconsumeInput(connection_) == 0) return lost("connection lost");
    }
    PGresult* result = PQgetResult(connection_);
    if (result == nullptr) break;
    const ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_FATAL_ERROR && !trouble) {
      const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
      duplicate_ = state != nullptr && std::strcmp(state, "23505") == 0;
      trouble = trouble_of(result);
    }
    if (status == PGRES_TUPLES_OK && value != nullptr && PQntuples(result) > 0) {
      *value = PQgetvalue(result, 0, 0);
    }
    PQclear(result);
    if (status == PGRES_COPY_IN) break;
  }
  const MonoNs took = now_ns() - began;
  if (options_.slow_ns > 0 && took > options_.slow_ns) {
    logs_.warn("slow statement", {{"sink", "postgres"},
                                  {"ms", static_cast<double>(took) / ns_per_ms},
                                  {"statement", what.substr(0, 200)}});
  }
  if (trouble) return *trouble;
  return {};
}

PostgresTarget::Done PostgresTarget::query(const std::string& sql,
                                           std::optional<std::string>* value) {
  if (connection_ == nullptr) return lost("not connected");
  if (PQsendQuery(connection_, sql.c_str()) == 0) return lost("connection lost");
  if (auto flushed = flush(); !flushed) return flushed;
  return results(sql, value);
}

// One node migrates, others wait for it.
PostgresTarget::Done PostgresTarget::migrate() {
  std::optional<std::string> version;
  std::optional<std::string> timescale;
  if (auto done = query("begin; select pg_advisory_xact_lock(7269737472);"
                        "create table if not exists ringgate_schema (version int4 primary key, "
                        "applied timestamptz not null default now())"); !done) {
    return done;
  }
  if (auto done = query("select max(version) from ringgate_schema", &version); !done) return done;
  if (auto done = query("select 1 from pg_extension where extname = 'timescaledb'", &timescale);
      !done) {
    return done;
  }
  if (!version || version->empty()) {
    std::string sql(tables_1);
    sql += positions_1;
    sql += timescale ? "; select create_hypertable('ringgate_positions', 'device_time', "
                       "chunk_time_interval => interval '1 day')"
                     : " partition by range (device_time); create table "
                       "ringgate_positions_other partition of ringgate_positions default";
    sql += "; create index on ringgate_positions (device, device_time);"
           "insert into ringgate_schema (version) values (1)";
    if (auto done = query(sql); !done) return done;
  } else if (*version != "1") {
    return Trouble{Failure::bad_config,
                   fmt::format("PostgreSQL: the tables have version {}, and this ringgate knows 1; "
                               "use the ringgate that made them", *version), 0};
  }
  std::optional<std::string> plain;
  if (auto done = query("select 1 from pg_partitioned_table p join pg_class c on c.oid = "
                        "p.partrelid where c.relname = 'ringgate_positions'; commit", &plain);
      !done) {
    return done;
  }
  hypertable_ = !plain;
  // Staging for rows that may be there already, and for devices.
  std::string sql;
  for (const std::string_view name : table_names) {
    sql += fmt::format("create temp table if not exists stage_{} (like {}) on commit delete rows;",
                       name, name);
  }
  return query(sql);
}

Result<std::optional<log::Cursor>, Trouble> PostgresTarget::open() {
  if (auto connected = connect(); !connected) return connected.error();
  if (auto migrated = migrate(); !migrated) return migrated.error();
  std::optional<std::string> text;
  if (auto done = query(fmt::format("select cursor from ringgate_cursor where node = '{}'", node_),
                        &text); !done) {
    return done.error();
  }
  if (!text) return std::optional<log::Cursor>{};
  auto cursor = log::cursor_from_text(*text);
  if (!cursor) {
    return Trouble{Failure::bad_config, "PostgreSQL: ringgate_cursor holds no cursor: " + *text, 0};
  }
  return std::optional(std::move(cursor->cursor));
}

PostgresTarget::Done PostgresTarget::partitions() {
  if (hypertable_) return {};
  const std::int64_t today = io::real_sys().wall_now() / day_us;
  std::set<std::int64_t> wanted = rows_.days();
  wanted.insert(today);
  wanted.insert(today + 1);  // before its first row has to wait for it
  for (const std::int64_t day : wanted) {
    if (day < today - days_back || day > today + days_ahead || days_.contains(day)) continue;
    const auto date = [](std::int64_t of) {
      return fmt::format("to_timestamp({})", of * 86'400);
    };
    std::optional<std::string> name;
    const std::string sql = fmt::format(
        "select 'ringgate_positions_' || to_char({} at time zone 'UTC', 'YYYYMMDD')", date(day));
    if (auto done = query(sql, &name); !done) return done;
    auto made = query(fmt::format(
        "select pg_advisory_lock(7269737473); create table if not exists {} partition of "
        "ringgate_positions for values from ({}) to ({})", *name, date(day), date(day + 1)));
    auto unlocked = query("select pg_advisory_unlock(7269737473)");
    if (!unlocked) return unlocked;
    // Rows of that day may lie in the default partition, from when it was far ahead: they stay, and
    // others join them.
    if (!made && made.error().message.find("(23514)") == std::string::npos) return made;
    days_.insert(day);
  }
  return {};
}

PostgresTarget::Done PostgresTarget::copy(Table table, std::string_view before, bool staged) {
  const std::string_view name = table_names[static_cast<std::size_t>(table)];
  const std::string sql = fmt::format("{}copy {}{} from stdin (format binary)", before,
                                      staged ? "stage_" : "", name);
  if (auto begun = query(sql); !begun) return begun;
  std::string_view left = rows_.copy(table);
  while (!left.empty()) {
    const std::string_view chunk = left.substr(0, copy_chunk);
    const int put = PQputCopyData(connection_, chunk.data(), static_cast<int>(chunk.size()));
    if (put < 0) return lost("connection lost");
    if (put == 1) left.remove_prefix(chunk.size());
    if (auto flushed = flush(); !flushed) return flushed;
  }
  while (true) {
    const int ended = PQputCopyEnd(connection_, nullptr);
    if (ended < 0) return lost("connection lost");
    if (auto flushed = flush(); !flushed) return flushed;
    if (ended == 1) break;
  }
  return results(sql, nullptr);
}

PostgresTarget::Done PostgresTarget::transaction(const Batch& batch, bool staged) {
  std::string before = "begin; ";
  for (std::size_t i = 0; i < table_count; ++i) {
    const auto table = static_cast<Table>(i);
    if (rows_.rows(table) == 0) continue;
    const bool devices = table == Table::devices;
    if (auto copied = copy(table, before, staged || devices); !copied) return copied;
    // Goes out with the next statement: one way to the server and back for each COPY.
    before.clear();
    if (devices) {
      before = fmt::format("{}; ", devices_upsert);
    } else if (staged) {
      before = fmt::format("insert into {} select * from stage_{} on conflict do nothing; ",
                           table_names[i], table_names[i]);
    }
  }
  return query(fmt::format("{}insert into ringgate_cursor (node, name, cursor) values "
                           "('{}', $ringgate${}$ringgate$, '{}') on conflict (node) do update set "
                           "name = excluded.name, cursor = excluded.cursor, updated = now(); "
                           "commit", before, node_, batch.node_name,
                           log::to_text(batch.node, batch.cursor)));
}

PostgresTarget::Done PostgresTarget::write(const Batch& batch) {
  if (now_ns() - opened_at_ > options_.max_age_ns) {
    if (auto connected = connect(); !connected) return connected;
    if (auto migrated = migrate(); !migrated) return migrated;
  }
  rows_.fill(batch);
  if (auto made = partitions(); !made) return made;
  for (;;) {
    duplicate_ = false;
    auto done = transaction(batch, staging_);
    if (done) break;
    if (PQstatus(connection_) != CONNECTION_OK || stop_.stopped()) return done;
    const bool again = duplicate_ && !staging_;
    if (auto back = query("rollback"); !back) return back;
    if (!again) return done;
    staging_ = true;  // a seek: rows are there already
  }
  rows_written_ += rows_.rows();
  return {};
}

}  // namespace

Result<void> check_postgres_url(std::string_view text) {
  if (text.empty()) return {};
  char* why = nullptr;
  PQconninfoOption* options = PQconninfoParse(std::string(text).c_str(), &why);
  PQconninfoFree(options);
  if (why != nullptr) PQfreemem(why);  // it may repeat the password
  if (options == nullptr) {
    return Error{0, "postgresql://user:password@host:5432/database is expected"};
  }
  return {};
}

PostgresOptions postgres_options(const config::Settings& settings, const std::string& url,
                                 const log::NodeId& node) {
  PostgresOptions options;
  options.url = url;
  options.node = node;
  options.slow_ns = settings.duration_ns("sink.postgres.slow");
  options.max_age_ns = settings.duration_ns("sink.postgres.max_age");
  options.timeout_ns = settings.duration_ns("sink.postgres.timeout");
  return options;
}

std::unique_ptr<Target> make_postgres_target(const PostgresOptions& options,
                                             observe::LogSource& logs) {
  return std::make_unique<PostgresTarget>(options, logs);
}

}  // namespace ringgate::sink
