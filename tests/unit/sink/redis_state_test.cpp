// What a batch changes in Redis, from rows that a catalog of this test makes.
#include "storage/sink/redis_state.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <map>

using namespace ringgate;
using namespace ringgate::sink;

namespace {

// A record's payload names its rows: letters, each one row.
//   p position with a fix, n without, l late; o overspeed bit, f fatigue bit, a an ADAS alarm;
//   + online, - offline; d what a registration tells; m a media file
class Catalog final : public event::MessageCatalog {
 public:
  std::string_view protocol() const override { return "test"; }
  Namespace ns() const override { return Namespace::phone; }
  std::vector<event::MessageInfo> list() const override { return {}; }
  std::string message_id_text(std::uint16_t) const override { return {}; }
  void json(Bytes, JsonWriter&, bool) const override {}
  Result<std::vector<std::uint8_t>> encode(std::string_view) const override { return Error{}; }
  std::vector<std::uint8_t> redact(Bytes) const override { return {}; }
  void rows(const event::RecordView& record, event::RowVisitor& out) const override {
    std::uint32_t sub = 0;
    for (const char letter : as_text(record.payload)) row(letter, record, sub, out);
  }

 private:
  static void row(char letter, const event::RecordView& record, std::uint32_t& sub,
                  event::RowVisitor& out) {
    using What = event::SessionRow::What;
    const event::PositionRow position{.sub = sub,
                                      .device_time_us = record.received_us - 1,
                                      .latitude_deg = 31.2 + sub,
                                      .longitude_deg = 121.4,
                                      .speed_kmh = 60,
                                      .fixed = letter != 'n',
                                      .late = letter == 'l'};
    if (letter == 'p' || letter == 'n' || letter == 'l') {
      out.position(position);
      ++sub;
    }
    if (letter == 'o') out.alarm({.type = "overspeed", .source = "alarm-bits"});
    if (letter == 'f') out.alarm({.type = "fatigue", .source = "alarm-bits"});
    if (letter == 'a') out.alarm({.type = "collision", .source = "adas", .alarm_id = 7});
    if (letter == '+') out.session({What::online, "online 10.0.0.1:1"});
    if (letter == '-') out.session({What::offline, "offline idle"});
    if (letter == 'd') out.device({.plate = "A1", .plate_colour = 2, .terminal_id = "T"});
    if (letter == 'm') out.media({.blob = "b1", .name = "x.jpg", .size_bytes = 5});
  }
};

struct Made {
  char kind;  // f frame, s session, m media
  std::string device;
  std::string rows;
  std::uint8_t flags = 0;
};

class Rig {
 public:
  explicit Rig(const RedisEvents& events = {}) : state(events) {}

  void collect(const std::vector<Made>& made) {
    std::vector<Item> items;
    for (const Made& one : made) {
      Item& item = items.emplace_back();
      item.position = ++time_;
      item.catalog = &catalog_;
      using event::RecordKind;
      item.view.kind = one.kind == 'f'   ? RecordKind::frame_up
                       : one.kind == 's' ? RecordKind::session
                                         : RecordKind::media;
      item.view.ns = Namespace::phone;
      item.view.received_us = item.view.wall_us = time_ * 1000;
      item.view.device = one.device;
      item.view.flags = one.flags;
      item.view.payload = as_bytes(one.rows);
    }
    const log::Cursor cursor;
    state.collect({"node", {}, items, cursor});
  }
  const DeviceUpdate& update(std::string_view device) {
    for (const DeviceUpdate& one : state.updates()) {
      if (one.device == device) return one;
    }
    FAIL("no update of ", device);
    return state.updates().front();
  }
  std::map<std::string, std::string> fields(std::string_view device) {
    std::map<std::string, std::string> out;
    const auto put = [&](std::string_view name, std::string value) {
      const auto place = out.emplace(name, std::move(value));
      CHECK_MESSAGE(place.second, "twice: ", place.first->first);
    };
    for_each_field(
        update(device),
        [&](std::string_view name, double value, int decimals) {
          put(name, fmt::format("{:.{}f}", value, decimals));
        },
        [&](std::string_view name, std::string_view value) { put(name, std::string(value)); });
    return out;
  }
  std::string events() {
    std::string out;
    for (const RedisEvent& event : state.events()) {
      for (const auto& [name, value] : event.fields) {
        if (name == "kind") out += value + ":";
        if (name == "device") out += value + ":";
        if (name == "type" || name == "what" || name == "blob") out += value;
      }
      out += ' ';
    }
    return out;
  }

  RedisState state;

 private:
  Catalog catalog_;
  std::int64_t time_ = 0;
};

}  // namespace

TEST_CASE("redis state: records of one device are one update, the newest wins") {
  Rig rig;
  rig.collect({{'f', "1", "p"}, {'f', "2", "p"}, {'f', "1", "pp"}, {'f', "1", "l"}});
  REQUIRE(rig.state.updates().size() == 2);
  const DeviceUpdate& one = rig.update("1");
  CHECK(one.protocol == "test");
  CHECK(one.received_us == 4000);  // also a late position says that the device lives
  CHECK(one.has_place);
  CHECK(one.place.latitude_deg == doctest::Approx(32.2));  // the second of the third record
  CHECK(rig.fields("1")["latitude"] == "32.200000");
  CHECK(rig.fields("1")["time_us"] == "2999");
  CHECK(rig.fields("1")["speed_kmh"] == "60.0");
}

TEST_CASE("redis state: without a fix the place that is known stays") {
  Rig rig;
  rig.collect({{'f', "1", "p"}, {'f', "1", "n"}});
  CHECK(rig.fields("1")["fixed"] == "0");
  CHECK(rig.fields("1")["latitude"] == "31.200000");
  rig.collect({{'f', "1", "n"}});
  CHECK(rig.fields("1").count("latitude") == 0);
  CHECK_FALSE(rig.update("1").has_place);
}

TEST_CASE("redis state: sessions and registrations") {
  Rig rig;
  rig.collect({{'f', "1", "d"}, {'s', "1", "+"}, {'f', "1", "p"}});
  CHECK(rig.events() == "session:1:online ");
  rig.collect({{'f', "1", "d"},
               {'s', "1", "+"},
               {'f', "1", "p"},
               {'s', "2", "+"},
               {'s', "2", "-"}});
  CHECK(rig.fields("1")["plate"] == "A1");
  CHECK(rig.fields("1")["plate_colour"] == "2");
  CHECK(rig.update("1").session_us == 5000);
  CHECK_FALSE(rig.update("1").offline);
  CHECK(rig.update("2").offline);
  CHECK(rig.update("2").received_us == 0);
  CHECK(rig.update("2").session == "offline idle");
  CHECK(rig.events() == "session:1:online session:2:online session:2:offline ");
}

TEST_CASE("redis state: an alarm that lasts is one event, over batches too") {
  Rig rig;
  rig.collect({{'f', "1", "po"}, {'f', "1", "po"}, {'f', "2", "po"}});
  CHECK(rig.events() == "alarm:1:overspeed alarm:2:overspeed ");
  CHECK(rig.fields("1")["alarms"] == "overspeed");
  rig.collect({{'f', "1", "pof"}});
  CHECK(rig.events() == "alarm:1:fatigue ");
  rig.collect({{'f', "1", "p"}, {'f', "1", "po"}});
  CHECK(rig.events() == "alarm:1:overspeed ");
  rig.collect({{'f', "1", "pa"}, {'f', "1", "pa"}});
  CHECK(rig.events() == "alarm:1:collision alarm:1:collision ");
}

TEST_CASE("redis state: what is sent again is no news") {
  Rig rig;
  rig.collect({{'f', "1", "po", event::flag_duplicate}});
  CHECK(rig.state.updates().empty());
  CHECK(rig.state.events().empty());
}

TEST_CASE("redis state: only the kinds of events that are wanted") {
  Rig rig({.alarms = false, .sessions = false, .media = true, .positions = true});
  rig.collect({{'f', "1", "po"}, {'s', "1", "+"}, {'m', "1", "m"}, {'f', "1", "l"}});
  CHECK(rig.events() == "position:1: media:1:b1 position:1: ");
}
