// Host, Origin and Cookie fields, as browsers and those who attack them write them.
#include "protocols/api/origin.hpp"

#include <doctest/doctest.h>

#include "protocols/api/keys.hpp"
#include "protocols/api/login.hpp"

using namespace ringgate::api;

TEST_CASE("hosts that are this machine's for everybody") {
  for (const char* host : {"localhost", "LocalHost:7880", "localhost.", "127.0.0.1", "127.9.9.9:80",
                           "[::1]", "[::1]:7880"}) {
    CAPTURE(host);
    CHECK(is_loopback_host(host));
  }
  for (const char* host :
       {"", "localhost.evil.example", "evil.example", "127.0.0.1.evil.example", "127.1", "0x7f.1",
        "2130706433", "0.0.0.0", "128.0.0.1", "[::]", "[::1", "::1", "[::1]x", "localhost:1:2",
        "localhost:http", "a.localhost", "localhost..", "[::ffff:127.0.0.1]"}) {
    CAPTURE(host);
    CHECK_FALSE(is_loopback_host(host));
  }
}

TEST_CASE("hosts of the list, with any port or with one") {
  const std::vector<std::string> list = {"gateway.example.com", "[2001:db8::1]:8443"};
  CHECK(is_listed_host(list, "gateway.example.com"));
  CHECK(is_listed_host(list, "GATEWAY.example.com.:99"));
  CHECK(is_listed_host(list, "[2001:db8::1]:8443"));
  CHECK_FALSE(is_listed_host(list, "[2001:db8::1]"));
  CHECK_FALSE(is_listed_host(list, "example.com"));
  CHECK_FALSE(is_listed_host(list, "xgateway.example.com"));
  CHECK_FALSE(is_listed_host({}, "gateway.example.com"));
  CHECK(check_host_name("gateway.example.com:8443").ok());
  for (const char* bad : {"", "https://a", "a/b", "a b", "a:x", "a@b"}) {
    CAPTURE(bad);
    CHECK_FALSE(check_host_name(bad).ok());
  }
}

TEST_CASE("origins") {
  struct {
    const char* origin;
    const char* host;
    bool same;
  } const cases[] = {
      {"http://localhost:7880", "localhost:7880", true},
      {"HTTP://LOCALHOST:7880", "localhost:7880", true},
      {"https://gateway.example.com", "gateway.example.com", true},
      {"https://gateway.example.com", "gateway.example.com:443", true},
      {"http://gateway.example.com:80", "gateway.example.com", true},
      {"http://[::1]:7880", "[::1]:7880", true},
      {"http://localhost:7881", "localhost:7880", false},
      {"http://localhost", "localhost:7880", false},
      {"http://gateway.example.com", "gateway.example.com:443", false},
      {"http://evil.example", "localhost:7880", false},
      {"http://localhost:7880.evil.example", "localhost:7880", false},
      {"http://localhost:7880@evil.example", "localhost:7880", false},
      {"http://localhost:7880/", "localhost:7880", false},
      {"null", "localhost:7880", false},
      {"null", "null", false},
      {"", "localhost:7880", false},
      {"file://", "localhost:7880", false},
      {"chrome-extension://localhost:7880", "localhost:7880", false},
      {"//localhost:7880", "localhost:7880", false},
  };
  for (const auto& one : cases) {
    CAPTURE(one.origin);
    CAPTURE(one.host);
    CHECK(is_same_origin(one.origin, one.host) == one.same);
  }
  CHECK(host_of_origin("https://a.example:1") == "a.example:1");
  CHECK(host_of_origin("null").empty());
}

TEST_CASE("cookies") {
  unsigned count = 0;
  CHECK(find_cookie("a=b; ringgate=xyz; c=d", "ringgate", count) == "xyz");
  CHECK(count == 1);
  CHECK(find_cookie("ringgate=1;ringgate=2", "ringgate", count) == "2");
  CHECK(count == 3);
  count = 0;
  for (const char* none : {"", "ringgate", "Ringgate=1", "xringgate=1", "a=ringgate=1", ";;;"}) {
    CAPTURE(none);
    CHECK(find_cookie(none, "ringgate", count).empty());
  }
  CHECK(count == 0);
}

TEST_CASE("JSON is JSON, and nothing else") {
  CHECK(is_json("application/json"));
  CHECK(is_json("Application/JSON ; charset=utf-8"));
  for (const char* other : {"", "text/plain", "application/jsonp", "text/plain;application/json",
                            "application/x-www-form-urlencoded", "multipart/form-data"}) {
    CAPTURE(other);
    CHECK_FALSE(is_json(other));
  }
}
