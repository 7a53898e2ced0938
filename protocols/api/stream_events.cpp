#include "protocols/api/stream_events.hpp"

#include <fmt/format.h>

#include <cmath>

#include "engine/observe/log_format.hpp"

namespace ringgate::api {

namespace {

void put_time(std::string_view key, WallUs at_us, JsonWriter& json) {
  json.key(key);
  if (at_us <= 0) {
    json.null();
    return;
  }
  char text[observe::time_text_size];
  observe::format_time(text, at_us);
  json.text({text, sizeof text});
}

void put_known(std::string_view key, double value, int decimals, JsonWriter& json) {
  if (!std::isnan(value)) json.key(key).number(value, decimals);
}

void put_known(std::string_view key, std::string_view value, JsonWriter& json) {
  if (!value.empty()) json.key(key).text(value);
}

}  // namespace

// All events of a record: one object that is filled again and again.
class EventSource::Rows final : public Event, public event::RowVisitor {
 public:
  Rows(const event::MessageCatalog* catalog, event::RecordJson& names, const std::string& node)
      : catalog_(catalog), names_(names), node_(node) {}

  void begin(const query::Found& found, const event::RecordView& record, const DeviceKey& device,
             EventTaker& taker, FeedListener* listener) {
    found_ = &found;
    record_ = &record;
    taker_ = &taker;
    listener_ = listener;
    common_.clear();
    facts_ = {};
    facts_.device = device;
    facts_.message = record.message;
    facts_.has_message = event::is_frame(record) || record.kind == event::RecordKind::command ||
                         (record.kind == event::RecordKind::media && record.message != 0);
    place_known_ = false;
  }

  void position(const event::PositionRow& row) override {
    if (listener_ != nullptr) listener_->on_position(facts_.device, row, record_->received_us);
    if (!place_known_) {
      place_known_ = true;
      latitude_deg_ = row.latitude_deg;
      longitude_deg_ = row.longitude_deg;
    }
    set_place(true, row.latitude_deg, row.longitude_deg);
    offer(EventType::position, [&row](JsonWriter& json) { put(row, json); });
  }
  void alarm(const event::AlarmRow& row) override {
    if (listener_ != nullptr) listener_->on_alarm(facts_.device, row, record_->received_us);
    set_place(!std::isnan(row.latitude_deg) && !std::isnan(row.longitude_deg), row.latitude_deg,
              row.longitude_deg);
    facts_.alarm = row.type;
    offer(EventType::alarm, [&row](JsonWriter& json) { put(row, json); });
    facts_.alarm = {};
  }
  void session(const event::SessionRow& row) override {
    if (listener_ != nullptr) listener_->on_session(facts_.device, row, record_->received_us);
    set_place(false, 0, 0);
    offer(EventType::session, [&row](JsonWriter& json) {
      json.key("what").text(name_of(row.what));
      json.key("text").text(row.detail);
    });
  }
  void device(const event::DeviceRow& row) override {
    if (listener_ != nullptr) listener_->on_device(facts_.device, row, record_->received_us);
    set_place(false, 0, 0);
    offer(EventType::device, [&row](JsonWriter& json) {
      put_known("plate", row.plate, json);
      if (row.plate_colour != 0) json.key("plate_colour").unsigned_integer(row.plate_colour);
      put_known("terminal_id", row.terminal_id, json);
      put_known("maker", row.maker, json);
      put_known("model", row.model, json);
      put_known("version", row.version, json);
    });
  }
  void media(const event::MediaRow& row) override {
    set_place(false, 0, 0);
    offer(EventType::media, [&row](JsonWriter& json) {
      json.key("blob").text(row.blob);
      put_known("name", row.name, json);
      put_known("media_type", row.type, json);
      json.key("size_bytes").unsigned_integer(row.size_bytes);
      put_time("time", row.device_time_us, json);
    });
  }

  // What a record is, besides its rows.
  void itself() {
    if (record_->kind == event::RecordKind::command) {
      set_place(false, 0, 0);
      offer(EventType::command, [this](JsonWriter& json) {
        const auto& names = names_.names(catalog_, record_->message);
        json.key("message_id").text(names.id_text);
        json.key("message").text(names.name);
        json.key("phase").text(record_->outcome() ? "outcome" : "intent");
        if (record_->outcome()) event::put_said(*record_, json);
      });
      return;
    }
    const bool frame = record_->kind == event::RecordKind::frame_up ||
                       record_->kind == event::RecordKind::frame_down;
    if (!frame || (catalog_ != nullptr && catalog_->is_part(*record_))) return;
    set_place(place_known_, latitude_deg_, longitude_deg_);
    offer(EventType::message, [this](JsonWriter& json) {
      const auto& names = names_.names(catalog_, record_->message);
      json.key("direction").text(record_->kind == event::RecordKind::frame_up ? "up" : "down");
      json.key("message_id").text(names.id_text);
      json.key("message").text(names.name);
      json.key("serial").unsigned_integer(record_->serial);
      json.key("duplicate").boolean(record_->duplicate());
    });
  }

  std::string_view json(bool decode) override {
    const bool decodes = decode && facts_.type == EventType::message && catalog_ != nullptr;
    std::string& out = decodes ? decoded_ : plain_;
    if (!out.empty()) return out;
    out.append(R"({"type":")").append(event_type_names[static_cast<std::size_t>(facts_.type)]);
    out.append(common());
    std::string more;
    JsonWriter writer(more);
    writer.begin_object();
    put_more_(*this, writer);
    if (decodes) {
      writer.key("body");
      catalog_->json(record_->payload, writer);
    }
    writer.end_object();
    if (more.size() > 2) out.append(",").append(more, 1);
    else out.append("}");
    return out;
  }

 private:
  template <class Put>
  void offer(EventType type, const Put& put) {
    facts_.type = type;
    plain_.clear();
    decoded_.clear();
    put_ = &put;
    put_more_ = [](Rows& self, JsonWriter& json) { (*static_cast<const Put*>(self.put_))(json); };
    taker_->take(*this);
    put_ = nullptr;
  }
  void set_place(bool has, double latitude_deg, double longitude_deg) {
    facts_.has_place = has;
    facts_.latitude_deg = latitude_deg;
    facts_.longitude_deg = longitude_deg;
  }
  // What all events of the record begin with, behind their type.
  const std::string& common() {
    if (!common_.empty()) return common_;
    const log::StreamId& stream = found_->stream;
    common_ = fmt::format(R"(","record":"{}/{}-{}/{}","device":)", node_, stream.run, stream.shard,
                          found_->record.header.position);
    JsonWriter json(common_);
    json.text(record_->device);
    char text[observe::time_text_size];
    observe::format_time(text, record_->wall_us);
    common_.append(R"(,"received":")").append(text, sizeof text).append("\"");
    return common_;
  }
  static void put(const event::PositionRow& row, JsonWriter& json) {
    json.key("sub").unsigned_integer(row.sub);
    put_time("time", row.device_time_us, json);
    json.key("latitude_deg").number(row.latitude_deg, 6);
    json.key("longitude_deg").number(row.longitude_deg, 6);
    put_known("altitude_m", row.altitude_m, 0, json);
    put_known("speed_kmh", row.speed_kmh, 1, json);
    put_known("heading_deg", row.heading_deg, 0, json);
    put_known("odometer_km", row.odometer_km, 1, json);
    json.key("alarm_bits").unsigned_integer(row.alarm_bits);
    json.key("status_bits").unsigned_integer(row.status_bits);
    json.key("fixed").boolean(row.fixed);
    if (row.late) json.key("late").boolean(true);
  }
  static void put(const event::AlarmRow& row, JsonWriter& json) {
    json.key("sub").unsigned_integer(row.sub);
    put_time("time", row.device_time_us, json);
    json.key("alarm").text(row.type);
    put_known("phase", row.phase, json);
    json.key("source").text(row.source);
    if (row.level != 0) json.key("level").unsigned_integer(row.level);
    if (row.alarm_id != 0) json.key("alarm_id").unsigned_integer(row.alarm_id);
    put_known("latitude_deg", row.latitude_deg, 6, json);
    put_known("longitude_deg", row.longitude_deg, 6, json);
    put_known("speed_kmh", row.speed_kmh, 1, json);
  }

  const event::MessageCatalog* catalog_;
  event::RecordJson& names_;
  const std::string& node_;
  const query::Found* found_ = nullptr;
  const event::RecordView* record_ = nullptr;
  EventTaker* taker_ = nullptr;
  FeedListener* listener_ = nullptr;
  std::string common_;
  std::string plain_;
  std::string decoded_;
  const void* put_ = nullptr;  // what writes the members of the present event
  void (*put_more_)(Rows&, JsonWriter&) = nullptr;
  bool place_known_ = false;
  double latitude_deg_ = 0;
  double longitude_deg_ = 0;
};

EventSource::EventSource(const event::CatalogSet& catalogs, Namespace ns, const log::NodeId& node)
    : catalog_(catalogs.find(ns)), ns_(ns), node_text_(log::to_text(node)),
      rows_(std::make_unique<Rows>(catalog_, names_, node_text_)) {}

EventSource::~EventSource() = default;

void EventSource::read(const query::Found& found, EventTaker& taker, FeedListener* listener) {
  const event::RecordView record = found.record.view();
  if (record.ns != ns_ || !DeviceKey::fits(record.device)) return;
  if (record.kind == event::RecordKind::audit || record.kind == event::RecordKind::state) return;
  const DeviceKey device(record.ns, record.device);
  if (listener == nullptr && !taker.wants(device)) return;
  rows_->begin(found, record, device, taker, listener);
  if (catalog_ != nullptr) catalog_->rows(record, *rows_);
  rows_->itself();
}

}  // namespace ringgate::api
