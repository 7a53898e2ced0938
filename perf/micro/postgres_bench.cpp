// How many rows a second the PostgreSQL sink takes to a server.
// postgres-bench --url URL [--records N] [--devices N] [--batch N]
//   [--connections N] [--json FILE|-]
//
// Batches of location reports of a fleet go through the sink's target, as its worker would hand
// them over; each is a transaction of its own. The time is taken from the first to the last commit.
#include <fmt/core.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "engine/io/sys.hpp"
#include "engine/observe/logger.hpp"
#include "perf/micro/batches.hpp"
#include "perf/micro/sink_bench.hpp"
#include "protocols/jt808/catalog.hpp"
#include "storage/sink/postgres.hpp"

namespace {

using namespace ringgate;

struct Options : perf::SinkBenchOptions {
  std::uint32_t connections = static_cast<std::uint32_t>(sink::PostgresOptions().connections);
};

Options parse(int argc, char** argv) {
  Options options;
  options.batch = 10'000;  // the sink's default, of each connection
  perf::parse(argc, argv, options, [&](std::string_view name, const char* value) {
    if (name == "--connections") options.connections = perf::number_of(value);
  });
  return options;
}

int fail(std::string_view why) {
  fmt::print(stderr, "postgres-bench: {}\n", why);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  if (auto checked = sink::check_postgres_url(options.url); !checked || options.url.empty()) {
    return fail("--url postgresql://user:password@host:5432/database is needed");
  }
  const jt808::Catalog catalog;
  // Days around now have partitions of their own.
  perf::Fleet fleet(options.devices, io::real_sys().wall_now() / us_per_s - 3600);
  const auto batches = perf::make_batches(fleet, options.records,
                                          options.batch * options.connections, catalog);
  observe::Logger logger;
  sink::PostgresOptions postgres;
  postgres.url = options.url;
  postgres.node[0] = 1;
  postgres.connections = options.connections;
  const auto target = sink::make_postgres_target(postgres, logger.add_source("bench"));
  if (auto opened = target->open(); !opened) return fail(opened.error().message);
  const log::Cursor cursor;
  const auto started = std::chrono::steady_clock::now();
  for (const perf::OwnedBatch& batch : batches) {
    auto written = target->write({"bench", postgres.node, batch.items, cursor});
    if (!written) return fail(written.error().message);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
  const std::uint64_t rows = target->rows_written();
  const std::string json =
      fmt::format(R"({{"records":{},"rows":{},"seconds":{:.4f},"rows_per_s":{:.0f}}})",
                  options.records, rows, took.count(), static_cast<double>(rows) / took.count());
  return perf::finish(options, json);
}
