// Load runs that the gateway shows: bounded, and forgotten when they fall silent.
#include <doctest/doctest.h>

#include <fmt/format.h>

#include "protocols/api/runs.hpp"

using namespace ringgate;
using api::LoadRuns;

TEST_CASE("a run is kept for thirty seconds after it last told of itself") {
  LoadRuns runs;
  CHECK(runs.put("a", {.scenario = "peak"}, 0));
  CHECK(runs.put("b", {.scenario = "day"}, 10 * ns_per_s));
  CHECK(runs.at(30 * ns_per_s).size() == 2);
  CHECK(runs.at(30 * ns_per_s).at("a").run.scenario == "peak");
  CHECK(runs.put("b", {.scenario = "day", .users = 5}, 25 * ns_per_s));
  CHECK(runs.at(30 * ns_per_s + 1).size() == 1);
  CHECK(runs.at(55 * ns_per_s).at("b").run.users == 5);
  CHECK(runs.at(56 * ns_per_s).empty());
}

TEST_CASE("there are so many and no more, until one is forgotten") {
  LoadRuns runs;
  for (std::size_t i = 0; i < api::runs_max; ++i) {
    REQUIRE(runs.put(fmt::format("{}", i), {}, static_cast<MonoNs>(i)));
  }
  CHECK_FALSE(runs.put("more", {}, 100));
  CHECK(runs.put("3", {.users = 7}, 100));  // one that is there goes on
  CHECK(runs.at(100).size() == api::runs_max);
  CHECK(runs.put("more", {}, api::run_kept_ns + 50));
  CHECK(runs.at(api::run_kept_ns + 50).size() == 2);
}

TEST_CASE("ids are plain") {
  for (const char* good : {"a", "3f-9_x.Y", "0123456789abcdef"}) CHECK(LoadRuns::good_id(good));
  for (const char* bad : {"", "a b", "a/b", "ä", "a\n"}) CHECK_FALSE(LoadRuns::good_id(bad));
  CHECK(LoadRuns::good_id(std::string(64, 'x')));
  CHECK_FALSE(LoadRuns::good_id(std::string(65, 'x')));
}
