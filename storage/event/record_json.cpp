#include "storage/event/record_json.hpp"

#include <fmt/format.h>

#include "engine/base/json_scan.hpp"
#include "engine/observe/log_format.hpp"

namespace ringgate::event {

namespace {

void add_time(std::string_view key, WallUs at_us, JsonWriter& json) {
  json.key(key);
  if (at_us <= 0) {
    json.null();
    return;
  }
  char text[observe::time_text_size];
  observe::format_time(text, at_us);
  json.text({text, sizeof text});
}

bool has_message(const RecordView& record) {
  return is_frame(record) || record.kind == RecordKind::command ||
         (record.kind == RecordKind::media && record.message != 0);
}

// Writes "positions" and "alarms", each only where there is one. Positions come first.
class RowWriter final : public RowVisitor {
 public:
  explicit RowWriter(JsonWriter& json) : json_(json) {}

  void position(const PositionRow& row) override {
    begin(List::positions, "positions");
    json_.begin_object();
    add_time("time", row.device_time_us, json_);
    json_.key("latitude_deg").number(row.latitude_deg, 6);
    json_.key("longitude_deg").number(row.longitude_deg, 6);
    optional("altitude_m", row.altitude_m, 0);
    optional("speed_kmh", row.speed_kmh, 1);
    optional("heading_deg", row.heading_deg, 0);
    optional("odometer_km", row.odometer_km, 1);
    json_.key("alarm_bits").unsigned_integer(row.alarm_bits);
    json_.key("status_bits").unsigned_integer(row.status_bits);
    json_.key("fixed").boolean(row.fixed);
    if (row.late) json_.key("late").boolean(true);
    json_.end_object();
  }

  void alarm(const AlarmRow& row) override {
    begin(List::alarms, "alarms");
    json_.begin_object();
    json_.key("type").text(row.type);
    json_.key("source").text(row.source);
    add_time("time", row.device_time_us, json_);
    if (row.alarm_id != 0) json_.key("alarm_id").unsigned_integer(row.alarm_id);
    if (row.level != 0) json_.key("level").unsigned_integer(row.level);
    json_.end_object();
  }

  void end() { begin(List::none, {}); }

 private:
  enum class List : std::uint8_t { none, positions, alarms };

  void optional(std::string_view key, double value, int decimals) {
    if (value == value) json_.key(key).number(value, decimals);  // no_value is not itself
  }
  void begin(List list, std::string_view key) {
    if (list == open_) return;
    if (open_ != List::none) json_.end_array();
    open_ = list;
    if (list != List::none) json_.key(key).begin_array();
  }

  JsonWriter& json_;
  List open_ = List::none;
};

bool is_object(std::string_view text) {
  return scan_json_object(text, "status").error == JsonScan::Error::none;
}

// Of records that say something in JSON.
std::string_view key_of(RecordKind kind) {
  switch (kind) {
    case RecordKind::command:
      return "outcome";
    case RecordKind::media:
      return "blob";
    case RecordKind::audit:
      return "audit";  // {"action":"kick","by":"alice ..."}
    case RecordKind::state:
      return "state";
    default:
      return {};
  }
}

}  // namespace

bool is_frame(const RecordView& record) {
  return record.kind == RecordKind::frame_up || record.kind == RecordKind::frame_down ||
         (record.kind == RecordKind::command && !record.outcome());
}

bool put_said(const RecordView& record, JsonWriter& json) {
  const std::string_view text = as_text(record.payload);
  if (record.kind == RecordKind::session) {
    json.key("text").text(text);  // "online 10.0.0.7:40112", "offline idle"
    return true;
  }
  const std::string_view key = key_of(record.kind);
  if (key.empty() || !is_object(text)) return false;
  json.key(key).raw(text);
  return true;
}

const RecordJson::Names& RecordJson::names(const MessageCatalog* catalog, std::uint16_t message) {
  auto [table, added] = names_.try_emplace(catalog);
  if (added && catalog != nullptr) {
    for (const MessageInfo& info : catalog->list()) {
      table->second.try_emplace(
          info.id, Names{catalog->message_id_text(info.id), std::string(info.name)});
    }
  }
  auto [found, unknown] = table->second.try_emplace(message);
  Names& names = found->second;
  if (unknown) {
    names.id_text =
        catalog != nullptr ? catalog->message_id_text(message) : fmt::format("0x{:04x}", message);
  }
  if (names.name.empty()) names.name = names.id_text;
  return names;
}

std::string_view RecordJson::title(const RecordView& record, const MessageCatalog* catalog) {
  return is_frame(record) || record.kind == RecordKind::command
             ? std::string_view(names(catalog, record.message).name)
             : kind_name(record.kind);
}

std::string_view RecordJson::protocol_name(Namespace ns, const MessageCatalog* catalog) {
  if (catalog != nullptr) return catalog->protocol();
  return ns == Namespace::none ? "node" : "unknown";
}

std::string_view RecordJson::kind_name(RecordKind kind) {
  switch (kind) {
    case RecordKind::frame_up:
      return "frame-up";
    case RecordKind::frame_down:
      return "frame-down";
    case RecordKind::session:
      return "session";
    case RecordKind::command:
      return "command";
    case RecordKind::audit:
      return "audit";
    case RecordKind::media:
      return "media";
    case RecordKind::state:
      return "state";
  }
  return "unknown";
}

void RecordJson::write(std::string_view record_id, std::string_view node, const RecordView& record,
                       const MessageCatalog* catalog, const RecordJsonOptions& options,
                       std::string& out) {
  JsonWriter json(out);
  json.begin_object();
  json.key("record_id").text(record_id);
  json.key("node").text(node);
  add_time("time", record.wall_us, json);
  json.key("received").integer(record.received_us);
  json.key("device").text(record.device);
  json.key("protocol").text(protocol_name(record.ns, catalog));
  json.key("kind").text(kind_name(record.kind));
  if (has_message(record)) {
    const Names& message = names(catalog, record.message);
    json.key("message_id").text(message.id_text);
    json.key("message").text(message.name);
  }
  if (is_frame(record)) {
    json.key("serial").unsigned_integer(record.serial);
    json.key("duplicate").boolean(record.duplicate());
    if (record.whole()) json.key("whole").boolean(true);
    if (options.frame) {
      json.key("frame");
      if (catalog != nullptr) {
        json.hex(catalog->redact(record.payload));
      } else {
        json.hex(record.payload);
      }
    }
    if (options.body && catalog != nullptr) {
      json.key("body");
      catalog->json(record.payload, json);
    }
  } else {
    // State is the node's own.
    if (!record.payload.empty() && record.kind != RecordKind::state) put_said(record, json);
  }
  if (options.positions && catalog != nullptr) {
    RowWriter rows(json);
    catalog->rows(record, rows);
    rows.end();
  }
  json.key("link").text(fmt::format("{:016x}", record.link));
  json.end_object();
}

}  // namespace ringgate::event
