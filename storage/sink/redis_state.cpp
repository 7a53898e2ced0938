#include "storage/sink/redis_state.hpp"

#include <fmt/format.h>

#include <cmath>
#include <utility>

namespace ringgate::sink {

namespace {

template <class Fields>
void add(Fields& fields, std::string_view name, std::string value) {
  fields.emplace_back(name, std::move(value));
}

template <class Fields>
void add_real(Fields& fields, std::string_view name, double value, int decimals) {
  if (!std::isnan(value)) add(fields, name, fmt::format("{:.{}f}", value, decimals));
}

template <class Fields>
void add_text(Fields& fields, std::string_view name, std::string_view value) {
  if (!value.empty()) add(fields, name, std::string(value));
}

}  // namespace

// Takes the rows of one record.
class RedisState::Rows final : public event::RowVisitor {
 public:
  Rows(RedisState& state, DeviceUpdate& update, const Batch& batch, const Item& item)
      : state_(state), update_(update), batch_(batch), item_(item) {}

  void position(const event::PositionRow& row) override {
    if (state_.events_.positions) position_event(row);
    if (row.late) return;
    update_.has_position = has_position_ = true;
    update_.newest = row;
    // Without a fix the place is the last one, or zero: what is known better stays.
    if (!row.fixed) return;
    update_.has_place = true;
    update_.place = row;
  }

  void alarm(const event::AlarmRow& row) override {
    add_comma(alarms_, row.type);
    const bool lasts = row.source == "alarm-bits";
    if (lasts) now_.insert(std::string(row.type));
    if (!state_.events_.alarms || (lasts && !is_new(row.type))) return;
    auto& fields = event("alarm", row.device_time_us, row.sub);
    add_text(fields, "type", row.type);
    add_text(fields, "source", row.source);
    if (row.alarm_id != 0) add(fields, "alarm_id", fmt::format("{}", row.alarm_id));
    if (row.level != 0) add(fields, "level", fmt::format("{}", row.level));
    add_real(fields, "latitude", row.latitude_deg, 6);
    add_real(fields, "longitude", row.longitude_deg, 6);
    add_real(fields, "speed_kmh", row.speed_kmh, 1);
  }

  void session(const event::SessionRow& row) override {
    using What = event::SessionRow::What;
    if (row.what == What::online || row.what == What::offline || row.what == What::logged_out) {
      update_.session_us = item_.view.received_us;
      update_.offline = row.what != What::online;
      update_.session = row.detail;
    }
    if (!state_.events_.sessions) return;
    auto& fields = event("session", item_.view.wall_us, 0);
    add_text(fields, "what", name_of(row.what));
    add_text(fields, "detail", row.detail);
  }

  void device(const event::DeviceRow& row) override {
    const auto keep = [](std::string& place, std::string_view said) {
      if (!said.empty()) place = said;
    };
    update_.has_description = true;
    keep(update_.plate, row.plate);
    keep(update_.terminal_id, row.terminal_id);
    keep(update_.maker, row.maker);
    keep(update_.model, row.model);
    keep(update_.version, row.version);
    if (row.plate_colour != 0) update_.plate_colour = row.plate_colour;
  }

  void media(const event::MediaRow& row) override {
    if (!state_.events_.media) return;
    auto& fields = event("media", row.device_time_us, 0);
    add_text(fields, "blob", row.blob);
    add_text(fields, "name", row.name);
    add_text(fields, "type", row.type);
    add(fields, "size_bytes", fmt::format("{}", row.size_bytes));
  }

  void finish() {
    if (!has_position_) return;
    update_.alarms = std::move(alarms_);
    if (now_.empty() && state_.alarmed_.empty()) return;
    const std::string& key = state_.key_of(update_.protocol, update_.device);
    if (now_.empty()) {
      state_.alarmed_.erase(key);
    } else {
      if (state_.alarmed_.size() >= alarmed_devices_max) state_.alarmed_.clear();
      state_.alarmed_[key] = std::move(now_);
    }
  }

 private:
  static void add_comma(std::string& list, std::string_view word) {
    if (!list.empty()) list += ',';
    list += word;
  }
  bool is_new(std::string_view type) const {
    const auto found = state_.alarmed_.find(state_.key_of(update_.protocol, update_.device));
    return found == state_.alarmed_.end() || !found->second.contains(std::string(type));
  }
  std::vector<std::pair<std::string_view, std::string>>& event(std::string_view kind,
                                                               WallUs time_us,
                                                               std::uint32_t sub) {
    auto& fields = state_.found_.emplace_back().fields;
    add(fields, "kind", std::string(kind));
    add(fields, "protocol", update_.protocol);
    add(fields, "device", update_.device);
    add(fields, "node", std::string(batch_.node_name));
    add(fields, "time_us", fmt::format("{}", time_us));
    add(fields, "received_us", fmt::format("{}", item_.view.received_us));
    add(fields, "record_id", log::record_id(batch_.node, item_.stream, item_.position));
    if (sub != 0) add(fields, "sub", fmt::format("{}", sub));
    return fields;
  }
  void position_event(const event::PositionRow& row) {
    auto& fields = event("position", row.device_time_us, row.sub);
    add_real(fields, "latitude", row.latitude_deg, 6);
    add_real(fields, "longitude", row.longitude_deg, 6);
    add_real(fields, "speed_kmh", row.speed_kmh, 1);
    add_real(fields, "heading_deg", row.heading_deg, 0);
    add(fields, "alarm_bits", fmt::format("{}", row.alarm_bits));
    add(fields, "status_bits", fmt::format("{}", row.status_bits));
    add(fields, "fixed", row.fixed ? "1" : "0");
    if (row.late) add(fields, "late", "1");
  }

  RedisState& state_;
  DeviceUpdate& update_;
  const Batch& batch_;
  const Item& item_;
  bool has_position_ = false;
  std::string alarms_;
  std::unordered_set<std::string> now_;
};

// Valid until the next call.
const std::string& RedisState::key_of(std::string_view protocol, std::string_view device) {
  key_.assign(protocol).append(1, ':').append(device);
  return key_;
}

DeviceUpdate& RedisState::update_of(const Item& item) {
  const std::string_view protocol = item.catalog->protocol();
  const auto [place, added] =
      index_.try_emplace(key_of(protocol, item.view.device), updates_.size());
  if (added) {
    DeviceUpdate& update = updates_.emplace_back();
    update.protocol = protocol;
    update.device = item.view.device;
  }
  return updates_[place->second];
}

void RedisState::take(const Batch& batch, const Item& item) {
  using event::RecordKind;
  if (item.catalog == nullptr || item.view.device.empty()) return;
  const RecordKind kind = item.view.kind;
  if (kind != RecordKind::frame_up && kind != RecordKind::session && kind != RecordKind::media) {
    return;
  }
  // What was sent again was told before: by then it may be old news.
  if (item.view.duplicate()) return;
  DeviceUpdate& update = update_of(item);
  if (kind == RecordKind::frame_up) update.received_us = item.view.received_us;
  Rows rows(*this, update, batch, item);
  item.catalog->rows(item.view, rows);
  rows.finish();
}

void RedisState::collect(const Batch& batch) {
  updates_.clear();
  index_.clear();
  found_.clear();
  for (const Item& item : batch.items) take(batch, item);
}

}  // namespace ringgate::sink
