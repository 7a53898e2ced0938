#include <doctest/doctest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "engine/base/crc32c.hpp"
#include "engine/base/hex.hpp"
#include "engine/base/ids.hpp"
#include "engine/base/json_writer.hpp"
#include "engine/base/result.hpp"

using namespace ringgate;

TEST_CASE("crc32c agrees with RFC 3720 B.4 and with its portable twin") {
  std::vector<std::uint8_t> zeros(32, 0);
  CHECK(crc32c(0, zeros) == 0x8a9136aaU);
  std::vector<std::uint8_t> rising(32);
  for (std::size_t i = 0; i < rising.size(); ++i) rising[i] = static_cast<std::uint8_t>(i);
  CHECK(crc32c(0, rising) == 0x46dd794eU);
  for (std::size_t size = 0; size <= rising.size(); ++size) {
    const Bytes part{rising.data(), size};
    CHECK(crc32c(7, part) == crc32c_table(7, part));
    CHECK(crc32c(crc32c(7, part.first(size / 2)), part.subspan(size / 2)) == crc32c(7, part));
  }
}

TEST_CASE("hex goes both ways and refuses odd digits and strangers") {
  CHECK(to_hex(*from_hex("7E 02ff")) == "7e02ff");
  CHECK_FALSE(from_hex("7e0").has_value());
  CHECK_FALSE(from_hex("7g").has_value());
  CHECK(from_hex("")->empty());
}

TEST_CASE("json escapes what must be, and replaces bytes that are no UTF-8") {
  std::string out;
  JsonWriter json(out);
  json.begin_object().key("a\"").text(std::string_view("x\n\\\xff\xe4\xbd\xa0", 7));
  json.key("n").begin_array().integer(-1).number(1.5, 2).null().end_array();
  json.key("o").begin_object().end_object().end_object();
  CHECK(out ==
        "{\"a\\\"\":\"x\\u000a\\\\\xef\xbf\xbd\xe4\xbd\xa0\",\"n\":[-1,1.50,null],\"o\":{}}");
}

TEST_CASE("JSON numbers have the digits that printf gives them, however long") {
  const auto text = [](double value, int decimals) {
    std::string out;
    JsonWriter(out).number(value, decimals);
    return out;
  };
  for (const double value :
       {0.0, -0.0, 0.5, 1.5, 2.5, 0.045, 121.4737005, -31.2, 1e15, 1e22, 1e300}) {
    for (const int decimals : {0, 1, 2, 6}) {
      char wanted[400];
      std::snprintf(wanted, sizeof wanted, "%.*f", decimals, value);
      CHECK(text(value, decimals) == wanted);
    }
  }
  std::string out;
  JsonWriter(out).text("a\"b\\c\x01\x7f ü\xff");
  CHECK(out == "\"a\\\"b\\\\c\\u0001\\u007f ü\xef\xbf\xbd\"");
}

TEST_CASE("a device key names its home, and its hash uses every byte") {
  const DeviceKey key(Namespace::phone, "13800138000");
  CHECK(key == DeviceKey(Namespace::phone, "13800138000"));
  CHECK_FALSE(key == DeviceKey(Namespace::json, "13800138000"));
  unsigned counts[4] = {};
  for (int i = 0; i < 4000; ++i) {
    ++counts[home_shard(DeviceKey(Namespace::phone, std::to_string(13800000000LL + i)), 4)];
  }
  for (const unsigned count : counts) CHECK((count > 800 && count < 1200));
}

TEST_CASE("link ids survive packing") {
  const LinkId id{123456, 65535, 63};
  CHECK(LinkId::unpack(id.packed()) == id);
}

TEST_CASE("a Result holds a value or an error") {
  Result<int> good(3);
  Result<int> bad(errno_error(2, "open /nowhere"));
  CHECK((good.ok() && *good == 3));
  CHECK((!bad.ok() && bad.error().message == "open /nowhere: No such file or directory"));
}
