#include "tools/log/export_rows.hpp"

#include <fmt/format.h>

#include <optional>

#include "engine/base/csv_row.hpp"
#include "engine/base/hex.hpp"
#include "engine/base/json_writer.hpp"
#include "tools/log/common.hpp"
#include "tools/log/print.hpp"

namespace ringgate::log_tool {

namespace {

class JsonCells final : public Cells {
 public:
  explicit JsonCells(std::string& out) : out_(out) {}
  void begin() override { json_.emplace(out_).begin_object(); }
  void end() override {
    json_->end_object();
    out_ += '\n';
  }
  void text(std::string_view column, std::string_view value) override {
    if (value.empty()) return static_cast<void>(json_->key(column).null());
    json_->key(column).text(value);
  }
  void hex(std::string_view column, Bytes value) override { json_->key(column).hex(value); }
  void json(std::string_view column, std::string_view value) override {
    if (value.empty()) return static_cast<void>(json_->key(column).null());
    json_->key(column).raw(value);
  }
  void integer(std::string_view column, std::int64_t value) override {
    json_->key(column).integer(value);
  }
  void number(std::string_view column, double value, int decimals) override {
    json_->key(column).number(value, decimals);
  }
  void boolean(std::string_view column, bool value) override { json_->key(column).boolean(value); }
  void time(std::string_view column, WallUs value) override {
    if (value == 0) return static_cast<void>(json_->key(column).null());
    json_->key(column).text(time_text(value));
  }

 private:
  std::string& out_;
  std::optional<JsonWriter> json_;
};

class CsvCells final : public Cells {
 public:
  explicit CsvCells(std::string& out) : out_(out) {}
  void begin() override { row_.emplace(out_); }
  void end() override { row_.reset(); }
  void text(std::string_view, std::string_view value) override { row_->text(value); }
  void hex(std::string_view, Bytes value) override { row_->text(to_hex(value)); }
  void json(std::string_view, std::string_view value) override { row_->text(value); }
  void integer(std::string_view, std::int64_t value) override { row_->integer(value); }
  void number(std::string_view, double value, int decimals) override {
    row_->number(value, decimals);
  }
  void boolean(std::string_view, bool value) override { row_->boolean(value); }
  void time(std::string_view, WallUs value) override {
    if (value == 0) return static_cast<void>(row_->empty());
    row_->text(time_text(value));
  }

 private:
  std::string& out_;
  std::optional<CsvRow> row_;
};

// Writes down what the columns are called.
class NameCells final : public Cells {
 public:
  explicit NameCells(std::string& out) : out_(out) {}
  void begin() override { row_.emplace(out_); }
  void end() override { row_.reset(); }
  void text(std::string_view column, std::string_view) override { row_->text(column); }
  void hex(std::string_view column, Bytes) override { row_->text(column); }
  void json(std::string_view column, std::string_view) override { row_->text(column); }
  void integer(std::string_view column, std::int64_t) override { row_->text(column); }
  void number(std::string_view column, double, int) override { row_->text(column); }
  void boolean(std::string_view column, bool) override { row_->text(column); }
  void time(std::string_view column, WallUs) override { row_->text(column); }

 private:
  std::string& out_;
  std::optional<CsvRow> row_;
};

constexpr int degree_decimals = 6;

// What every row begins with.
void begin(Cells& cells, const RowSource& source) {
  cells.begin();
  cells.text("record_id", fmt::format("{}/{}-{}/{}", source.node, source.stream.run,
                                      source.stream.shard, source.record->header.position));
}

void who_and_when(Cells& cells, const RowSource& source) {
  cells.text("device", source.record->device);
  cells.text("protocol", source.protocol);
  cells.time("received", source.record->wall_us());
}

}  // namespace

std::unique_ptr<Cells> make_cells(RowFormat format, std::string& out) {
  if (format == RowFormat::jsonl) return std::make_unique<JsonCells>(out);
  return std::make_unique<CsvCells>(out);
}

void put_row(Cells& cells, const RowSource& source, const event::PositionRow& row) {
  begin(cells, source);
  cells.integer("sub", row.sub);
  who_and_when(cells, source);
  cells.time("device_time", row.device_time_us);
  cells.number("latitude_deg", row.latitude_deg, degree_decimals);
  cells.number("longitude_deg", row.longitude_deg, degree_decimals);
  cells.number("altitude_m", row.altitude_m, 0);
  cells.number("speed_kmh", row.speed_kmh, 1);
  cells.number("heading_deg", row.heading_deg, 0);
  cells.number("odometer_km", row.odometer_km, 1);
  cells.integer("alarm_bits", row.alarm_bits);
  cells.integer("status_bits", row.status_bits);
  cells.boolean("fixed", row.fixed);
  cells.boolean("late", row.late);
  cells.end();
}

void put_row(Cells& cells, const RowSource& source, const event::AlarmRow& row) {
  begin(cells, source);
  cells.integer("sub", row.sub);
  who_and_when(cells, source);
  cells.time("device_time", row.device_time_us);
  cells.text("type", row.type);
  cells.text("source", row.source);
  cells.integer("alarm_id", row.alarm_id);
  cells.integer("level", row.level);
  cells.number("latitude_deg", row.latitude_deg, degree_decimals);
  cells.number("longitude_deg", row.longitude_deg, degree_decimals);
  cells.number("speed_kmh", row.speed_kmh, 1);
  cells.end();
}

void put_row(Cells& cells, const RowSource& source, const event::SessionRow& row) {
  begin(cells, source);
  who_and_when(cells, source);
  cells.text("what", event::name_of(row.what));
  cells.text("detail", row.detail);
  cells.text("link", fmt::format("{:016x}", source.record->header.link));
  cells.end();
}

void put_row(Cells& cells, const RowSource& source, const event::DeviceRow& row) {
  begin(cells, source);
  who_and_when(cells, source);
  cells.text("plate", row.plate);
  cells.integer("plate_colour", row.plate_colour);
  cells.text("terminal_id", row.terminal_id);
  cells.text("maker", row.maker);
  cells.text("model", row.model);
  cells.text("version", row.version);
  cells.end();
}

void put_row(Cells& cells, const RowSource& source, const event::MediaRow& row) {
  begin(cells, source);
  who_and_when(cells, source);
  cells.time("device_time", row.device_time_us);
  cells.text("blob", row.blob);
  cells.text("name", row.name);
  cells.text("type", row.type);
  cells.integer("size_bytes", static_cast<std::int64_t>(row.size_bytes));
  cells.json("details", row.json);
  cells.end();
}

void put_record(Cells& cells, const RowSource& source, const event::MessageCatalog* catalog) {
  const log::Record& record = *source.record;
  begin(cells, source);
  who_and_when(cells, source);
  cells.text("kind", log::kind_name(record.kind()));
  cells.text("message_id",
             has_message(record) ? message_id_text(catalog, record.header.message) : "");
  cells.integer("serial", record.header.serial);
  cells.boolean("duplicate", record.duplicate());
  cells.boolean("whole", record.whole());
  cells.text("link", fmt::format("{:016x}", record.header.link));
  const bool frame = is_frame(record);
  if (frame && catalog != nullptr) {
    cells.hex("frame", catalog->redact(record.payload));
  } else {
    cells.hex("frame", frame ? record.payload : Bytes{});
  }
  cells.text("text", frame ? std::string_view{} : as_text(record.payload));
  cells.end();
}

void put_header(RowKind kind, std::string& out) {
  NameCells cells(out);
  const log::Record nothing;
  const RowSource source{.node = {}, .stream = {}, .record = &nothing, .protocol = {}};
  switch (kind) {
    case RowKind::positions:
      return put_row(cells, source, event::PositionRow{});
    case RowKind::alarms:
      return put_row(cells, source, event::AlarmRow{});
    case RowKind::sessions:
      return put_row(cells, source, event::SessionRow{});
    case RowKind::devices:
      return put_row(cells, source, event::DeviceRow{});
    case RowKind::media:
      return put_row(cells, source, event::MediaRow{});
    case RowKind::records:
      return put_record(cells, source, nullptr);
  }
}

}  // namespace ringgate::log_tool
