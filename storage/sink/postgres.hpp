// The PostgreSQL sink: rows of records into tables by COPY BINARY, the cursor in the transaction of
// the rows: each row is there exactly once. SINKS.md names the tables and what is guaranteed.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "engine/config/settings.hpp"
#include "engine/observe/logger.hpp"
#include "storage/sink/target.hpp"

namespace ringgate::sink {

struct PostgresOptions {
  std::string url;  // as libpq takes it
  log::NodeId node{};  // whose rows and cursor
  MonoNs slow_ns = ns_per_s;         // statements that take longer are logged; 0: none
  std::size_t connections = 4;       // at most; of one server's max_connections
  MonoNs max_age_ns = 3600 * ns_per_s;  // of a connection
  std::uint64_t max_uses = 10'000;      // transactions of a connection; 0: no limit
  MonoNs timeout_ns = 60 * ns_per_s;    // without any news from the server
};

Result<void> check_postgres_url(std::string_view text);

inline constexpr config::KeySpec postgres_keys[] = {
    {.name = "sink.postgres.slow",
     .type = config::KeyType::duration,
     .default_text = "1s",
     .doc = "Statements that take longer are logged with their time; 0s logs none.",
     .max = 3600 * ns_per_s},
    {.name = "sink.postgres.connections",
     .type = config::KeyType::integer,
     .default_text = "4",
     .doc = "Connections that write at once, at most; more than one only while there is much.",
     .min = 1,
     .max = 16,
     .unit = "connections"},
    {.name = "sink.postgres.max_age",
     .type = config::KeyType::duration,
     .default_text = "1h",
     .doc = "Age after which a connection is made anew, so that servers behind a name change.",
     .min = ns_per_s,
     .max = 365LL * 86'400 * ns_per_s},
    {.name = "sink.postgres.max_uses",
     .type = config::KeyType::integer,
     .default_text = "10000",
     .doc = "Transactions after which a connection is made anew: its server process grows with "
            "the tables it has seen. 0: no limit.",
     .max = 1'000'000'000,
     .unit = "transactions"},
    {.name = "sink.postgres.timeout",
     .type = config::KeyType::duration,
     .default_text = "60s",
     .doc = "A server that says nothing for so long is given up and connected to again.",
     .min = ns_per_s,
     .max = 3600 * ns_per_s},
};
// `url`: as the check has passed it.
PostgresOptions postgres_options(const config::Settings& settings, const std::string& url,
                                 const log::NodeId& node);

// `logs`: of the worker's thread.
std::unique_ptr<Target> make_postgres_target(const PostgresOptions& options,
                                             observe::LogSource& logs);

}  // namespace ringgate::sink
