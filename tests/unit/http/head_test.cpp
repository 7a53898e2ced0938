// Heads of requests: what is taken, what is refused and as what, and that pieces change nothing.
#include "protocols/http/codec/head.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace ringgate;
using namespace ringgate::http;

namespace {

HeadResult parse(std::string_view text, Head& head, const HeadLimits& limits = {}) {
  return parse_head(as_bytes(text), limits, head);
}

const std::string plain = "GET /a/b?c=d HTTP/1.1\r\nHost: example.org:80\r\n\r\n";

struct Bad {
  std::string_view text;
  HeadError error;
};
// What two readers could understand differently, and what is simply wrong.
const Bad bad_heads[] = {
    {"GET / HTTP/1.1\nHost: a\n\n", HeadError::bad_line},
    {"GET / HTTP/1.1\r\nHost: a\n\r\n", HeadError::bad_field},
    {"GET / HTTP/1.1\r\nHost: a\r\n\n", HeadError::bad_field},
    {"GET / HTTP/1.1\rHost: a\r\n\r\n", HeadError::bad_line},
    {"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", HeadError::bad_field},
    {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::bad_target},
    {"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", HeadError::bad_target},
    {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", HeadError::bad_line},
    {" GET / HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::bad_line},
    {"\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::bad_line},
    {"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::bad_line},
    {"GET / http/1.1\r\nHost: a\r\n\r\n", HeadError::bad_line},
    {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", HeadError::bad_version},
    {"GET / HTTP/1.10\r\nHost: a\r\n\r\n", HeadError::bad_line},
    {"GET a/b HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::bad_target},
    {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::bad_target},
    {"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::bad_target},
    {"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::bad_target},
    {"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::bad_target},
    {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", HeadError::bad_field},
    {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", HeadError::bad_field},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", HeadError::bad_field},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n", HeadError::bad_field},
    {"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", HeadError::bad_field},
    {"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", HeadError::bad_field},
    {"GET / HTTP/1.1\r\nHost: a\r\nX\xff: b\r\n\r\n", HeadError::bad_field},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", HeadError::bad_field},
    {"GET / HTTP/1.1\r\n\r\n", HeadError::bad_host},
    {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", HeadError::bad_host},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", HeadError::bad_host},
    {"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", HeadError::bad_host},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", HeadError::bad_host},
    {"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", HeadError::bad_host},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
     HeadError::bad_length},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\n", HeadError::bad_length},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n", HeadError::bad_length},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\n", HeadError::bad_length},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n", HeadError::bad_length},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551617\r\n\r\n",
     HeadError::bad_length},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
     HeadError::bad_framing},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
     HeadError::bad_framing},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
     "Transfer-Encoding: chunked\r\n\r\n",
     HeadError::bad_framing},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", HeadError::bad_framing},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
     HeadError::unknown_coding},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
     HeadError::unknown_coding},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n",
     HeadError::unknown_coding},
    {"\x16\x03\x01\x02", HeadError::bad_line},
};

}  // namespace

TEST_CASE("a request line is taken apart") {
  Head head;
  CHECK(parse(plain, head).size == plain.size());
  CHECK(head.method == Method::get);
  CHECK(head.target == "/a/b?c=d");
  CHECK(head.path == "/a/b");
  CHECK(head.query == "c=d");
  CHECK(head.host == "example.org:80");
  CHECK(head.keep_alive);
  CHECK_FALSE(head.has_body());

  const std::string absolute = "get http://b:8080?x HTTP/1.1\r\nHost: a\r\n\r\n";
  REQUIRE(parse(absolute, head).complete());
  CHECK(head.method == Method::other);
  CHECK(head.method_text == "get");
  CHECK(head.host == "b:8080");
  CHECK(head.path == "/");
  CHECK(head.query == "x");

  REQUIRE(parse("OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n", head).complete());
  CHECK(head.path == "*");
  REQUIRE(parse("\r\nGET / HTTP/1.0\r\n\r\n", head).size == 20);
  CHECK(head.minor == 0);
  CHECK_FALSE(head.keep_alive);
}

TEST_CASE("what the fields say of body and connection") {
  Head head;
  REQUIRE(parse("POST / HTTP/1.1\r\nHOST: a\r\ncontent-length:  12\t\r\nExpect: 100-Continue\r\n"
                "Connection: Upgrade , close\r\nX-Empty:\r\n\r\n",
                head)
              .complete());
  CHECK(head.content_length == 12);
  CHECK(head.has_body());
  CHECK(head.expects_continue);
  CHECK(head.upgrades);
  CHECK_FALSE(head.keep_alive);
  REQUIRE(head.find("x-empty") != nullptr);
  CHECK(head.value("x-empty").empty());
  CHECK(head.find("x-none") == nullptr);
  CHECK(head.field_count == 5);

  REQUIRE(parse("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", head)
              .complete());
  CHECK(head.chunked);
  REQUIRE(parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n\r\n", head)
              .complete());
  CHECK(head.keep_alive);
  CHECK_FALSE(head.expects_continue);
}

TEST_CASE("what is wrong is refused by its name") {
  for (const Bad& bad : bad_heads) {
    CAPTURE(bad.text);
    Head head;
    const HeadResult result = parse(bad.text, head);
    CHECK(head_error_names[static_cast<std::size_t>(result.error)] ==
          head_error_names[static_cast<std::size_t>(bad.error)]);
    CHECK(result.size == 0);
    CHECK(status_of(result.error) >= 400);
  }
  Head head;
  const std::string nul("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 36);
  CHECK(parse(nul, head).error == HeadError::bad_field);
}

TEST_CASE("a head in pieces is incomplete until its last byte, and a bad one never becomes good") {
  Head head;
  for (const std::string& good : {plain, "\r\n" + plain}) {
    for (std::size_t size = 0; size < good.size(); ++size) {
      const HeadResult result = parse(std::string_view(good).substr(0, size), head);
      CHECK(result.error == HeadError::none);
      CHECK(result.size == 0);
    }
  }
  for (const Bad& bad : bad_heads) {
    CAPTURE(bad.text);
    for (std::size_t size = 0; size < bad.text.size(); ++size) {
      const HeadResult result = parse(bad.text.substr(0, size), head);
      CHECK_FALSE(result.complete());
      if (result.error != HeadError::none) CHECK(result.error == bad.error);
    }
  }
}

TEST_CASE("a head is bounded in bytes, fields and target") {
  Head head;
  const HeadLimits limits{.head_bytes_max = 256, .target_bytes_max = 64};
  const std::string endless = "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(300, 'x');
  CHECK(parse(endless, head, limits).error == HeadError::head_too_large);
  const std::string target = "GET /" + std::string(64, 'x');
  CHECK(parse(target, head, limits).error == HeadError::target_too_long);
  CHECK(parse(std::string(33, 'G'), head, limits).error == HeadError::bad_line);
  std::string many = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (std::size_t i = 1; i < fields_max; ++i) many += "a: b\r\n";
  CHECK(parse(many + "\r\n", head).complete());
  CHECK(parse(many + "a: b\r\n\r\n", head).error == HeadError::head_too_large);
}

TEST_CASE("members of a list") {
  std::string_view list = " a ,, b\t,c";
  std::vector<std::string_view> members;
  for (std::string_view member; next_member(list, member);) members.push_back(member);
  CHECK(members == std::vector<std::string_view>{"a", "b", "c"});
}
