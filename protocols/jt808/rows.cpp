// Neutral rows of JT/T 808 records: storage/event/rows.hpp.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "protocols/jt808/catalog.hpp"
#include "protocols/jt808/codec/ids.hpp"
#include "protocols/jt808/codec/location.hpp"
#include "protocols/jt808/codec/messages.hpp"
#include "protocols/jt808/codec/tables/location_items.hpp"
#include "protocols/jt808/codec/tables/names.hpp"
#include "protocols/jt808/codec/text.hpp"
#include "protocols/jt808/codec/values.hpp"
#include "protocols/jt808/codec/walk.hpp"
#include "protocols/jt808/codec/whole.hpp"
#include "protocols/jt808/session_events.hpp"

namespace ringgate::jt808 {

namespace {

using event::AlarmRow;
using event::RecordKind;
using event::RecordView;
using event::RowVisitor;

constexpr std::size_t time_offset = 22;  // of the time in a position

// The body of a message that a record holds as a whole. False: it is no such record, a part, or
// encrypted (where it opened, its whole has a record of its own).
bool open(const RecordView& record, Header& header, Bytes& body) {
  if (record.kind != RecordKind::frame_up) return false;
  if (parse_stored(record.payload, header) != BadReason::none) return false;
  if (header.encrypted() || header.fragment()) return false;
  body = body_of(record.payload, header);
  return true;
}

// The single position of a body: JT/T 808-2013 8.18, 8.20 and 8.34. Empty: there is none.
Bytes single_position(std::uint16_t message, Bytes body) {
  if (message == id::location) return body;
  if (message != id::location_reply && message != id::vehicle_control_reply) return {};
  return body.size() < 2 ? Bytes{} : body.subspan(2);  // behind the serial that it answers
}

bool has_positions(std::uint16_t message) {
  return message == id::location || message == id::location_batch ||
         message == id::location_reply || message == id::vehicle_control_reply;
}

// Calls `each(location, position_body, late)`.
template <class Each>
void each_position(std::uint16_t message, Bytes body, Each&& each) {
  if (message == id::location_batch) {
    if (body.size() < batch_header_size) return;
    const bool late = body[2] == 1;
    for_each_location(body, [&](const Location& location, Bytes position, std::size_t) {
      each(location, position, late);
    });
    return;
  }
  Location location;
  const Bytes position = single_position(message, body);
  if (decode_location(position, location)) each(location, position, false);
}

WallUs time_us(std::int64_t unix_s) { return unix_s == time_invalid ? 0 : unix_s * us_per_s; }

event::PositionRow position_row(const Location& location, std::uint32_t sub, bool late) {
  event::PositionRow row;
  row.sub = sub;
  row.device_time_us = time_us(location.time_unix_s);
  row.latitude_deg = location.latitude_deg_x1e6 / 1e6;
  row.longitude_deg = location.longitude_deg_x1e6 / 1e6;
  row.altitude_m = location.altitude_m;
  row.speed_kmh = location.speed_kmh_x10 / 10.0;
  row.heading_deg = location.heading_deg;
  if (location.has(Item::odometer_km_x10)) {
    row.odometer_km = location.value(Item::odometer_km_x10) / 10.0;
  }
  row.alarm_bits = location.alarm_bits;
  row.status_bits = location.status_bits;
  row.fixed = location.fixed() && (location.flags & Location::coordinates_out_of_range) == 0;
  row.late = late;
  return row;
}

// --- alarms ---

// Items that hold alarms.
constexpr std::uint8_t item_video_alarms = 0x14;  // JT/T 1078-2016 table 14
constexpr std::uint8_t item_adas = 0x64;          // T/JSATL 12-2017 tables 4-15 to 4-21
constexpr std::uint8_t item_tpms = 0x66;
constexpr std::uint8_t item_bsd = 0x67;

// What one item 0x64 to 0x67 says. Shown a walk of the item: an item of a size that no layout has
// is bytes, never an alarm.
class SafetyAlarm final : public Visitor {
 public:
  bool fits = false;
  std::uint32_t alarm_id = 0;
  std::uint8_t phase = 0;
  std::uint8_t type = 0;
  std::uint8_t level = 0;
  std::uint32_t tyre_alarms = 0;  // of all tyres
  double speed_kmh = 0;
  double latitude_deg = 0;  // magnitudes
  double longitude_deg = 0;
  std::int64_t time_unix_s = time_invalid;
  Layout layout = Layout::js;

  void begin_item(const Field&, const ItemSeen& item) override {
    fits = item.fits;
    layout = item.layout;
  }
  // The sign (a group with a name) has a time of its own: that of the files.
  void begin_group(const Field& group) override { inside_ += group.key.empty() ? 0 : 1; }
  void field(const FieldSeen& seen) override {
    if (inside_ != 0) return;
    const std::string_view key = seen.field.key;
    if (key == "alarm_id") alarm_id = static_cast<std::uint32_t>(seen.number);
    if (key == "phase") phase = static_cast<std::uint8_t>(seen.number);
    if (key == "type") type = static_cast<std::uint8_t>(seen.number);
    if (key == "level") level = static_cast<std::uint8_t>(seen.number);
    if (key == "speed_kmh") speed_kmh = static_cast<double>(seen.number);
    if (key == "latitude_deg") latitude_deg = static_cast<double>(seen.number) / 1e6;
    if (key == "longitude_deg") longitude_deg = static_cast<double>(seen.number) / 1e6;
    if (key == "alarms") tyre_alarms |= static_cast<std::uint32_t>(seen.number);
    if (key == "time") time_unix_s = read_time_gmt8(seen.bytes.data());
  }
  void end_group(const Field& group) override { inside_ -= group.key.empty() ? 0 : 1; }

 private:
  int inside_ = 0;
};

Names type_names(std::uint8_t item) {
  if (item == item_adas) return tables::adas_alarm_types;
  return item == item_bsd ? Names(tables::bsd_alarm_types) : Names(tables::dsm_alarm_types);
}

// Hands out the alarms of one position after the other; `sub` counts through.
class AlarmRows {
 public:
  AlarmRows(Version version, RowVisitor& out) : version_(version), out_(out) {}

  void of(const Location& location, Bytes position) {
    AlarmRow row;
    row.device_time_us = time_us(location.time_unix_s);
    row.latitude_deg = location.latitude_deg_x1e6 / 1e6;
    row.longitude_deg = location.longitude_deg_x1e6 / 1e6;
    row.speed_kmh = location.speed_kmh_x10 / 10.0;
    row.source = "alarm-bits";
    const Layout layout = version_ == Version::v2019 ? Layout::v2019 : Layout::v2013;
    bits(row, location.alarm_bits, tables::alarm_bits, layout);
    if (location.other_count == 0) return;
    RawItem item;
    for (std::size_t at = location.other_offset; next_item(position, at, item);) {
      if (item.id == item_video_alarms && item.value.size() == 4) {
        row.source = "video";
        bits(row, load_be32(item.value.data()), tables::video_alarm_bits, layout);
      } else if (item.id >= item_adas && item.id <= item_bsd) {
        safety(row, location.status_bits, item.id,
               position.subspan(item.offset, 2 + item.value.size()));
      }
    }
  }

 private:
  void give(const AlarmRow& alarm) {
    AlarmRow row = alarm;
    row.sub = sub_++;
    out_.alarm(row);
  }
  // A row for every set bit that has a name: the others are reserved.
  void bits(const AlarmRow& alarm, std::uint32_t set, Names names, Layout layout) {
    for (AlarmRow row = alarm; set != 0; set &= set - 1) {
      row.type = value_name(names, static_cast<unsigned>(__builtin_ctz(set)), layout);
      if (!row.type.empty()) give(row);
    }
  }
  void safety(const AlarmRow& position, std::uint32_t status_bits, std::uint8_t id, Bytes item) {
    static constexpr Field one_item[] = {items("items", tables::location_items)};
    SafetyAlarm alarm;
    walk(one_item, Layout::v2013, item, alarm);
    if (!alarm.fits) return;
    AlarmRow row = position;
    row.source = value_name(tables::peripherals, id, alarm.layout);
    row.alarm_id = alarm.alarm_id;
    row.level = alarm.level;
    if (alarm.phase != 0) row.phase = value_name(tables::alarm_phases, alarm.phase, alarm.layout);
    row.speed_kmh = alarm.speed_kmh;
    row.latitude_deg = (status_bits & 4) != 0 ? -alarm.latitude_deg : alarm.latitude_deg;
    row.longitude_deg = (status_bits & 8) != 0 ? -alarm.longitude_deg : alarm.longitude_deg;
    if (alarm.time_unix_s != time_invalid) row.device_time_us = time_us(alarm.time_unix_s);
    if (id == item_tpms) {
      constexpr std::uint32_t periodic_report = 1;  // bit 0 is no alarm
      bits(row, alarm.tyre_alarms & ~periodic_report, tables::tyre_alarm_bits, alarm.layout);
      return;
    }
    row.type = value_name(type_names(id), alarm.type, alarm.layout);
    std::string number;  // of a type that is the vendor's own
    if (row.type.empty()) row.type = number = hex_text(alarm.type, 1);
    give(row);
  }

  Version version_;
  RowVisitor& out_;
  std::uint32_t sub_ = 0;
};

void position_rows(std::uint16_t message, Version version, Bytes body, RowVisitor& out) {
  std::uint32_t sub = 0;
  bool alarms = false;
  each_position(message, body, [&](const Location& location, Bytes, bool late) {
    out.position(position_row(location, sub++, late));
    alarms |= location.alarm_bits != 0 || location.other_count != 0;
  });
  if (!alarms) return;
  AlarmRows rows(version, out);
  each_position(message, body, [&](const Location& location, Bytes position, bool) {
    rows.of(location, position);
  });
}

// --- what terminals say of themselves ---

// Up to the first 00 behind the padding in front; control characters are '?': databases and
// terminals of people take neither.
std::string text_of(Bytes field) {
  field = trimmed(field);
  field = field.first(static_cast<std::size_t>(std::ranges::find(field, 0) - field.begin()));
  std::string text = utf8_from_gbk(field);
  const auto is_control = [](char c) { return (c >= 0 && c < 0x20) || c == 0x7f; };
  std::ranges::replace_if(text, is_control, '?');
  return text;
}

void registration_row(const Header& header, Bytes body, RowVisitor& out) {
  Registration fields;
  if (!decode_registration(header, body, fields)) return;
  const std::string plate = fields.plate_color == 0 ? "" : text_of(fields.plate);
  const std::string terminal_id = text_of(fields.terminal_id);
  const std::string maker = text_of(fields.maker);
  const std::string model = text_of(fields.model);
  event::DeviceRow row{plate, fields.plate_color, terminal_id, maker, model, "2013"};
  if (fields.layout == Registration::Layout::v2011) row.version = "2011";
  if (header.version == Version::v2019) row.version = "2019";
  out.device(row);
}

// Texts of 0x0107, JT/T 808-2019 8.18.
class Attributes final : public Visitor {
 public:
  std::string maker;
  std::string model;
  std::string terminal_id;
  void field(const FieldSeen& seen) override {
    const std::string_view key = seen.field.key;
    std::string* const to = key == "maker"         ? &maker
                            : key == "model"       ? &model
                            : key == "terminal_id" ? &terminal_id
                                                   : nullptr;
    if (to != nullptr) *to = text_of(seen.bytes);
  }
};

void attributes_row(const Header& header, Bytes body, RowVisitor& out) {
  Attributes fields;
  if (!walk_body(*find_message(id::attributes), header.version, body, fields).problem.empty()) {
    return;
  }
  event::DeviceRow row;
  row.terminal_id = fields.terminal_id;
  row.maker = fields.maker;
  row.model = fields.model;
  row.version = header.version == Version::v2019 ? "2019" : "2013";  // 2011 does not have it
  out.device(row);
}

void session_row(const RecordView& record, RowVisitor& out) {
  using What = event::SessionRow::What;
  event::SessionRow row;
  row.detail = as_text(record.payload);
  if (record.message == event_online) row.what = What::online;
  if (record.message == event_offline) {
    const bool logout = row.detail.ends_with(why_logout);
    row.what = logout ? What::logged_out : What::offline;
  }
  out.session(row);
}

// Its JSON is what blob::metadata_json wrote, with "location" where the terminal sent one.
void media_row(const RecordView& record, RowVisitor& out) {
  using Json = nlohmann::json;
  const Json metadata = Json::parse(as_text(record.payload), nullptr, false);
  if (!metadata.is_object()) return;
  const auto text = [&](const char* key) -> std::string_view {
    const auto found = metadata.find(key);
    const auto* value = found == metadata.end() ? nullptr : found->get_ptr<const std::string*>();
    return value == nullptr ? std::string_view{} : *value;
  };
  const auto number = [](const Json& object, const char* key) -> std::int64_t {
    const auto found = object.is_object() ? object.find(key) : object.end();
    return found != object.end() && found->is_number_integer() ? found->get<std::int64_t>() : 0;
  };
  event::MediaRow row;
  row.blob = text("blob");
  if (row.blob.empty()) return;
  row.name = text("name");
  row.type = text("content_type");
  row.size_bytes = static_cast<std::uint64_t>(number(metadata, "size_bytes"));
  if (const auto location = metadata.find("location"); location != metadata.end()) {
    const std::int64_t taken_s = number(*location, "time_unix_s");
    if (taken_s > 0 && taken_s < unix_2100_s) row.device_time_us = taken_s * us_per_s;
  }
  row.json = as_text(record.payload);
  out.media(row);
}

// Widens `out` by the time of one position; false where that is no time.
bool add_time(Bytes position, std::optional<event::DeviceTimes>& out) {
  if (position.size() < location_base_size) return false;
  const std::int64_t unix_s = read_time_gmt8(position.data() + time_offset);
  if (unix_s == time_invalid) return false;
  const WallUs time = unix_s * us_per_s;
  if (!out) {
    out = event::DeviceTimes{time, time};
  } else {
    out->first_us = std::min(out->first_us, time);
    out->last_us = std::max(out->last_us, time);
  }
  return true;
}

}  // namespace

bool Catalog::is_part(const RecordView& record) const {
  if (record.kind != RecordKind::frame_up && record.kind != RecordKind::frame_down) return false;
  if (record.whole() || record.payload.size() < header_size_min) return false;
  if ((load_be16(&record.payload[2]) & attribute_subpackage) == 0) return false;
  Header header;
  return parse_stored(record.payload, header) == BadReason::none && header.fragment();
}

std::optional<event::DeviceTimes> Catalog::device_times(const RecordView& record) const {
  std::optional<event::DeviceTimes> out;
  Header header;
  Bytes body;
  if (!has_positions(record.message) || !open(record, header, body)) return out;
  if (header.message_id != id::location_batch) {
    add_time(single_position(header.message_id, body), out);
    return out;
  }
  for (std::size_t at = batch_header_size; at + 2 <= body.size();) {
    const std::size_t size = load_be16(&body[at]);
    if (at + 2 + size > body.size()) break;
    add_time(body.subspan(at + 2, size), out);
    at += 2 + size;
  }
  return out;
}

void Catalog::rows(const RecordView& record, RowVisitor& out) const {
  if (record.kind == RecordKind::session) return session_row(record, out);
  if (record.kind == RecordKind::media) return media_row(record, out);
  Header header;
  Bytes body;
  if (!open(record, header, body)) return;
  const std::uint16_t message = header.message_id;
  if (has_positions(message)) return position_rows(message, header.version, body, out);
  if (message == id::registration) return registration_row(header, body, out);
  if (message == id::attributes) return attributes_row(header, body, out);
}

}  // namespace ringgate::jt808
