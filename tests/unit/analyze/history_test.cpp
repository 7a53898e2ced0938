// Metrics as text and as ranges; rates over restarts, percentiles out of buckets.
#include "tools/analyze/history.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "tools/analyze/beside.hpp"

using namespace ringgate::analyze;

namespace {

std::vector<Sample> parsed(const std::string& text) {
  auto out = parse_exposition(text);
  REQUIRE(out.ok());
  return *out;
}

}  // namespace

TEST_CASE("history: the text format") {
  const auto samples = parsed(
      "# HELP a b\n# TYPE a counter\na 1\nb{x=\"1\",y=\"q\\\"\\n\\\\\"} 2.5 1700000000\r\n\n"
      "c_bucket{le=\"+Inf\"} 3\nd NaN\n");
  REQUIRE(samples.size() == 4);
  CHECK(samples[0].name == "a");
  CHECK(samples[1].labels.at("y") == "q\"\n\\");
  CHECK(samples[1].value == 2.5);
  CHECK(samples[2].labels.at("le") == "+Inf");
  CHECK(std::isnan(samples[3].value));
  for (const char* bad : {"a\n", "a b\n", "{x=\"1\"} 2\n", "a{x=1} 2\n", "a{x=\"1\n",
                          "a{x=\"1\"}\n", "<html>\n"}) {
    const auto wrong = parse_exposition(bad);
    REQUIRE_FALSE(wrong.ok());
    CHECK(wrong.error().message.find("line 1") == 0);
  }
}

TEST_CASE("history: rates, sums over labels, a restart in between") {
  History history;
  history.add(10, parsed("n{shard=\"0\",why=\"a\"} 100\nn{shard=\"1\",why=\"a\"} 5\n"));
  history.add(12, parsed("n{shard=\"0\",why=\"a\"} 120\nn{shard=\"1\",why=\"a\"} 9\n"));
  history.add(13, parsed("n{shard=\"0\",why=\"a\"} 3\nn{shard=\"1\",why=\"a\"} 9\ng 7\n"));
  CHECK(history.rate("n") == std::vector<double>{12, 3});
  CHECK(history.rate("n", {{"shard", "1"}}) == std::vector<double>{2, 0});
  CHECK(std::isnan(history.rate("n", {{"shard", "9"}})[0]));
  CHECK(std::isnan(history.rate("other")[0]));
  CHECK(std::isnan(history.gauge("g")[0]));
  CHECK(history.gauge("g")[1] == 7);
  CHECK(history.gauge("n")[0] == 120);
  CHECK(history.values_of("n", "shard") == std::vector<std::string>{"0", "1"});
  CHECK(history.interval_times_s() == std::vector<double>{12, 13});
}

TEST_CASE("history: percentiles of what came in an interval") {
  History history;
  const auto buckets = [&](double at, int a, int b, int c) {
    history.add(at, parsed("h_bucket{le=\"0.01\"} " + std::to_string(a) +
                           "\nh_bucket{le=\"0.1\"} " + std::to_string(b) +
                           "\nh_bucket{le=\"+Inf\"} " + std::to_string(c) + "\n"));
  };
  buckets(0, 1000, 1000, 1000);  // what was before does not count
  buckets(1, 1050, 1100, 1100);
  buckets(2, 1050, 1100, 1100);
  buckets(3, 1050, 1100, 1110);
  const auto median = history.percentile("h", 50);
  CHECK(median[0] == doctest::Approx(0.01));
  CHECK(history.percentile("h", 75)[0] == doctest::Approx(0.055));
  CHECK(std::isnan(median[1]));               // nothing came
  CHECK(median[2] == doctest::Approx(0.1));  // beyond the last bound: at least that
}

TEST_CASE("history: ranges of an export share their times") {
  History history;
  history.add_range("a", {{"shard", "0"}}, {{1, 1}, {2, 3}, {3, 3}});
  history.add_range("a", {{"shard", "1"}}, {{2, 0}, {3, 10}});
  history.finish();
  REQUIRE(history.size() == 3);
  CHECK(history.rate("a") == std::vector<double>{2, 10});
}

TEST_CASE("beside: rows of /proc/net, and what lies between two samples") {
  const char* text =
      "Ip: Forwarding\nIp: 1\nTcp: RtoMin OutSegs RetransSegs\nTcp: 200 1000 25\n";
  CHECK(net_value(text, "Tcp:", "OutSegs") == 1000);
  CHECK(net_value(text, "Tcp:", "RetransSegs") == 25);
  CHECK(net_value(text, "Tcp:", "Nothing") == 0);
  CHECK(net_value("", "Tcp:", "OutSegs") == 0);
  BesideSample before;
  before.shards = {{0, {1.0, 100}}, {1, {1.0, 100}}};
  before.segments_out = 1000;
  before.segments_again = 10;
  BesideSample after = before;
  after.shards[1] = {1.5, 150};
  after.segments_out = 1100;
  after.segments_again = 15;
  after.listen_drops = 4;
  const BesideStep step = between(before, after, 2);
  CHECK(step.wait_share == doctest::Approx(0.25));
  CHECK(step.wait_each_s == doctest::Approx(0.01));
  CHECK(step.retransmits == doctest::Approx(0.05));
  CHECK(step.listen_drops == 2);
}
