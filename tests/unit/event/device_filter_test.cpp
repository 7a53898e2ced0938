// The language of --filter: what matches, and where an error is shown.
#include "storage/event/device_filter.hpp"

#include <doctest/doctest.h>

#include <map>

namespace {

using namespace ringgate;
using event::DeviceFilter;
using event::FieldValue;

constexpr WallUs now_us = 1'795'000'000 * us_per_s;

struct Device final : event::FieldSource {
  std::map<std::string, FieldValue, std::less<>> fields{
      {"phone", "13800138000"},
      {"online", true},
      {"banned", false},
      {"version", "2019"},
      {"speed_kmh", 80.5},
      {"alarm_bits", 0.0},
      {"frames", 12.0},
      {"latitude_deg", 31.23},
      {"longitude_deg", 121.47},
      {"last_heard_us", static_cast<double>(now_us - 600 * us_per_s)},
      {"note", "two words"},
  };
  FieldValue field(std::string_view key) const override {
    const auto found = fields.find(key);
    return found == fields.end() ? FieldValue{} : found->second;
  }
};

TEST_CASE("terms match what they say") {
  const Device device;
  struct Case {
    const char* text;
    bool matches;
  };
  const Case cases[] = {
      {"", true}, {"  ", true}, {"online", true}, {"not online", false}, {"not not online", true},
      {"banned", false}, {"not banned", true}, {"absent", false}, {"not absent", true},
      {"absent=1", false}, {"absent!=1", false}, {"not absent=1", true},
      {"online=true", true}, {"online=false", false}, {"online != false", true},
      {"phone~138*", true}, {"phone~139*", false}, {"phone~*8000", true},
      {"phone~1380013800?", true},
      {"phone=13800138000", true}, {"phone=013800138000", false}, {"phone=13800138000.0", false},
      {"version=2019", true}, {"version = 2019", true}, {"version==2019", true},
      {"version!=2019", false}, {"version>=2013", true}, {"version<2019", false},
      {"alarm!=0", false}, {"alarm=0", true}, {"alarm", false}, {"frames", true},
      {"speed>80", true}, {"speed>80.5", false}, {"speed>=80.5", true}, {"speed<1e3", true},
      {"speed_kmh<=80.4", false}, {"speed~80*", true},
      {"last_heard>9m", true}, {"last_heard>10m", false}, {"last_heard<1h", true},
      {"last_heard<=600", true}, {"last_heard>9m30s", true},
      {"in(31.1,121.2,31.4,121.6)", true}, {"in( 31.4 , 121.6 , 31.1 , 121.2 )", true},
      {"in(31.3,121.2,31.4,121.6)", false}, {"in(-90,-180,90,180)", true},
      {"not in(31.1,121.2,31.4,121.6)", false},
      {"note=\"two words\"", true}, {"note~\"two *\"", true}, {"note=\"two\"", false},
      {"online and version=2019 and speed>80", true}, {"online and speed>90", false},
      {"speed>90 and online", false},
      {"online and not banned and in(31.1,121.2,31.4,121.6)", true},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text);
    const auto filter = DeviceFilter::parse(c.text);
    REQUIRE(filter.ok());
    CHECK(filter->matches(device, now_us) == c.matches);
  }
}

TEST_CASE("a device that was never heard and one without a position match no time and no place") {
  Device device;
  device.fields["last_heard_us"] = 0.0;
  device.fields.erase("latitude_deg");
  for (const char* text : {"last_heard>1s", "last_heard<1000d", "in(-90,-180,90,180)"}) {
    CAPTURE(text);
    CHECK(!DeviceFilter::parse(text)->matches(device, now_us));
  }
}

TEST_CASE("errors name the column") {
  struct Case {
    const char* text;
    std::size_t column;
    const char* part;
  };
  const Case cases[] = {
      {"online and", 11, "a key"},
      {"and online", 1, "not 'and'"},
      {"online or banned", 8, "'and' is expected"},
      {"online banned", 8, "'and' is expected"},
      {"speed>", 7, "a value"},
      {"speed>fast", 7, "a number"},
      {"speed>=\"1 2\"", 8, "a number"},
      {"last_heard>soon", 12, "time span"},
      {"last_heard", 11, "last_heard>10m"},
      {"last_heard~5*", 11, "> or <"},
      {"phone=\"138", 7, "not closed"},
      {"phone=a=b", 8, "'='"},
      {"in(1,2,3)", 9, "','"},
      {"in(1,2,3,4", 11, "')'"},
      {"in(1,x,3,4)", 6, "degrees"},
      {"in(91,2,3,4)", 4, "latitudes"},
      {"in(1,2,3,181)", 10, "longitudes"},
      {"=5", 1, "a key"},
      {"not", 4, "a key"},
      {"online)", 7, "'and' is expected"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text);
    const auto filter = DeviceFilter::parse(c.text);
    REQUIRE(!filter.ok());
    CHECK(filter.error().column == c.column);
    CAPTURE(filter.error().message);
    CHECK(filter.error().message.find(c.part) != std::string::npos);
  }
}

TEST_CASE("a key that no device has is an error where the keys are known") {
  constexpr std::string_view keys[] = {"online", "speed_kmh", "last_heard_us"};
  CHECK(DeviceFilter::parse("online and speed>80 and last_heard<1m", keys).ok());
  const auto wrong = DeviceFilter::parse("online and not spedd>80", keys);
  REQUIRE(!wrong.ok());
  CHECK(wrong.error().column == 16);
  CHECK(wrong.error().message ==
        "there is no key 'spedd'; known are: online, speed_kmh, last_heard_us");
  CHECK(DeviceFilter::parse("spedd>80").ok());
}

TEST_CASE("a filter has an end") {
  const std::string longest = "phone=" + std::string(DeviceFilter::text_size_max - 6, '1');
  CHECK(DeviceFilter::parse(longest).ok());
  CHECK(!DeviceFilter::parse(longest + "1").ok());
}

TEST_CASE("patterns") {
  using event::matches_pattern;
  CHECK(matches_pattern("", ""));
  CHECK(matches_pattern("*", ""));
  CHECK(matches_pattern("a*b*c", "a-b-b-c"));
  CHECK(!matches_pattern("a*b*c", "a-b-b-"));
  CHECK(!matches_pattern("?", ""));
  CHECK(!matches_pattern("ab", "abc"));
  CHECK(matches_pattern("**x", "yyx"));
}

}  // namespace
