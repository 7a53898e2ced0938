// How many records a second the Redis sink takes to a server.
// redis-bench --url URL [--records N] [--devices N] [--batch N] [--json FILE|-]
//
// Batches of location reports of a fleet go through the sink's target, as its worker would hand
// them over, and the time is taken from the first to the last confirmation.
#include <fmt/core.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "engine/io/sys.hpp"
#include "perf/micro/batches.hpp"
#include "perf/micro/sink_bench.hpp"
#include "protocols/jt808/catalog.hpp"
#include "storage/sink/redis.hpp"

namespace {

using namespace ringgate;

perf::SinkBenchOptions parse(int argc, char** argv) {
  perf::SinkBenchOptions options;
  perf::parse(argc, argv, options);
  return options;
}

int fail(const sink::Trouble& trouble) {
  fmt::print(stderr, "redis-bench: {}\n", trouble.message);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  const perf::SinkBenchOptions options = parse(argc, argv);
  const auto url = sink::parse_redis_url(options.url);
  if (!url) {
    fmt::print(stderr, "redis-bench: --url: {}\n", url.error().message);
    return 2;
  }
  const jt808::Catalog catalog;
  perf::Fleet fleet(options.devices, 1'790'000'000);
  auto batches = perf::make_batches(fleet, options.records, options.batch, catalog);
  sink::RedisOptions redis;
  redis.url = *url;
  const auto target = sink::make_redis_target(redis);
  if (auto opened = target->open(); !opened) return fail(opened.error());
  const auto started = std::chrono::steady_clock::now();
  const log::Cursor cursor;
  for (perf::OwnedBatch& batch : batches) {
    // Devices report now: what is old goes another way.
    const WallUs now = io::real_sys().wall_now();
    for (sink::Item& item : batch.items) item.view.received_us = item.view.wall_us = now;
    if (auto written = target->write({"bench", {}, batch.items, cursor}); !written) {
      return fail(written.error());
    }
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
  const double rate = static_cast<double>(options.records) / took.count();
  const std::string json =
      fmt::format(R"({{"records":{},"seconds":{:.4f},"records_per_s":{:.0f}}})", options.records,
                  took.count(), rate);
  return perf::finish(options, json);
}
