// Bodies as strangers send them: what is JSON here, and what is wrong with an object.
#include "protocols/api/body.hpp"

#include <doctest/doctest.h>

#include <string>

namespace {

using namespace ringgate;
using api::Json;
using api::Members;
using api::read_json;

std::string error_of(std::string_view text) {
  const auto json = read_json(text);
  return json ? std::string() : json.error().message;
}

TEST_CASE("objects and arrays are read, once each key") {
  CHECK(read_json(R"({"a":{"b":1},"c":[{"b":1},{"b":2}]})").ok());
  CHECK(read_json(" [1, 2] ").ok());
  CHECK(read_json("[1, 2]")->is_array());
  CHECK(error_of(R"({"a":1,"b":2,"a":3})") == "a: stands twice");
  CHECK(error_of(R"({"x":[{"a":1},{"a":1,"\u0061":2}]})") == "a: stands twice");
}

TEST_CASE("what is no JSON says where") {
  CHECK(error_of("{\"a\":}").starts_with("no JSON at byte 6"));
  CHECK(error_of("[1,,2]").starts_with("no JSON at byte 4"));
  CHECK(error_of("").find("JSON") != std::string::npos);
  CHECK(error_of("5").find("JSON") != std::string::npos);
  CHECK(error_of("{} {}").starts_with("no JSON"));
  CHECK(error_of("{\"a\":\"\xff\"}").starts_with("no JSON at byte 7"));
  CHECK(error_of("{\"a\":1e999}").find("bounds") != std::string::npos);
  CHECK(error_of("{\"a\":\"\\ud800\"}") != "");
}

TEST_CASE("brackets alone do not reach the end of the stack") {
  CHECK(error_of(std::string(1U << 20, '[')).find("deep") != std::string::npos);
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += "{\"a\":";
  CHECK(error_of(text).find("deep") != std::string::npos);
}

TEST_CASE("members have types and bounds; what nobody asks for is wrong") {
  const Json object = *read_json(R"({"text":"abc","flag":true,"number":7,"more":1})");
  Members members(object);
  std::string text;
  bool flag = false;
  std::uint64_t number = 0;
  members.text("text", text, 3);
  members.flag("flag", flag);
  members.number("number", number, 1, 7);
  members.text("absent", text, 3);
  CHECK(text == "abc");
  CHECK(flag);
  CHECK(number == 7);
  CHECK(members.good());
  CHECK(members.error() == "more: unknown key; known are: absent, flag, number, text");
}

TEST_CASE("the first thing that is wrong is told") {
  const Json object = *read_json(R"({"text":"abcd","flag":1,"number":-1})");
  const auto told = [&](auto ask) {
    Members members(object);
    ask(members);
    return members.good() ? std::string() : members.error();
  };
  std::string text = "as it was";
  bool flag = false;
  std::uint64_t number = 0;
  CHECK(told([&](Members& m) { m.text("text", text, 3); }) == "text: is longer than 3 bytes");
  CHECK(text == "as it was");
  CHECK(told([&](Members& m) { m.text("flag", text, 3); }) == "flag: wants a text in quotes");
  CHECK(told([&](Members& m) { m.flag("flag", flag); }) == "flag: wants true or false");
  CHECK(told([&](Members& m) { m.number("number", number, 0, 9); }) ==
        "number: wants a whole number from 0 to 9");
  CHECK(told([&](Members& m) {
          m.wrong("a", "first");
          m.wrong("b", "second");
        }) == "a: first");
}

}  // namespace
