// What a page embeds of a run file.
#include <doctest/doctest.h>
#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "tools/load/run/html.hpp"
#include "tools/load/run/tally.hpp"

using namespace ringgate;
using nlohmann::json;

namespace {

load::Tally tally_of(MonoNs from_ns, std::uint64_t users) {
  load::LatencyRecorder times;
  for (int i = 0; i < 100; ++i) times.record(from_ns + i * 10'000);
  load::Tally out;
  out.users = users;
  out.acknowledged = 100;
  out.errors["link_closed"] = users;
  out.response = times.take();
  out.service = out.connect = out.response;
  return out;
}

// The runs of the page.
json embedded(const std::string& page) {
  const std::size_t from = page.find("[{");
  const std::size_t until = page.find("</script>", from);
  REQUIRE(until != std::string::npos);
  return json::parse(page.substr(from, until - from));
}

}  // namespace

TEST_CASE("a page has of each second what it draws, and no histogram") {
  const load::Tally one = tally_of(1'000'000, 3);
  const load::Tally other = tally_of(5'000'000, 4);
  load::Tally all = one;
  all.merge(other);
  const json run = {
      {"scenario", {{"name", "a <b> town"}}},
      {"gateway", {{"times_s", {1, 2}}}},
      {"totals", {{"all", load::to_json(all)}}},
      {"timeline", {{{"from_s", 0}, {"to_s", 1},
                     {"classes", {load::to_json(one), load::to_json(other), json::object()}}}}}};
  const std::string page = load::html_report({run.dump()});
  CHECK(page.find("ringgate-load: a &lt;b> town") != std::string::npos);
  const json drawn = embedded(page).at(0);
  CHECK(!drawn.contains("gateway"));
  CHECK(drawn.at("totals") == run.at("totals"));
  const json& row = drawn.at("timeline").at(0);
  CHECK(row.dump().find("buckets") == std::string::npos);
  CHECK(row.at("to_s") == 1);
  CHECK(row.at("all").at("users") == 7);
  CHECK(row.at("all").at("acknowledged") == 200);
  CHECK(row.at("all").at("errors").at("link_closed") == 7);
  CHECK(row.at("all").at("response") ==
        json{all.response.percentile(50), all.response.percentile(90),
             all.response.percentile(99), all.response.max_ns()});
  CHECK(row.at("classes").at(1).at("service").at(3) == other.service.max_ns());
  CHECK(!row.at("classes").at(0).contains("connect"));
  CHECK(row.at("classes").at(2).empty());
}
