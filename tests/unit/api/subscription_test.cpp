#include <doctest/doctest.h>

#include "protocols/api/subscription.hpp"
#include "tests/unit/api/stream_rig.hpp"

using namespace ringgate;
using namespace ringgate::api;
using namespace ringgate::unit;

namespace {

const Numbers numbers;
const SubscriptionWords words{numbers, nullptr};

std::string why(std::string_view text) {
  const auto request = parse_stream_request(text, words);
  return request ? std::string() : request.error().detail;
}

}  // namespace

TEST_CASE("a whole subscription is read") {
  const auto request = parse_stream_request(
      R"({"subscribe":{"types":["alarm","position"],"id":"a","devices":["2","1","2"],)"
      R"("area":"31,121,32,122","messages":["0x0200","0x0704"],"alarms":["overspeed"],)"
      R"("batch_max":7,"batch_delay":"5ms","decode":true,"from":"x-1"}})",
      words);
  REQUIRE(request.ok());
  const Subscription& made = request->subscription;
  CHECK(made.id == "a");
  CHECK(made.devices == std::vector{device(1), device(2)});
  CHECK(made.area.has_value());
  CHECK(made.messages == std::vector<std::uint16_t>{0x0200, 0x0704});
  CHECK(made.types == (bit_of(EventType::alarm) | bit_of(EventType::position)));
  CHECK(made.batch_max == 7);
  CHECK(made.batch_delay_ns == 5 * ns_per_ms);
  CHECK(made.decode);
  CHECK(made.from == "x-1");

  const auto query = subscription_from_query(
      "types=alarm,position&id=a&devices=2,1&area=31%2C121%2C32,122&messages=0x0200,0x0704&"
      "alarms=overspeed&batch_max=7&batch_delay=5ms&decode=true&from=x-1", words);
  REQUIRE(query.ok());
  CHECK(query->key() == made.key());
}

TEST_CASE("what is left out has its default") {
  const auto request = parse_stream_request(R"({"subscribe":{"id":"a"}})", words);
  REQUIRE(request.ok());
  const Subscription& made = request->subscription;
  CHECK(made.types == (all_event_types & ~bit_of(EventType::message)));
  CHECK(made.batch_max == stream_limits::batch_max_default);
  CHECK(made.batch_delay_ns == 20 * ns_per_ms);
  CHECK(made.from.empty());
  const auto decoded = parse_stream_request(R"({"subscribe":{"id":"a","decode":true}})", words);
  REQUIRE(decoded.ok());
  CHECK(decoded->subscription.types == all_event_types);
  CHECK(made.key() != decoded->subscription.key());
}

TEST_CASE("hostile messages are refused with a reason") {
  CHECK(why("") != "");
  CHECK(why("[]") != "");
  CHECK(why(std::string(100'000, '[')) != "");
  CHECK(why(R"({"subscribe":{"id":"a"},"unsubscribe":"a"})") != "");
  CHECK(why(R"({"subscribe":{}})") == "id is missing");
  CHECK(why(R"({"subscribe":{"id":""}})") != "");
  CHECK(why(R"({"subscribe":{"id":7}})") == "id must be a text");
  CHECK(why(R"({"subscribe":{"id":"a","what":1}})").find("what") != std::string::npos);
  for (const char* member :
       {R"("devices":[])", R"("devices":"1")", R"("devices":[1])", R"("devices":["x"])",
        R"("devices":[["1"]])", R"("area":[1,2,3,4])", R"("area":"1,2,3")", R"("area":"nan,1,2,3")",
        R"("types":[])", R"("types":["x"])", R"("messages":["0x"])", R"("messages":["0x10000"])",
        R"("messages":["location"])", R"("messages":[512])", R"("alarms":[])", R"("batch_max":0)",
        R"("batch_max":1001)", R"("batch_max":-1)", R"("batch_max":1.5)", R"("batch_max":"7")",
        R"("batch_delay":"41ms")", R"("batch_delay":"1")", R"("batch_delay":20)",
        R"("batch_delay":"-1ms")", R"("decode":1)", R"("from":"")", R"("from":{})"}) {
    CAPTURE(member);
    const auto request = parse_stream_request(
        std::string(R"({"subscribe":{"id":"a",)").append(member).append("}}"), words);
    REQUIRE(!request.ok());
    CHECK(request.error().id == "a");
    CHECK(!request.error().detail.empty());
  }
  std::string many = R"({"subscribe":{"id":"a","devices":["1")";
  for (int i = 0; i < 1000; ++i) many.append(R"(,"2")");
  CHECK(why(many.append("]}}")).find("1000") != std::string::npos);
}

TEST_CASE("bad queries are refused with a reason") {
  for (const char* query : {"types=", "devices=", "batch_max=", "batch_max=1x", "decode=yes",
                            "area=1", "colour=red", "%zz=1", "types=%ff", "from="}) {
    CAPTURE(query);
    const auto made = subscription_from_query(query, words);
    REQUIRE(!made.ok());
    CHECK(!made.error().message.empty());
  }
  CHECK(subscription_from_query("", words).ok());
}

TEST_CASE("subscriptions that differ have different keys") {
  const auto key = [](const char* text) {
    const auto request = parse_stream_request(text, words);
    REQUIRE(request.ok());
    return request->subscription.key();
  };
  const std::string one = key(R"({"subscribe":{"id":"a","devices":["1","23"]}})");
  CHECK(one != key(R"({"subscribe":{"id":"a","devices":["12","3"]}})"));
  CHECK(one != key(R"({"subscribe":{"id":"b","devices":["1","23"]}})"));
  CHECK(one != key(R"({"subscribe":{"id":"a","devices":["1","23"],"area":"1,2,3,4"}})"));
  CHECK(one == key(R"({"subscribe":{"devices":["23","1","1"],"id":"a"}})"));
  CHECK(key(R"({"subscribe":{"id":"a","alarms":["x","y"]}})") !=
        key(R"({"subscribe":{"id":"a","alarms":["x1:y"]}})"));
}
