#include <doctest/doctest.h>

#include <string>

#include "tools/load/report.hpp"

using namespace ringgate;
using load::Failure;
using load::Report;

namespace {

// 1,000 answers after 1 to 1,000 us in a window of two seconds.
Report sample() {
  Report report;
  report.target = "127.0.0.1:7808";
  report.devices = 10;
  report.in_flight = 1;
  report.total.connected = report.total.registered = report.total.authenticated = 10;
  report.total.sent = report.total.acknowledged = 1'500;
  report.window.sent = report.window.acknowledged = 1'000;
  report.window_s = 2;
  report.connect_s = 0.5;
  observe::Histogram histogram;
  for (int us = 1; us <= 1'000; ++us) histogram.record(us * ns_per_us);
  report.response = histogram.snapshot();
  report.server_pid = 42;
  report.server_cpu_ns = 5 * ns_per_ms;
  report.own_cpu_share = 0.4;
  return report;
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("rates and the server's cost are of the measured window only") {
  const Report report = sample();
  CHECK(report.rate() == doctest::Approx(500));
  CHECK(report.server_us_per_ack() == doctest::Approx(5));
  CHECK_FALSE(report.failed());
  CHECK(report.bottleneck().empty());
}

TEST_CASE("percentiles are within the histogram's precision") {
  const Report report = sample();
  for (const auto& [percent, name] : load::percentiles) {
    const double exact_ns = 10'000 * percent;
    CHECK(static_cast<double>(report.response.percentile(percent)) ==
          doctest::Approx(exact_ns).epsilon(0.01));
  }
  CHECK(load::percentiles[4].name == "max_us");
}

TEST_CASE("the table names every error, and only those there are") {
  Report report = sample();
  CHECK_FALSE(contains(load::table(report), "link_broken"));
  report.total.failures[static_cast<std::size_t>(Failure::link_broken)] = 3;
  report.total.failures[static_cast<std::size_t>(Failure::missed)] = 2;
  CHECK(report.failed());
  CHECK(report.total.errors() == 5);
  const std::string text = load::table(report);
  CHECK(contains(text, "link_broken"));
  CHECK(contains(text, "missed"));
  CHECK_FALSE(contains(text, "bad_frame"));
  CHECK(contains(text, "p99.9"));
}

TEST_CASE("a generator that set the figures says so") {
  Report report = sample();
  report.own_cpu_share = 0.99;
  CHECK(contains(report.bottleneck(), "BOTTLENECK"));
  CHECK(contains(load::table(report), "BOTTLENECK"));
  report.idle = true;
  CHECK(report.bottleneck().empty());
  report.idle = false;
  report.rate_per_device = 5;
  observe::Histogram late;
  for (int i = 0; i < 100; ++i) late.record(10 * ns_per_ms);
  report.lag = late.snapshot();
  CHECK(contains(report.bottleneck(), "LATE"));
}

TEST_CASE("JSON holds the same figures") {
  Report report = sample();
  report.total.failures[static_cast<std::size_t>(Failure::stray_reply)] = 4;
  const std::string text = load::json(report);
  CHECK(contains(text, "\"acknowledged_per_s\":500.0"));
  CHECK(contains(text, "\"stray_reply\":4"));
  CHECK(contains(text, "\"cpu_us_per_ack\":5.0000"));
  CHECK(contains(text, "\"p99_9_us\":"));
  CHECK(text.back() == '\n');
}
