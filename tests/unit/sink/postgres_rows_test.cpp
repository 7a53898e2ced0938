// Rows as COPY BINARY and as values of statements: bytes as PostgreSQL's manual has them
// (https://www.postgresql.org/docs/15/sql-copy.html, "Binary Format"), which sides of a day, which
// part of a batch.
#include "storage/sink/postgres_rows.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <map>

using namespace ringgate;
using namespace ringgate::sink;

namespace {

constexpr WallUs day = 86'400LL * us_per_s;
// 2000-01-11: ten days after the epoch of PostgreSQL's timestamps.
constexpr WallUs received = 946'684'800LL * us_per_s + 10 * day;

// A record's payload names its rows: p a position of its arrival, P one of 401 days before, F one
// of 3 days ahead, 0 one without a time; a alarm, s session, d device, D the same with another
// plate, m media.
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
    event::PositionRow at{.sub = 3,
                          .device_time_us = received + 1,
                          .latitude_deg = 1,
                          .longitude_deg = -2,
                          .speed_kmh = 0.5,
                          .alarm_bits = 0x80000001,
                          .fixed = true};
    for (const char letter : as_text(record.payload)) {
      if (letter == 'P') at.device_time_us = received - 401 * day;
      if (letter == 'F') at.device_time_us = received + 3 * day;
      if (letter == '0') at.device_time_us = 0;
      if (std::string_view("pPF0").find(letter) != std::string_view::npos) out.position(at);
      if (letter == 'a') {
        out.alarm({.sub = 1, .type = "x", .phase = "end", .source = "y", .level = 2});
      }
      if (letter == 's') out.session({event::SessionRow::What::offline, "idle"});
      if (letter == 'd') out.device({.plate = "A", .plate_colour = 2});
      if (letter == 'D') out.device({.plate = "B"});
      if (letter == 'm') out.media({.blob = "b", .size_bytes = 5});
    }
  }
};

struct Made {
  std::string device;
  std::string rows;
};

// A batch of these, by number as position, in one stream.
class Batches {
 public:
  explicit Batches(std::vector<Made> made) : made_(std::move(made)) {
    for (std::size_t i = 0; i < made_.size(); ++i) {
      Item& item = items_.emplace_back();
      item.stream = {0x01020304, 5};
      item.position = 0x100 + i;
      item.view.ns = Namespace::phone;
      item.view.received_us = received;
      item.view.device = made_[i].device;
      item.view.payload = as_bytes(made_[i].rows);
      item.catalog = &catalog_;
    }
    for (std::size_t i = 0; i < node_.size(); ++i) node_[i] = static_cast<std::uint8_t>(0xa0 + i);
  }
  PostgresRows rows(std::size_t part = 0, std::size_t parts = 1, bool split_other = false) const {
    PostgresRows rows;
    rows.fill({"node", node_, items_, cursor_}, part, parts, split_other);
    return rows;
  }

 private:
  static Bytes as_bytes(const std::string& text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
  }

  Catalog catalog_;
  std::vector<Made> made_;
  std::vector<Item> items_;
  log::NodeId node_{};
  log::Cursor cursor_;
};

std::string hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) out += fmt::format("{:02x}", static_cast<std::uint8_t>(c));
  return out;
}

// "0013 00000010 a0a1.." without its blanks.
std::string packed(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c != ' ') out += c;
  }
  return out;
}

constexpr std::string_view signature = "5047434f50590aff0d0a00 00000000 00000000";
// node, run, shard, position, sub, namespace, device "dev", received.
std::string key(std::string_view columns, std::string_view sub) {
  return fmt::format("{} 00000010 a0a1a2a3a4a5a6a7a8a9aaabacadaeaf 00000004 01020304 00000002 0005 "
                     "00000008 0000000000000100 00000004 {} 00000002 {:04x} 00000003 646576 "
                     "00000008 000000c92a69c000", columns, sub,
                     static_cast<unsigned>(Namespace::phone));
}

}  // namespace

TEST_CASE("a position, byte by byte") {
  const PostgresRows rows = Batches(std::vector<Made>{{"dev", "p"}}).rows();
  const std::string row =
      key("0013", "00000003") +
      "00000008 000000c92a69c001"  // device_time: ten days and a microsecond since 2000
      "00000008 3ff0000000000000"  // latitude 1
      "00000008 c000000000000000"  // longitude -2
      "ffffffff"                   // no altitude
      "00000008 3fe0000000000000"  // 0.5 km/h
      "ffffffff ffffffff"          // no heading, no odometer
      "00000008 0000000080000001"  // all 32 alarm bits are positive
      "00000008 0000000000000000"
      "00000001 01 00000001 00";
  CHECK(hex(rows.copy(Table::positions)) ==
        packed(fmt::format("{}{}ffff", signature, row)));
  CHECK(hex(rows.tuple(Table::positions, 0)) == packed(row));
  CHECK(rows.rows(Table::positions) == 1);
  CHECK(rows.rows() == 1);
  CHECK(rows.days() == std::set<std::int64_t>{10'957 + 10});
  CHECK(hex(rows.copy(Table::alarms)) == packed(fmt::format("{}ffff", signature)));
}

TEST_CASE("alarms, sessions, devices and media, byte by byte") {
  const PostgresRows rows = Batches(std::vector<Made>{{"dev", "asdm"}}).rows();
  CHECK(hex(rows.tuple(Table::alarms, 0)) ==
        packed(key("0011", "00000001") +
               "00000008 000000c92a69c000 00000001 78 00000001 79 00000008 0000000000000000"
               "00000002 0002 ffffffff ffffffff ffffffff 00000003 656e64"));
  CHECK(hex(rows.tuple(Table::sessions, 0)) ==
        packed(key("000a", "00000000") + "00000007 6f66666c696e65 00000004 69646c65"));
  CHECK(hex(rows.tuple(Table::devices, 0)) ==
        packed(key("000e", "00000000") +
               "00000001 41 00000002 0002 00000000 00000000 00000000 00000000"));
  CHECK(hex(rows.tuple(Table::media, 0)) ==
        packed(key("000e", "00000000") +
               "00000008 000000c92a69c000 00000001 62 00000000 00000000"
               "00000008 0000000000000005 00000000"));
  CHECK(rows.rows() == 4);
}

TEST_CASE("text that PostgreSQL does not take becomes U+FFFD, and nothing else changes") {
  const auto clean = [](std::string_view text) {
    std::string out;
    append_clean(out, text);
    return out;
  };
  CHECK(clean("粤B12345 ü 😀") == "粤B12345 ü 😀");
  CHECK(clean(std::string_view("a\0b", 3)) == "a\xef\xbf\xbd" "b");
  CHECK(clean("\xff") == "\xef\xbf\xbd");
  CHECK(clean("\xc0\xaf") == "\xef\xbf\xbd\xef\xbf\xbd");              // longer than needed
  CHECK(clean("\xed\xa0\x80") == "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");  // a surrogate
  CHECK(clean("\xf4\x90\x80\x80").size() == 12);                       // beyond U+10FFFF
  CHECK(clean("x\xe7\xb2") == "x\xef\xbf\xbd\xef\xbf\xbd");            // cut off
  CHECK(clean("").empty());
}

TEST_CASE("a time that the device has not, or can't have, is that of the arrival") {
  const PostgresRows rows = Batches(std::vector<Made>{{"dev", "0"}}).rows();
  CHECK(hex(rows.tuple(Table::positions, 0)).find("00000008000000c92a69c000" "000000083ff0") !=
        std::string::npos);
}

TEST_CASE("wrong clocks: other days stand apart where it is asked for") {
  const Batches batch(std::vector<Made>{{"dev", "pPF"}});
  const PostgresRows together = batch.rows();
  CHECK(together.rows(Table::positions) == 3);
  CHECK(together.rows(Table::positions_other) == 0);
  CHECK(together.days().size() == 3);
  const PostgresRows apart = batch.rows(0, 1, true);
  CHECK(apart.rows(Table::positions) == 1);
  CHECK(apart.rows(Table::positions_other) == 2);
  CHECK(apart.days().size() == 1);
}

TEST_CASE("parts: each record in one of them, and a device's all in the same, in their order") {
  std::vector<Made> made;
  for (int i = 0; i < 400; ++i) made.push_back({fmt::format("d{:02}", i % 40), "p"});
  const Batches batch(made);
  constexpr std::size_t parts = 4;
  // Behind the count, node, run and shard: the position; behind sub and namespace: the device.
  constexpr std::size_t position_at = 2 + 20 + 8 + 6 + 4;
  constexpr std::size_t device_at = position_at + 8 + 8 + 6 + 4;
  std::map<std::string, std::size_t> part_of;
  std::size_t rows = 0;
  for (std::size_t part = 0; part < parts; ++part) {
    const PostgresRows some = batch.rows(part, parts);
    CHECK(some.rows(Table::positions) > 0);
    std::map<std::string, std::string> last;
    for (std::size_t row = 0; row < some.rows(Table::positions); ++row, ++rows) {
      const std::string_view tuple = some.tuple(Table::positions, row);
      const std::string position(tuple.substr(position_at, 8));
      const std::string device(tuple.substr(device_at, 3));
      REQUIRE(device[0] == 'd');
      CHECK(part_of.emplace(device, part).first->second == part);
      CHECK(last[device] < position);
      last[device] = position;
    }
  }
  CHECK(rows == 400);
  CHECK(part_of.size() == 40);
}

TEST_CASE("devices as statements come by name, each device's in their order") {
  const Batches batch(std::vector<Made>{{"zed", "d"}, {"abc", "d"}, {"abc", "D"}});
  const PostgresRows rows = batch.rows();
  REQUIRE(rows.rows(Table::devices) == 3);
  CHECK(rows.tuple(Table::devices, 0).find("abc") != std::string_view::npos);
  CHECK(hex(rows.tuple(Table::devices, 0)).find("0000000141") != std::string::npos);
  CHECK(hex(rows.tuple(Table::devices, 1)).find("0000000142") != std::string::npos);
  CHECK(rows.tuple(Table::devices, 2).find("zed") != std::string_view::npos);
}

TEST_CASE("rows of a batch before are forgotten") {
  PostgresRows rows = Batches(std::vector<Made>{{"dev", "pasdm"}}).rows();
  const Batches empty{std::vector<Made>{}};
  rows = empty.rows();
  CHECK(rows.rows() == 0);
  CHECK(rows.days().empty());
}
