// Percent-encoding, queries, ranges, entity tags and codings.
#include "protocols/http/codec/target.hpp"

#include <doctest/doctest.h>

using namespace ringgate::http;

TEST_CASE("percent-encoding") {
  CHECK(percent_decoded("a%20b%C3%A4+c") == "a b\xc3\xa4+c");
  CHECK(percent_decoded("a+b", true) == "a b");
  CHECK(percent_decoded("%41") == "A");
  CHECK_FALSE(percent_decoded("%4").has_value());
  CHECK_FALSE(percent_decoded("%").has_value());
  CHECK_FALSE(percent_decoded("%zz").has_value());
  CHECK_FALSE(percent_decoded("%00").has_value());
  std::string all;
  for (int c = 1; c < 256; ++c) all.push_back(static_cast<char>(c));
  CHECK(percent_decoded(percent_encoded(all)) == all);
}

TEST_CASE("parameters of a query") {
  std::string_view query = "a=1&&b&c=x=y&=z";
  std::string_view name;
  std::string_view value;
  REQUIRE(next_parameter(query, name, value));
  CHECK(name == "a");
  CHECK(value == "1");
  REQUIRE(next_parameter(query, name, value));
  CHECK(name == "b");
  CHECK(value.empty());
  REQUIRE(next_parameter(query, name, value));
  CHECK(value == "x=y");
  REQUIRE(next_parameter(query, name, value));
  CHECK(name.empty());
  CHECK_FALSE(next_parameter(query, name, value));
}

TEST_CASE("ranges") {
  const auto part = [](std::string_view field, std::uint64_t first, std::uint64_t size) {
    ByteRange range;
    CAPTURE(field);
    CHECK(parse_range(field, 100, range) == RangeKind::part);
    CHECK(range.first == first);
    CHECK(range.size == size);
  };
  part("bytes=0-0", 0, 1);
  part("bytes=10-", 10, 90);
  part("bytes=10-500", 10, 90);
  part("bytes=-7", 93, 7);
  part("Bytes=-700", 0, 100);
  ByteRange range;
  for (const char* field : {"", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-4", "bytes=0-1,5-6",
                            "lines=0-1", "bytes=1", "bytes=--1"}) {
    CAPTURE(field);
    CHECK(parse_range(field, 100, range) == RangeKind::whole);
  }
  CHECK(parse_range("bytes=100-", 100, range) == RangeKind::not_there);
  CHECK(parse_range("bytes=-0", 100, range) == RangeKind::not_there);
  CHECK(parse_range("bytes=0-", 0, range) == RangeKind::not_there);
}

TEST_CASE("entity tags and codings") {
  CHECK(names_tag("\"a\", W/\"b\"", "\"b\""));
  CHECK(names_tag("*", "\"x\""));
  CHECK_FALSE(names_tag("\"a\"", "\"b\""));
  CHECK(takes_gzip("gzip, deflate, br"));
  CHECK(takes_gzip("br;q=1, *;q=0.1"));
  CHECK_FALSE(takes_gzip("gzip;q=0, *"));
  CHECK_FALSE(takes_gzip("gzip;q=0.000"));
  CHECK_FALSE(takes_gzip("identity"));
  CHECK_FALSE(takes_gzip("gzip ; a=b ; Q=0"));
  CHECK_FALSE(takes_gzip(""));
}

TEST_CASE("weights of media types") {
  constexpr std::string_view field =
      "text/*;q=0.3, Text/Plain;charset=utf-8;q=0.75, */*;q=0.1, a/b";
  CHECK(accepted_weight(field, "text/plain") == 750);
  CHECK(accepted_weight(field, "text/html") == 300);
  CHECK(accepted_weight(field, "image/png") == 100);
  CHECK(accepted_weight(field, "a/b") == 1000);
  CHECK(accepted_weight("a/b;q=0, */*", "a/b") == 0);
  CHECK(accepted_weight("a/b;v=1;q=0.5, a/b;v=2;q=0.2", "a/b") == 500);
  CHECK(accepted_weight("a/b;q=nonsense", "a/b") == 1000);
  CHECK(accepted_weight("", "a/b") == 0);
}
