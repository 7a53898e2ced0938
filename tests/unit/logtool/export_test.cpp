// Rows as lines: both formats have the same columns, and CSV keeps RFC 4180.
#include <doctest/doctest.h>

#include "engine/base/json_scan.hpp"
#include "engine/base/csv_row.hpp"
#include "tools/log/export_rows.hpp"

using namespace ringgate;
using namespace ringgate::log_tool;

namespace {

log::Record sample() {
  static const std::string device = "13800138000";
  log::Record record;
  record.header.position = 4096;
  record.header.received_us = 1'795'212'000 * us_per_s;
  record.header.kind = static_cast<std::uint8_t>(log::Kind::session);
  record.header.ns = static_cast<std::uint8_t>(Namespace::phone);
  record.device = device;
  return record;
}

std::vector<std::string> cells(const std::string& line) {
  std::vector<std::string> out(1);
  for (const char letter : line) {
    if (letter == ',') {
      out.emplace_back();
    } else {
      out.back() += letter;
    }
  }
  return out;
}

}  // namespace

TEST_CASE("cells are quoted where they must be, and only there") {
  std::string out;
  {
    CsvRow row(out);
    row.text("plain").text("a,b").text("say \"hi\"").text("two\nlines").text("");
    row.number(1.25, 1).number(event::no_value, 3).integer(-7).boolean(true).empty();
  }
  CHECK(out == "plain,\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\",,1.2,,-7,true,\r\n");
}

TEST_CASE("every kind of row has as many cells as its header, and JSON the same names") {
  const log::Record record = sample();
  const RowSource source{.node = "n", .stream = {3, 1}, .record = &record, .protocol = "jt808"};
  const auto put = [&](RowKind kind, Cells& out) {
    switch (kind) {
      case RowKind::positions:
        return put_row(out, source, event::PositionRow{});
      case RowKind::alarms:
        return put_row(out, source, event::AlarmRow{});
      case RowKind::sessions:
        return put_row(out, source, event::SessionRow{});
      case RowKind::devices:
        return put_row(out, source, event::DeviceRow{});
      case RowKind::media:
        return put_row(out, source, event::MediaRow{});
      case RowKind::records:
        return put_record(out, source, nullptr);
    }
  };
  for (int i = 0; i < 6; ++i) {
    const auto kind = static_cast<RowKind>(i);
    CAPTURE(row_kind_names[i]);
    std::string header;
    put_header(kind, header);
    std::string csv;
    put(kind, *make_cells(RowFormat::csv, csv));
    std::string json;
    put(kind, *make_cells(RowFormat::jsonl, json));
    REQUIRE(header.ends_with("\r\n"));
    REQUIRE(csv.ends_with("\r\n"));
    const auto names = cells(header.substr(0, header.size() - 2));
    const auto values = cells(csv.substr(0, csv.size() - 2));
    CHECK(names.size() == values.size());
    CHECK(values[0] == "n/3-1/4096");
    std::size_t at = 0;
    for (const std::string& name : names) {
      const std::size_t found = json.find("\"" + name + "\":", at);
      CHECK_MESSAGE(found != std::string::npos, name);
      at = found;
    }
    CHECK(scan_json_object(json, "record_id").error == JsonScan::Error::none);
  }
}

TEST_CASE("what was not said is empty in CSV and null in JSON") {
  const log::Record record = sample();
  const RowSource source{.node = "n", .stream = {3, 1}, .record = &record, .protocol = "jt808"};
  event::AlarmRow alarm;
  alarm.type = "overspeed";
  std::string json;
  put_row(*make_cells(RowFormat::jsonl, json), source, alarm);
  CHECK(scan_json_object(json, "device_time").member == "null");
  CHECK(scan_json_object(json, "latitude_deg").member == "null");
  CHECK(scan_json_object(json, "type").member == "\"overspeed\"");
  CHECK(scan_json_object(json, "received").member == "\"2026-11-20T22:00:00.000Z\"");
  std::string csv;
  put_row(*make_cells(RowFormat::csv, csv), source, alarm);
  CHECK(csv == "n/3-1/4096,0,13800138000,jt808,2026-11-20T22:00:00.000Z,,overspeed,,0,0,,,\r\n");
}
