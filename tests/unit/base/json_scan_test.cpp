// The JSON checker: what RFC 8259 accepts and refuses, depth, UTF-8, finding a member.
#include "engine/base/json_scan.hpp"

#include <doctest/doctest.h>

#include <initializer_list>
#include <string>

namespace {

using namespace ringgate;
using Error = JsonScan::Error;

std::string join(std::initializer_list<std::string_view> parts) {
  std::string out;
  for (const std::string_view part : parts) out += part;
  out.shrink_to_fit();
  return out;
}

Error error_of(std::string_view text) { return scan_json_object(text, "id").error; }

// As the value of a member; each copied to its exact size, so that a sanitizer sees a read beyond.
Error error_of_value(std::string_view value) {
  return error_of(join({"{\"v\":", value, "}"}));
}

TEST_CASE("values that RFC 8259 has") {
  for (const std::string_view value :
       {"0", "-0", "1", "-1", "10", "1.0", "0.5", "-0.5e10", "1e5", "1E+5", "1e-5",
        "12345678901234", "true", "false", "null", "\"\"", "\"a\"", "[]", "[ ]", "[1]",
        "[1, 2,\t3]", "[[],[[]]]", "{}", "{ }", "{\"\":0}", "{\"a\":{\"b\":[{}]}}", " 1 ",
        "\n1\r\n",
        R"("\"\\\/\b\f\n\r\t")", R"("A\uFFFF\uaBcD")", R"("\ud800")", "\"\x7f\""}) {
    CAPTURE(value);
    CHECK(error_of_value(value) == Error::none);
  }
}

TEST_CASE("values that RFC 8259 has not") {
  for (const std::string_view value :
       {"", "01", "-", "+1", ".5", "1.", "1.e5", "1e", "1e+", "0x10", "00", "-01", "1 2", "NaN",
        "Infinity", "-Infinity", "tru", "True", "TRUE", "truer", "nul", "nulll", "undefined", "'a'",
        "\"", "\"a", "\"\\\"", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"\\u\"", "\"\n\"", "\"\t\"",
        "\"\x1f\"", "[", "]", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1;2]", "{", "{\"a\"",
        "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}", "{,}", "{a:1}", "{1:1}", "{\"a\" 1}",
        "{\"a\"::1}", "{'a':1}", "{\"a\":1 \"b\":2}", "{null:1}", "1}", "1},{", "1/**/", "1//",
        "\v1", "\f1", "@"}) {
    CAPTURE(value);
    CHECK(error_of_value(value) == Error::not_json);
  }
  CHECK(error_of_value(std::string_view("\0", 1)) == Error::not_json);
  CHECK(error_of_value(std::string_view("\"\0\"", 3)) == Error::not_json);
  CHECK(error_of_value(std::string_view("1\0", 2)) == Error::not_json);
}

TEST_CASE("UTF-8 in strings and keys") {
  for (const std::string_view good : {"\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
                                      "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80",
                                      "\xf4\x8f\xbf\xbf", "京A88888"}) {
    CAPTURE(good);
    const std::string text = join({"\"", good, "\""});
    CHECK(error_of_value(text) == Error::none);
    CHECK(error_of_value(join({"{", text, ":1}"})) == Error::none);
  }
  for (const std::string_view bad :
       {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2\x41", "\xe0\x80\x80", "\xe0\x9f\xbf",
        "\xed\xa0\x80", "\xe1\x80", "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80", "\xff", "\xfe"}) {
    CAPTURE(bad);
    const std::string text = join({"\"", bad, "\""});
    CHECK(error_of_value(text) == Error::not_json);
    CHECK(error_of_value(join({"{", text, ":1}"})) == Error::not_json);
  }
}

TEST_CASE("the text is one object with blanks around it") {
  CHECK(error_of("{}") == Error::none);
  CHECK(error_of(" \t\r\n{} \t\r\n") == Error::none);
  for (const std::string_view text :
       {"", " ", "[]", "1", "\"{}\"", "null", "}", "\xef\xbb\xbf{}"}) {
    CAPTURE(text);
    CHECK(error_of(text) == Error::no_object);
  }
  for (const std::string_view text : {"{}{}", "{} x", "{}}", "{", "{\"id\":1}1"}) {
    CAPTURE(text);
    CHECK(error_of(text) == Error::not_json);
  }
  CHECK(error_of(std::string_view("{}\0", 3)) == Error::not_json);
}

TEST_CASE("depth is bounded, also where the text does not end") {
  const auto nested = [](std::size_t depth, char open, char close) {
    return join({"{\"v\":", std::string(depth, open), std::string(depth, close), "}"});
  };
  CHECK(error_of(nested(json_depth_max, '[', ']')) == Error::none);
  CHECK(error_of(nested(json_depth_max + 1, '[', ']')) == Error::too_deep);
  std::string objects;
  for (int i = 0; i < json_depth_max; ++i) objects += "{\"a\":";
  CHECK(error_of(join({objects, "{}", std::string(json_depth_max, '}')})) == Error::none);
  CHECK(error_of(join({"{\"a\":", objects, "{}", std::string(json_depth_max + 1, '}')})) ==
        Error::too_deep);
  CHECK(error_of(join({"{\"v\":", std::string(1'000'000, '[')})) == Error::too_deep);
}

TEST_CASE("every cut of a line is refused, and says where within it") {
  const std::string line = R"({"id":"x","list":[1,-2.5e3,true,null],"sub":{"t":"\u00e9京"}})";
  REQUIRE(error_of(line) == Error::none);
  for (std::size_t size = 0; size < line.size(); ++size) {
    const std::string cut(line, 0, size);
    const JsonScan scan = scan_json_object(cut, "id");
    CHECK(scan.error == (size == 0 ? Error::no_object : Error::not_json));
    CHECK(scan.offset <= size);
  }
}

TEST_CASE("finding a member: only of the object itself, the last of several, as it stands") {
  const auto member = [](std::string_view text) {
    return std::string(scan_json_object(text, "id").member);
  };
  CHECK(member(R"({"id":"a"})") == "\"a\"");
  CHECK(member(R"({ "id" : 42 , "x":1})") == "42");
  CHECK(member(R"({"x":{"id":1},"y":[{"id":2}]})").empty());
  CHECK(member(R"({"x":{"id":1},"id":2})") == "2");
  CHECK(member(R"({"id":1,"id":2})") == "2");
  CHECK(member(R"({"id":{"id":3}})") == R"({"id":3})");
  CHECK(member(R"({"ID":1,"id ":2,"i":3,"idx":4,"":5})").empty());
  CHECK(member(R"({"\u0069d":1})").empty());  // names are compared as they are written
  CHECK(member(R"({"x":"\"id\":1"})").empty());
}

TEST_CASE("all members in one scan, in their order; more than there is room for are counted") {
  JsonMember found[3];
  std::size_t count = 0;
  const auto scan = scan_json_members(R"( {"a":1, "b" : {"a":[2]},"a":"x"} )", found, count);
  CHECK(scan.error == JsonScan::Error::none);
  REQUIRE(count == 3);
  CHECK(found[0].name == "a");
  CHECK(found[0].value == "1");
  CHECK(found[1].name == "b");
  CHECK(found[1].value == R"({"a":[2]})");
  CHECK(found[2].name == "a");
  CHECK(found[2].value == "\"x\"");
  CHECK(scan_json_members(R"({"a":1,"b":2,"c":3,"d":4})", found, count).error ==
        JsonScan::Error::none);
  CHECK(count == 4);
  CHECK(scan_json_members(R"({"a":1,)", found, count).error == JsonScan::Error::not_json);
  CHECK(scan_json_members("{}", found, count).error == JsonScan::Error::none);
  CHECK(count == 0);
}

}  // namespace
