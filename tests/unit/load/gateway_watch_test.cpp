// What is kept of a gateway's metrics over a run: whole, aligned, bounded.
#include <doctest/doctest.h>

#include <cmath>

#include "tools/load/run/gateway_watch.hpp"

using namespace ringgate;
using load::GatewayMetrics;

TEST_CASE("samples stand beside one another, though series come and go") {
  GatewayMetrics metrics;
  metrics.add(0, "# HELP ringgate_links Links.\nringgate_links{shard=\"0\"} 3\n"
                 "process_cpu_seconds_total 9\nringgate_a 1.5e3");
  metrics.add(2, "ringgate_links{shard=\"0\"} 4\nringgate_b{why=\"a b\"} 7\nringgate_c nonsense\n"
                 "ringgate_\n\n");
  metrics.add(4, "ringgate_links{shard=\"0\"} 5\nringgate_links{shard=\"0\"} 6\n");
  CHECK(metrics.times_s == std::vector<double>{0, 2, 4});
  REQUIRE(metrics.series.size() == 3);
  CHECK(metrics.series.at("ringgate_links{shard=\"0\"}") == std::vector<double>{3, 4, 5});
  const std::vector<double>& a = metrics.series.at("ringgate_a");
  CHECK(a[0] == 1500);
  CHECK(std::isnan(a[1]));
  const std::vector<double>& b = metrics.series.at("ringgate_b{why=\"a b\"}");
  CHECK(std::isnan(b[0]));
  CHECK(b[1] == 7);
  CHECK(std::isnan(b[2]));
}

TEST_CASE("every other sample goes") {
  GatewayMetrics metrics;
  for (int i = 0; i < 5; ++i) metrics.add(i, "ringgate_links " + std::to_string(10 * i) + "\n");
  metrics.halve();
  CHECK(metrics.times_s == std::vector<double>{0, 2, 4});
  CHECK(metrics.series.at("ringgate_links") == std::vector<double>{0, 20, 40});
}

TEST_CASE("an answer of a hostile server fills no memory") {
  GatewayMetrics metrics;
  std::string many;
  for (std::size_t i = 0; i < load::GatewayWatch::series_max + 10; ++i) {
    many += "ringgate_m" + std::to_string(i) + " 1\n";
  }
  metrics.add(0, many);
  CHECK(metrics.series.size() == load::GatewayWatch::series_max);
}
