// One command to one device, and what became of it.
#include "protocols/api/commands.hpp"

#include <fmt/format.h>

#include <functional>

#include "engine/base/json_writer.hpp"
#include "engine/config/units.hpp"
#include "engine/io/sys.hpp"
#include "protocols/api/command_schemas.hpp"
#include "protocols/api/routes.hpp"
#include "protocols/http/codec/response.hpp"
#include "protocols/http/limits.hpp"
#include "storage/state/campaign.hpp"

namespace ringgate::api {

namespace {

using event::CommandStatus;

// Names of messages are short; an audit record holds no more of it.
constexpr std::size_t message_bytes_max = 64;
// A package of software in hex (JT/T 808 0x8108), as much as HTTP takes.
constexpr std::uint64_t command_body_max = http::limits::body_bytes_max;

MonoNs now_ns() { return io::real_sys().mono_now(); }

std::string location_of(const CommandEntry& entry) {
  return fmt::format("Location: /api/v1/commands/{}\r\n", entry.id);
}

}  // namespace

// ---- What a body says

Result<state::Command> read_command(const event::DeviceProtocol& devices, Members& members,
                                    std::string by) {
  std::string message;
  members.text("message", message, message_bytes_max);
  if (!members.has("message")) members.wrong("message", "is missing: a name, or an id");
  Json json{{"message", message}};
  if (const Json* const fields = members.get("fields"); fields != nullptr) {
    if (!fields->is_object()) members.wrong("fields", "wants an object");
    json["body"] = *fields;
  }
  std::string body_hex;
  std::string answer;
  bool has_serial = true;
  bool when_online = false;
  members.text("body_hex", body_hex, command_body_max);
  members.text("answer", answer, message_bytes_max);
  members.flag("answer_has_serial", has_serial);
  members.flag("when_online", when_online);
  const Json* const expires = members.get("expires");
  if (members.has("body_hex")) {
    if (members.has("fields")) members.wrong("body_hex", "stands beside fields");
    json["body_hex"] = body_hex;
  } else if (!members.has("fields")) {
    json["body"] = Json::object();
  }
  if (members.has("answer")) json["answer"] = answer;
  if (members.has("answer_has_serial")) json["answer_has_serial"] = has_serial;
  if (!members.error().empty()) return Error{0, members.error()};
  std::string text = json.dump();
  auto prepared = devices.prepare(text);
  if (!prepared) return Error{0, prepared.error().message};
  state::Command command;
  command.prepared = std::move(*prepared);
  command.action = fmt::format("send {}{}", message, when_online ? " when online" : "");
  command.by = std::move(by);
  command.wait_ns = command_limits::patience;
  Json delivery{{"deliver", when_online ? "when_online" : "now"}};
  if (expires != nullptr) delivery["expires"] = *expires;
  if (expires != nullptr && !when_online) return Error{0, "expires: goes with when_online"};
  const auto terms = state::read_delivery(delivery);
  if (!terms) return Error{0, terms.error().message};
  if (!when_online) return command;
  if (auto kept = state::keep(command, std::move(text), *terms); !kept) return kept.error();
  return command;
}

std::optional<MonoNs> read_wait(const CallPtr& call) {
  const auto text = call->parameter("wait");
  if (!text) return 0;
  const auto wait = config::parse_duration(*text);
  if (wait && *wait >= 0 && *wait <= command_limits::patience) return *wait;
  call->problem(400, fmt::format("wait: wants a time like \"5s\", at most {} s",
                                 command_limits::patience / ns_per_s));
  return {};
}

std::optional<RepeatKey> read_repeat_key(Plane& plane, const CallPtr& call) {
  const std::string_view key = call->field("idempotency-key");
  if (key.empty()) return RepeatKey{};
  if (key.size() > command_limits::key_bytes_max) {
    call->problem(400, fmt::format("Idempotency-Key has at most {} bytes",
                                   command_limits::key_bytes_max));
    return {};
  }
  RepeatKey out;
  out.scope = fmt::format("{}\n{}\n{}", call->data().who.name(), call->data().path, key);
  out.body_hash = std::hash<std::string_view>{}(as_text(call->data().body));
  const CommandStore::Repeat* const before = plane.commands().find_repeat(out.scope);
  if (before == nullptr || before->body_hash == out.body_hash) return out;
  call->problem(422, "this Idempotency-Key was used with another body");
  return {};
}

CommandEntry* find_repeated(Plane& plane, const RepeatKey& key) {
  if (key.scope.empty()) return nullptr;
  const CommandStore::Repeat* const before = plane.commands().find_repeat(key.scope);
  return before == nullptr ? nullptr : plane.commands().find(before->id);
}

// ---- What an entry looks like

namespace {

std::string_view state_of(const CommandEntry& entry) {
  if (!entry.ended()) {
    if (entry.many == nullptr) return "running";
    if (entry.many->cancelled()) return "cancelling";
    return entry.many->gathering() ? "gathering" : "running";
  }
  return entry.pending != 0 ? "waiting" : "done";
}

void many_json(const CommandEntry& entry, JsonWriter& json) {
  const state::Campaign& many = *entry.many;
  json.key("total").unsigned_integer(many.targets().size());
  json.key("done").unsigned_integer(many.done());
  json.key("under_way").unsigned_integer(many.outstanding());
  json.key("cancelled").boolean(many.cancelled());
  json.key("by_status");
  many.by_status_json(json);
  if (!entry.error.empty()) json.key("error").text(entry.error);
}

void entry_json(const CommandEntry& entry, std::string_view state, const Plane& plane,
                JsonWriter& json) {
  json.key("id").text(entry.id).key("state").text(state);
  json.key("message").text(entry.message).key("by").text(entry.by);
  state::json_time("submitted", entry.submitted_us, json);
  if (entry.ended()) state::json_time("ended", entry.ended_us, json);
  if (entry.many != nullptr) return many_json(entry, json);
  json.key(plane.parts().devices.id_key()).text(entry.device.id());
  if (!entry.outcome.empty()) json.key("outcome").raw(entry.outcome);
}

}  // namespace

std::string command_json(const CommandEntry& entry, const Plane& plane) {
  std::string text;
  JsonWriter json(text);
  json.begin_object();
  entry_json(entry, state_of(entry), plane, json);
  json.end_object();
  return text;
}

std::uint16_t status_of(const CommandEntry& entry) {
  if (entry.stopping) return 503;
  switch (entry.status) {
    case CommandStatus::answered:
    case CommandStatus::refused:
    case CommandStatus::sent: return 200;
    case CommandStatus::pending: return 202;
    case CommandStatus::unknown: return 404;
    case CommandStatus::offline: return 409;
    case CommandStatus::unsupported: return 422;
    case CommandStatus::busy: return 429;
    case CommandStatus::link_lost: return 502;
    case CommandStatus::not_stored: return 503;
    case CommandStatus::timed_out:
    case CommandStatus::expired: return 504;
    case CommandStatus::count: break;
  }
  return 500;
}

namespace {

std::string_view detail_of(const CommandEntry& entry) {
  if (entry.stopping) return "the gateway is stopping";
  switch (entry.status) {
    case CommandStatus::unknown: return "this device was never seen here";
    case CommandStatus::offline: return "the device is offline; \"when_online\" keeps a command";
    case CommandStatus::unsupported: return "the device's version does not have this message";
    case CommandStatus::busy: return "too many commands wait for this device";
    case CommandStatus::link_lost: return "the link ended before the answer came";
    case CommandStatus::not_stored: return "the log takes nothing now: nothing was sent";
    case CommandStatus::timed_out: return "no answer came";
    case CommandStatus::expired: return "its time was over before it could be sent";
    default: return {};
  }
}

}  // namespace

void answer_command(const CallPtr& call, const CommandEntry& entry, const Plane& plane,
                    bool repeated) {
  std::string fields = location_of(entry);
  if (repeated) fields += "Idempotency-Replayed: true\r\n";
  const std::uint16_t status = entry.ended() && entry.many == nullptr ? status_of(entry)
                               : entry.ended()                        ? 200
                                                                      : 202;
  std::string body = command_json(entry, plane);
  if (status < 400) return call->answer(std::move(body), status, "application/json", fields);
  if (status == 429 || status == 503) fields += "Retry-After: 1\r\n";
  std::string problem = http::problem_body(status, detail_of(entry));
  problem.pop_back();  // another member in place of the end
  problem += fmt::format(",\"command\":{}}}", body);
  call->answer(std::move(problem), status, "application/problem+json", fields);
}

void answer_later(Plane& plane, const CallPtr& call, CommandEntry& entry, MonoNs wait,
                  bool repeated) {
  if (entry.ended() || wait == 0) return answer_command(call, entry, plane, repeated);
  call->drop_body();
  const auto answer = [&plane, id = entry.id, repeated](const CallPtr& one) {
    const CommandEntry* const now = plane.commands().find(id);
    if (one == nullptr || one->over()) return;
    if (now == nullptr) return one->problem(503, "the gateway has forgotten this command");
    answer_command(one, *now, plane, repeated);
  };
  // The entry keeps the call alive, the timer does not.
  const Plane::TimerId timer =
      plane.after(wait, [answer, weak = std::weak_ptr(call)] { answer(weak.lock()); });
  entry.waiting.emplace_back([&plane, answer, call, timer] {
    plane.cancel(timer);
    answer(call);
  });
}

// ---- Routes

namespace {

void came_home(Plane& plane, const std::string& id, const event::CommandOutcome* outcome) {
  CommandEntry* const entry = plane.commands().find(id);
  if (entry == nullptr) return;
  entry->stopping = outcome == nullptr;
  if (outcome != nullptr) {
    entry->status = outcome->status;
    entry->pending = outcome->pending;
  }
  JsonWriter json(entry->outcome);
  json.begin_object();
  state::json_outcome(outcome, plane.parts().catalog, json);
  json.end_object();
  plane.commands().end(*entry, io::real_sys().wall_now(), now_ns());
}

void send_command(Plane& plane, const CallPtr& call) {
  const auto device = plane.device_of(call);
  if (!device) return;
  const auto wait = read_wait(call);
  if (!wait) return;
  const auto key = read_repeat_key(plane, call);
  if (!key) return;
  if (CommandEntry* const before = find_repeated(plane, *key); before != nullptr) {
    return answer_later(plane, call, *before, *wait, true);
  }
  const auto body = call->json();
  if (!body) return;
  Members members(*body);
  auto command = read_command(plane.parts().devices, members, call->who());
  if (!command) return call->problem(400, command.error().message);
  CommandEntry* const entry = plane.commands().add(false, now_ns());
  if (entry == nullptr) {
    return call->problem(503, "too many commands are under way", "Retry-After: 1\r\n");
  }
  entry->message = body->at("message").get<std::string>();
  entry->by = command->by;
  entry->device = *device;
  entry->submitted_us = io::real_sys().wall_now();
  std::unique_ptr<shard::Errand> errand = std::make_unique<state::SendErrand>(
      *device, *command,
      [&plane, id = entry->id](const DeviceKey&, const event::CommandOutcome* outcome) {
        came_home(plane, id, outcome);
      });
  const shard::Posted posted = plane.post().send(plane.home_of(*device), errand);
  if (posted != shard::Posted::ok) {
    plane.commands().drop(entry->id);
    return Plane::refuse(call, posted);
  }
  if (!key->scope.empty()) plane.commands().note_repeat(key->scope, *entry, key->body_hash);
  plane.parts().logs.info("command", {{"action", command->action},
                                      {"device", device->id()},
                                      {"by", command->by}});
  answer_later(plane, call, *entry, *wait, false);
}

constexpr Parameter send_parameters[] = {
    device_parameter,
    {.name = "wait",
     .doc = "How long the request waits for the outcome: 5s. Without, or when it is over: 202."},
    repeat_parameter,
};

constexpr Route routes[] = {
    {.method = http::Method::post,
     .path = "/api/v1/devices/{id}/commands",
     .scope = Scope::command,
     .summary = "Sends a message to a device. Its intent is in the log before it leaves. "
                "Idempotency-Key: a repeated request is the same command.",
     .parameters = send_parameters,
     .request_schema = R"({"type":"object","required":["message"],"properties":{)"
                       RG_COMMAND_BODY R"(},"additionalProperties":false})",
     .response_schema = RG_COMMAND_SCHEMA,
     .also = 202,
     .body_bytes_max = command_body_max,
     .run = send_command},
};

}  // namespace

const std::span<const Route> command_routes = routes;

}  // namespace ringgate::api
