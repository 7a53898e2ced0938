#include "protocols/jt808/gate.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "engine/base/utf8.hpp"
#include "protocols/jt808/codec/body_json.hpp"
#include "protocols/jt808/codec/messages.hpp"
#include "protocols/jt808/json_wall.hpp"

namespace ringgate::jt808 {

namespace {

std::string_view version_name(const LastState& last) {
  switch (last.version) {
    case LastState::v2013:
      // Only a registration tells 2011 from 2013.
      return last.layout_2011 != 0 ? "2011" : "2013";
    case LastState::v2019:
      return "2019";
    default:
      return {};
  }
}

template <class NameOf>
void json_names(std::string_view key, std::uint32_t bits, NameOf&& name_of, JsonWriter& out) {
  out.key(key).begin_array();
  for (unsigned bit = 0; bit < 32; ++bit) {
    if ((bits >> bit & 1) == 0) continue;
    const std::string_view name = name_of(bit);
    out.text(name.empty() ? fmt::format("bit-{}", bit) : std::string(name));
  }
  out.end_array();
}

// The short form: what lists show and filters look at.
void json_position(const LastState& last, JsonWriter& out) {
  if (last.received_us == 0) return;
  json_time("position_time", last.time_unix_s, out);
  out.key("latitude_deg").number(last.latitude_deg_x1e6 / 1e6, 6);
  out.key("longitude_deg").number(last.longitude_deg_x1e6 / 1e6, 6);
  out.key("speed_kmh").number(last.speed_kmh_x10 / 10.0, 1);
  out.key("heading_deg").unsigned_integer(last.heading_deg);
  out.key("alarm_bits").unsigned_integer(last.alarm_bits);
  out.key("status_bits").unsigned_integer(last.status_bits);
}

// Terminals without a fix send zeros, and broken ones places that are not on Earth.
bool on_the_map(const LastState& last) {
  const std::int32_t latitude = last.latitude_deg_x1e6;
  const std::int32_t longitude = last.longitude_deg_x1e6;
  return (latitude != 0 || longitude != 0) && latitude >= -90'000'000 && latitude <= 90'000'000 &&
         longitude >= -180'000'000 && longitude <= 180'000'000;
}

void json_position_names(const LastState& last, JsonWriter& out) {
  if (last.received_us == 0) return;
  constexpr std::uint32_t load_bits = 3U << 8;
  constexpr std::string_view loads[] = {"empty", "half", "reserved", "full"};
  const Version version = last.version == LastState::v2019 ? Version::v2019 : Version::v2013;
  json_wall("position_received", last.received_us, out);
  out.key("altitude_m").integer(last.altitude_m);
  if (last.has_odometer != 0) out.key("odometer_km").number(last.odometer_km_x10 / 10.0, 1);
  json_names("alarms", last.alarm_bits, [&](unsigned bit) { return alarm_name(version, bit); },
             out);
  json_names("status", last.status_bits & ~load_bits,
             [&](unsigned bit) { return status_name(version, bit); }, out);
  out.key("load").text(loads[last.status_bits >> 8 & 3]);
}

void json_registration(const state::RegistrationView& entry, JsonWriter& out) {
  const auto put = [&](std::string_view name, std::string_view value) {
    if (!value.empty()) out.key(name).text(value);
  };
  out.key("registration").begin_object().key("enabled").boolean(entry.enabled);
  put("plate", entry.plate);
  if (entry.plate_colour != 0) out.key("plate_colour").unsigned_integer(entry.plate_colour);
  put("terminal_id", entry.terminal_id);
  put("maker", entry.maker);
  put("model", entry.model);
  put("note", entry.note);
  out.end_object();
}

void json_ban(const state::Ban& ban, JsonWriter& out) {
  json_wall("since", ban.since_us, out);
  json_wall("until", ban.until_us, out);
  out.key("by").text(ban.by);
  out.key("why").text(ban.why);
}

}  // namespace

Gate::Gate(Session& session, net::Links& links, log::Writer& log, device::DeviceTable& devices,
           observe::LogSource& logs)
    : session_(session), oversight_(session.oversight()), links_(links), log_(log),
      devices_(devices), logs_(logs) {}

void Gate::send(const DeviceKey& device, std::shared_ptr<const event::PreparedCommand> command,
                MonoNs wait_ns, std::unique_ptr<event::CommandWaiter> waiter) {
  session_.commands().send(device, std::move(command), wait_ns, std::move(waiter));
}

net::Link* Gate::link_of(const device::Device& device) {
  return device.link.valid() ? links_.find(device.link) : nullptr;
}

void Gate::row(device::Device& device, JsonWriter& out) {
  const LastState& last = device.last_state<LastState>();
  const net::Link* link = link_of(device);
  out.key("phone").text(device.key.id());
  out.key("online").boolean(link != nullptr);
  if (const std::string_view version = version_name(last); !version.empty()) {
    out.key("version").text(version);
  }
  if (link != nullptr) {
    out.key("transport").text(link->datagram ? "udp" : "tcp");
    out.key("peer").text(peer_text(link->peer));
    json_wall("online_since", static_cast<WallUs>(device.online_since_us), out);
  }
  out.key("frames").unsigned_integer(device.frames);
  json_wall("last_heard", static_cast<WallUs>(device.last_heard_us), out);
  out.key("last_heard_us").unsigned_integer(device.last_heard_us);
  json_position(last, out);
  if (oversight_.state->ban_of(device.key, now()) != nullptr) out.key("banned").boolean(true);
}

std::uint32_t Gate::list(std::uint32_t cursor, std::uint32_t limit,
                         std::vector<std::string>& out) {
  const std::uint32_t end = std::min(devices_.size(), cursor + limit);
  for (std::uint32_t slot = cursor; slot < end; ++slot) {
    std::string text;
    JsonWriter json(text);
    json.begin_object();
    row(devices_.at(slot), json);
    json.end_object();
    out.push_back(std::move(text));
  }
  return end == devices_.size() ? 0 : end;
}

std::uint32_t Gate::snapshot(std::uint32_t cursor, std::uint32_t limit,
                             std::vector<event::DeviceSnapshot>& out) {
  const std::uint32_t end = std::min(devices_.size(), cursor + limit);
  for (std::uint32_t slot = cursor; slot < end; ++slot) {
    device::Device& device = devices_.at(slot);
    const LastState& last = device.last_state<LastState>();
    event::DeviceSnapshot& one = out.emplace_back();
    one.key = device.key;
    one.taken_us = now();
    one.last_heard_us = static_cast<WallUs>(device.last_heard_us);
    one.online = link_of(device) != nullptr;
    if (last.received_us != 0) {
      one.position_time_s = last.time_unix_s;
      one.latitude_deg_x1e6 = last.latitude_deg_x1e6;
      one.longitude_deg_x1e6 = last.longitude_deg_x1e6;
      one.alarm_bits = last.alarm_bits;
      one.speed_kmh_x10 = last.speed_kmh_x10;
      one.heading_deg = last.heading_deg;
      one.located = on_the_map(last);
    }
    const auto registration = oversight_.state->registration(device.key);
    if (!registration) continue;
    const std::string_view plate = cut_utf8(registration->plate, one.plate_size_max);
    one.plate_size = static_cast<std::uint8_t>(plate.size());
    std::ranges::copy(plate, one.plate);
  }
  return end == devices_.size() ? 0 : end;
}

void Gate::list_of(std::span<const DeviceKey> devices, std::vector<std::string>& out) {
  for (const DeviceKey& key : devices) {
    std::string& text = out.emplace_back();
    const device::DeviceSlot slot = devices_.find(key);
    if (slot == device::no_device) continue;
    JsonWriter json(text);
    json.begin_object();
    row(devices_.at(slot), json);
    json.end_object();
  }
}

MonoNs Gate::talk(std::vector<event::DeviceTalk>& out) {
  const MonoNs at = links_.shard().now();
  const device::Talkers& talkers = session_.talkers();
  talkers.for_each(at, [&](const device::Talk& one) {
    out.push_back({one.device, one.weight, std::uint64_t{one.bytes} * one.weight});
  });
  return talkers.covered_ns(at);
}

void Gate::devices_at(std::span<const std::uint32_t> places, std::vector<DeviceKey>& out) {
  for (const std::uint32_t place : places) out.push_back(devices_.at(place).key);
}

bool Gate::describe(const DeviceKey& key, JsonWriter& out) {
  const device::DeviceSlot slot = devices_.find(key);
  const state::Ban* const ban = oversight_.state->ban_of(key, now());
  const auto registration = oversight_.state->registration(key);
  const auto* const pending = oversight_.state->pending(key);
  if (slot == device::no_device && ban == nullptr && !registration && pending == nullptr) {
    return false;
  }
  if (slot != device::no_device) {
    device::Device& device = devices_.at(slot);
    row(device, out);
    json_position_names(device.last_state<LastState>(), out);
    out.key("key_generation").unsigned_integer(oversight_.state->generation(key));
    if (const net::Link* link = link_of(device); link != nullptr) {
      out.key("link").begin_object();
      out.key("id").text(fmt::format("{:016x}", link->id().packed()));
      out.key("received_bytes").unsigned_integer(link->received_bytes);
      out.key("not_durable_bytes").unsigned_integer(link->uncommitted_bytes);
      out.key("unsent_bytes").unsigned_integer(net::Links::unsent_bytes(*link));
      out.end_object();
    }
    session_.commands().describe(slot, out);
  } else {
    out.key("phone").text(key.id());
    out.key("online").boolean(false);
  }
  if (pending != nullptr) out.key("commands_pending").unsigned_integer(pending->size());
  out.key("shard").unsigned_integer(links_.shard().index());
  if (registration) json_registration(*registration, out);
  if (ban != nullptr) {
    out.key("ban").begin_object();
    json_ban(*ban, out);
    out.end_object();
  }
  return true;
}

// A reason may be of any length, and a record has a largest one.
void Gate::record(const DeviceKey& device, Audit what, std::string_view action,
                  const event::Act& given, WallUs until) {
  const event::Act act{.by = cut_utf8(given.by, state::reason_size_max),
                       .why = cut_utf8(given.why, state::reason_size_max)};
  std::string text;
  JsonWriter json(text);
  json.begin_object();
  json.key("action").text(action);
  json.key("by").text(act.by);
  if (!act.why.empty()) json.key("why").text(act.why);
  if (what == Audit::ban) json_wall("until", until, json);
  json.end_object();
  const log::RecordInfo info{.kind = log::Kind::audit,
                             .ns = Namespace::phone,
                             .message = static_cast<std::uint16_t>(what),
                             .device = device.id()};
  if (!log_.has_room(device.size + text.size()) || log_.append(info, as_bytes(text)) == 0) {
    logs_.error("audit record lost: the log takes nothing now",
                {{"device", device.id()}, {"action", action}, {"by", act.by}});
  }
  // What goes to many devices is told once, by whoever asks for it.
  if (what == Audit::other) return;
  logs_.info("control", {{"action", action}, {"device", device.id()}, {"by", act.by},
                         {"why", act.why}});
}

void Gate::audit(const DeviceKey& device, std::string_view action, const event::Act& act) {
  record(device, Audit::other, action, act);
}

bool Gate::kick_link(const DeviceKey& key) {
  const device::DeviceSlot slot = devices_.find(key);
  if (slot == device::no_device) return false;
  net::Link* const link = link_of(devices_.at(slot));
  if (link == nullptr) return false;
  links_.close(*link, net::CloseReason::kicked);
  return true;
}

bool Gate::kick(const DeviceKey& device, const event::Act& act) {
  if (!kick_link(device)) return false;
  record(device, Audit::kick, "kick", act);
  return true;
}

bool Gate::ban(const DeviceKey& key, WallUs until, const event::Act& act) {
  state::Store& state = *oversight_.state;
  // Both or none: the codes that the terminal holds end here.
  if (!state.has_room(2)) return false;
  state::Ban ban{.since_us = now(), .until_us = until, .by = std::string(act.by),
                 .why = std::string(act.why)};
  if (state.ban(key, std::move(ban), now()) == 0) return false;
  const std::uint32_t next = (state.generation(key) + 1) & Authenticator::generation_max;
  if (state.set_generation(key, next) == 0) {
    logs_.error("a banned terminal's codes were not revoked; the ban holds",
                {{"device", key.id()}});
  }
  record(key, Audit::ban, "ban", act, until);
  kick_link(key);
  return true;
}

bool Gate::unban(const DeviceKey& device, const event::Act& act) {
  if (oversight_.state->ban_of(device, now()) == nullptr) return false;
  if (oversight_.state->unban(device) == 0) return false;
  record(device, Audit::unban, "unban", act);
  return true;
}

void Gate::bans(std::vector<std::string>& out) {
  oversight_.state->table().for_each_ban([&](const DeviceKey& device, const state::Ban& ban) {
    if (ban.over(now())) return;
    std::string text;
    JsonWriter json(text);
    json.begin_object();
    json.key("phone").text(device.id());
    json_ban(ban, json);
    json.end_object();
    out.push_back(std::move(text));
  });
}

bool Gate::trace(const DeviceKey& device, event::TraceWatcher* watcher) {
  return oversight_.tracer.watch(device, watcher);
}

void Gate::watch_presence(event::PresenceWatcher& watcher) { session_.use_presence(watcher); }

void Gate::bad_frames(std::uint32_t limit, std::vector<std::string>& out) {
  oversight_.bad_frames.list(limit, out);
}

}  // namespace ringgate::jt808
