// GET /api/v1/alarms and /api/v1/devices/{id}/alarms.
#include "protocols/api/alarms.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <memory>
#include <optional>

#include "engine/base/json_writer.hpp"
#include "engine/base/time_text.hpp"
#include "protocols/api/asked.hpp"
#include "protocols/api/place.hpp"
#include "protocols/api/plane.hpp"
#include "protocols/api/query_pool.hpp"
#include "protocols/api/routes.hpp"

namespace ringgate::api {

// The joiner --------------------------------------------------------------------------------------

void AlarmJoiner::make_room() {
  if (open_.size() < alarms_open_max) return;
  const auto oldest = std::ranges::min_element(
      open_, {}, [](const auto& one) { return one.second.alarm.last_us; });
  tell_(oldest->second.alarm);
  open_.erase(oldest);
}

void AlarmJoiner::seen(const Message& message, std::size_t index, bool late) {
  const Alarm& row = message.alarms[index];
  const std::string_view phase = message.phases[index];
  const WallUs at = row.start_us;
  Key key(message.device, late, row.source, row.type, row.alarm_id);
  auto found = open_.find(key);
  const bool lasting = phase.empty() && row.alarm_id == 0;
  if (found == open_.end()) {
    Alarm alarm = row;
    alarm.device = message.device;
    alarm.record_id = message.record_id;
    alarm.messages = 1;
    alarm.last_us = at;
    if (phase == "end") {
      alarm.start_us = 0;
      alarm.end_us = at;
    } else if (!lasting && phase != "start") {
      alarm.end_us = at;  // it happened, and does not last
    }
    if (alarm.end_us != 0) return tell_(alarm);
    make_room();
    open_.emplace(std::move(key), Open{std::move(alarm), lasting});
    return;
  }
  Alarm& alarm = found->second.alarm;
  alarm.last_us = at;
  ++alarm.messages;
  alarm.level = std::max(alarm.level, row.level);
  if (phase != "end") return;
  alarm.end_us = at;
  tell_(alarm);
  open_.erase(found);
}

// A position that does not have them ends those that last.
void AlarmJoiner::close_others(const Message& message, const Position& position) {
  const std::string device(message.device);
  auto at = open_.lower_bound({device, position.late, {}, {}, 0});
  while (at != open_.end() && std::get<0>(at->first) == device &&
         std::get<1>(at->first) == position.late) {
    const Open& one = at->second;
    const bool there = std::ranges::any_of(message.alarms, [&](const Alarm& row) {
      return row.start_us == position.time_us && row.source == one.alarm.source &&
             row.type == one.alarm.type;
    });
    if (!one.lasting || there || position.time_us < one.alarm.last_us) {
      ++at;
      continue;
    }
    at->second.alarm.end_us = position.time_us;
    tell_(one.alarm);
    at = open_.erase(at);
  }
}

void AlarmJoiner::add(const Message& message) {
  std::vector<bool> told(message.alarms.size());
  for (const Position& position : message.positions) {
    for (std::size_t i = 0; i < message.alarms.size(); ++i) {
      if (told[i] || message.alarms[i].start_us != position.time_us) continue;
      told[i] = true;
      seen(message, i, position.late);
    }
    close_others(message, position);
  }
  // With a time of their own.
  const bool late = !message.positions.empty() && message.positions.front().late;
  for (std::size_t i = 0; i < message.alarms.size(); ++i) {
    if (!told[i]) seen(message, i, late);
  }
}

void AlarmJoiner::end() {
  for (const auto& [key, one] : open_) tell_(one.alarm);
  open_.clear();
}

// The query ---------------------------------------------------------------------------------------

namespace {

constexpr std::uint64_t alarms_max = 100'000;
constexpr std::uint64_t alarms_default = 1000;

struct AlarmsAsked {
  query::Selection selection;
  std::string type;
  std::optional<query::Area> area;
  std::uint64_t limit = alarms_default;
};

void put_time(JsonWriter& json, std::string_view name, WallUs time_us) {
  json.key(name);
  if (time_us == 0) return static_cast<void>(json.null());
  json.text(time_text(time_us));
}

void put_alarm(const Alarm& alarm, std::string& out) {
  JsonWriter json(out);
  json.begin_object().key("device").text(alarm.device).key("type").text(alarm.type);
  json.key("source").text(alarm.source);
  if (alarm.alarm_id != 0) json.key("alarm_id").unsigned_integer(alarm.alarm_id);
  if (alarm.level != 0) json.key("level").unsigned_integer(alarm.level);
  put_time(json, "start", alarm.start_us);
  put_time(json, "last", alarm.last_us);
  put_time(json, "end", alarm.end_us);
  json.key("messages").unsigned_integer(alarm.messages);
  if (std::isfinite(alarm.latitude_deg)) json.key("latitude_deg").number(alarm.latitude_deg, 6);
  if (std::isfinite(alarm.longitude_deg)) json.key("longitude_deg").number(alarm.longitude_deg, 6);
  if (std::isfinite(alarm.speed_kmh)) json.key("speed_kmh").number(alarm.speed_kmh, 1);
  json.key("record_id").text(alarm.record_id).end_object();
}

class AlarmsQuery final : public Query, private event::RowVisitor {
 public:
  explicit AlarmsQuery(AlarmsAsked asked)
      : asked_(std::move(asked)), joiner_([this](const Alarm& alarm) { tell(alarm); }) {}

  Result<bool> step(QueryRun& run, QueryHead&, std::string& out) override {
    if (scan_ == nullptr) {
      auto scan = query::Scan::open(run.scan, asked_.selection);
      if (!scan) return scan.error();
      scan_ = std::move(*scan);
      node_ = log::to_text(scan_->node());
      out += "{\"alarms\":[";
    }
    bool more = true;
    query::Found found;
    for (std::uint64_t seen = 1; more && text_.size() < step_bytes && count_ <= asked_.limit;
         ++seen) {
      const auto next = scan_->next(found);
      if (!next) return next.error();
      if (!*next && scan_->paused()) break;
      more = *next;
      if (more) add(found, run);
      constexpr std::uint64_t records_between_looks = 512;
      if (seen % records_between_looks == 0 && run.scan.pause()) break;
    }
    if (!more) joiner_.end();
    const bool full = count_ > asked_.limit;
    out += text_;
    text_.clear();
    if (more && !full) return true;
    out += fmt::format("],\"more\":{}}}", full);
    return false;
  }
  std::uint64_t bytes_read() const override {
    return scan_ == nullptr ? 0 : scan_->stats().bytes_read;
  }

 private:
  void add(const query::Found& found, const QueryRun& run) {
    const event::MessageCatalog* const catalog = run.scan.catalogs.find(found.record.ns());
    if (catalog == nullptr) return;
    message_.positions.clear();
    message_.alarms.clear();
    message_.phases.clear();
    const log::Record& record = found.record;
    catalog->rows(record.view(), *this);
    if (message_.positions.empty() && message_.alarms.empty()) return;
    // Made only where it is needed.
    const std::string id =
        message_.alarms.empty() ? std::string()
                                : record_id(node_, found.stream, record.header.position);
    message_.device = record.device;
    message_.record_id = id;
    message_.received_us = record.header.received_us;
    joiner_.add(message_);
  }
  void position(const event::PositionRow& row) override {
    message_.positions.push_back({row.device_time_us, row.late});
  }
  void alarm(const event::AlarmRow& row) override {
    if (!asked_.type.empty() && row.type != asked_.type) return;
    Alarm& alarm = message_.alarms.emplace_back();
    alarm.type = row.type;
    alarm.source = row.source;
    alarm.alarm_id = row.alarm_id;
    alarm.level = row.level;
    alarm.start_us = row.device_time_us;
    alarm.latitude_deg = row.latitude_deg;
    alarm.longitude_deg = row.longitude_deg;
    alarm.speed_kmh = row.speed_kmh;
    message_.phases.emplace_back(row.phase);
  }
  void tell(const Alarm& alarm) {
    if (asked_.area && !asked_.area->contains(alarm.latitude_deg, alarm.longitude_deg)) return;
    if (++count_ > asked_.limit) return;
    if (count_ > 1) text_ += ',';
    put_alarm(alarm, text_);
  }

  AlarmsAsked asked_;
  AlarmJoiner joiner_;
  AlarmJoiner::Message message_;
  std::unique_ptr<query::Scan> scan_;
  std::string node_;
  std::string text_;
  std::uint64_t count_ = 0;
};

// What both paths ask for besides the device.
void ask_alarms(Plane& plane, const CallPtr& call, AlarmsAsked asked) {
  const auto times = asked_times(*call);
  if (!times || !asked_area(*call, asked.area)) return;
  const auto limit = call->number("limit", alarms_default, 1, alarms_max);
  if (!limit) return;
  asked.limit = *limit;
  asked.type = call->parameter("type").value_or("");
  asked.selection.received_from_us = times->from_us;
  asked.selection.received_to_us = times->to_us;
  asked.selection.add_kind(event::RecordKind::frame_up);
  asked.selection.duplicates = false;
  asked.selection.parts = false;
  plane.ask_log(call, std::make_unique<AlarmsQuery>(std::move(asked)));
}

void list_alarms(Plane& plane, const CallPtr& call) {
  AlarmsAsked asked;
  if (asked_device(plane, *call, asked.selection)) ask_alarms(plane, call, std::move(asked));
}

void device_alarms(Plane& plane, const CallPtr& call) {
  const auto device = plane.device_of(call);
  if (!device) return;
  AlarmsAsked asked;
  asked.selection.devices.push_back(*device);
  ask_alarms(plane, call, std::move(asked));
}

#define RG_ALARM_PARAMETERS                                                              \
  {.name = "from", .doc = from_doc}, {.name = "to", .doc = to_doc},                      \
      {.name = "type", .doc = "Only of this type: overspeed, forward-collision."},       \
      {.name = "area", .doc = area_doc}, {                                               \
    .name = "limit", .doc = "Alarms at most.",                                           \
    .schema = R"({"type":"integer","minimum":1,"maximum":100000,"default":1000})"        \
  }

constexpr Parameter list_parameters[] = {
    {.name = "device", .doc = "Only of this device."},
    RG_ALARM_PARAMETERS,
};
constexpr Parameter device_parameters[] = {
    device_parameter,
    RG_ALARM_PARAMETERS,
};

constexpr std::string_view alarms_schema =
    R"({"type":"object","required":["alarms","more"],"additionalProperties":false,"properties":)"
    R"({"alarms":{"type":"array","items":{"type":"object","required":["device","type","source",)"
    R"("start","last","end","messages","record_id"],"additionalProperties":false,"properties":)"
    R"({"device":{"type":"string"},"type":{"type":"string"},"source":{"type":"string"},)"
    R"("alarm_id":{"type":"integer"},"level":{"type":"integer"},)"
    R"("start":{"type":["string","null"]},"last":{"type":["string","null"]},)"
    R"("end":{"type":["string","null"]},"messages":{"type":"integer"},)"
    R"("latitude_deg":{"type":"number"},"longitude_deg":{"type":"number"},)"
    R"("speed_kmh":{"type":"number"},"record_id":{"type":"string"}}}},)"
    R"("more":{"type":"boolean","description":"there are more than limit"}}})";

constexpr Route routes[] = {
    {.path = "/api/v1/alarms",
     .summary = "Alarms with their start and end, in the order of their ends; those that go on "
                "last.",
     .parameters = list_parameters,
     .response_schema = alarms_schema,
     .run = list_alarms},
    {.path = "/api/v1/devices/{id}/alarms",
     .summary = "Alarms of one device with their start and end.",
     .parameters = device_parameters,
     .response_schema = alarms_schema,
     .run = device_alarms},
};

}  // namespace

const std::span<const Route> alarm_routes = routes;

}  // namespace ringgate::api
