// What the options choose.
#include <doctest/doctest.h>

#include "tools/log/selecting.hpp"

using namespace ringgate;
using namespace ringgate::log_tool;

TEST_CASE("options become a selection") {
  SelectOptions options;
  options.devices = {"013800138000", "truck-1"};
  options.message_ids = {"0x0200", "260"};
  options.from = "100";
  options.area = "31.4,121.2,31.1,121.6";
  options.no_duplicates = true;
  const auto selection = to_selection(options, 0);
  REQUIRE(selection.ok());
  REQUIRE(selection->devices.size() == 3);
  CHECK(selection->devices[0] == DeviceKey(Namespace::json, "013800138000"));
  CHECK(selection->devices[1] == DeviceKey(Namespace::phone, "13800138000"));
  CHECK(selection->devices[2] == DeviceKey(Namespace::json, "truck-1"));
  CHECK(selection->messages == std::vector<std::uint16_t>{0x200, 0x104});
  // A session has a message of 0 by chance only.
  CHECK((selection->kinds >> static_cast<unsigned>(log::Kind::session) & 1) == 0);
  CHECK(selection->received_from_us == 100 * us_per_s);
  CHECK(selection->received_to_us == log::no_time_after);
  CHECK(selection->area->south_deg == doctest::Approx(31.1));
  CHECK_FALSE(selection->duplicates);
  CHECK(selection->parts);

  SelectOptions zeros;
  zeros.devices = {"000"};
  CHECK(to_selection(zeros, 0)->devices[1] == DeviceKey(Namespace::phone, "0"));
}
