// One line of jsonl: which device it names, why it is refused, how tools show it.
#include "protocols/jsonl/codec.hpp"

#include <doctest/doctest.h>

#include <string>

#include "protocols/jsonl/catalog.hpp"

namespace {

using namespace ringgate;
using jsonl::LineError;
using jsonl::parse_line;

TEST_CASE("the device of a line") {
  const auto id = [](std::string_view text) {
    const jsonl::Line line = parse_line(text);
    CHECK(line.error == LineError::none);
    return std::string(line.id);
  };
  CHECK(id(R"({"id":"truck-1"})") == "truck-1");
  CHECK(id(R"({"speed":3,"id":"京A88888"})") == "京A88888");
  CHECK(id(R"({"id":42})") == "42");
  CHECK(id(R"({"id":"42"})") == "42");  // the same device
  CHECK(id(R"({"id":-7})") == "-7");
  CHECK(id(R"({"id":1,"id":"2"})") == "2");
  CHECK(id("{\"id\":\"\xc2\xa0\xc3\x9b\"}") == "\xc2\xa0\xc3\x9b");  // letters, and a blank
  CHECK(id("{\"id\":\"" + std::string(38, 'x') + "\"}") == std::string(38, 'x'));
}

TEST_CASE("why a line is refused") {
  const auto why = [](std::string_view text) { return parse_line(text).error; };
  CHECK(why("{") == LineError::not_json);
  CHECK(why("[1]") == LineError::no_object);
  CHECK(why("hello") == LineError::no_object);
  CHECK(why(R"({"id":"a","deep":)" + std::string(40, '[') + std::string(40, ']') + "}") ==
        LineError::too_deep);
  for (const std::string_view text :
       {R"({})", R"({"x":1})", R"({"id":""})", R"({"id":"a\nb"})", R"({"id":"a\\b"})",
        R"({"id":1.5})", R"({"id":1e3})", R"({"id":true})", R"({"id":null})", R"({"id":[1]})",
        R"({"id":{"id":1}})", R"({"id":"123456789012345678901234567890123456789"})",
        "{\"id\":\"a\x7f\"}", "{\"id\":\"\xc2\x9b" "31m\"}", "{\"id\":\"x\xc2\x80\"}"}) {
    CAPTURE(text);
    CHECK(why(text) == LineError::bad_id);
  }
  const auto line_of = [](std::size_t size) {
    std::string text = R"({"id":"a","pad":")";
    text += std::string(size - text.size() - 2, 'x');
    return text + "\"}";
  };
  CHECK(why(line_of(jsonl::line_size_max)) == LineError::none);
  CHECK(why(line_of(jsonl::line_size_max + 1)) == LineError::too_long);
}

TEST_CASE("tools show a record as the line that came") {
  const jsonl::Catalog catalog;
  CHECK(catalog.protocol() == "jsonl");
  CHECK(catalog.ns() == Namespace::json);
  CHECK(catalog.message_id_text(0).empty());
  const auto shown = [&](std::string_view line) {
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("body");
    catalog.json(as_bytes(line), json);
    json.key("after").boolean(true).end_object();
    CHECK(scan_json_object(out, "body").error == JsonScan::Error::none);
    return std::string(scan_json_object(out, "body").member);
  };
  CHECK(shown(R"({"id":"a", "t":[1,2]})") == R"({"id":"a", "t":[1,2]})");
  CHECK(shown("{\"id\":1,\r\"t\":2}") == "{\"id\":1, \"t\":2}");
  CHECK(shown("{\"id\":") == R"({"error":"not_json","offset":0})");
  const std::string line = R"({"id":"a"})";
  CHECK(as_text(catalog.redact(as_bytes(line))) == line);
  const auto encoded = catalog.encode(line);
  CHECK((encoded && as_text(*encoded) == line));
  CHECK(catalog.encode("{\"id\":").error().message == "not_json");
}

}  // namespace
