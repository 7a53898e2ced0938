// One command to many devices, and what became of a command of any kind.
#include <fmt/format.h>

#include <charconv>
#include <string>
#include <unordered_set>

#include "engine/base/json_writer.hpp"
#include "engine/io/sys.hpp"
#include "protocols/api/command_schemas.hpp"
#include "protocols/api/commands.hpp"
#include "protocols/api/routes.hpp"
#include "protocols/http/limits.hpp"
#include "storage/state/campaign.hpp"

namespace ringgate::api {

namespace {

using state::Campaign;

constexpr std::uint64_t parallel_default = 50;
constexpr std::uint64_t outcomes_page_max = 10'000;
constexpr MonoNs retry_after = 10 * ns_per_ms;  // where the gateway is busy

void pump(Plane& plane, const std::string& id);

void came_home(Plane& plane, const std::string& id, const DeviceKey& device,
               const event::CommandOutcome* outcome) {
  CommandEntry* const entry = plane.commands().find(id);
  if (entry == nullptr) return;
  const bool whole = entry->outcomes_bytes < command_limits::whole_outcomes_bytes;
  std::string text;
  JsonWriter json(text);
  json.begin_object().key(plane.parts().devices.id_key()).text(device.id());
  if (whole || outcome == nullptr) {
    state::json_outcome(outcome, plane.parts().catalog, json);
  } else {
    json.key("status").text(event::name_of(outcome->status)).key("cut").boolean(true);
  }
  json.end_object();
  entry->outcomes_bytes += text.size();
  entry->outcomes.push_back(std::move(text));
}

void end(Plane& plane, CommandEntry& entry, std::string_view error) {
  entry.error = error;
  plane.parts().logs.info("command", {{"action", entry.many->command().action},
                                      {"device", "several"},
                                      {"devices", entry.many->targets().size()},
                                      {"done", entry.many->done()},
                                      {"by", entry.by}});
  plane.commands().end(entry, io::real_sys().wall_now(), io::real_sys().mono_now());
}

void pump(Plane& plane, const std::string& id) {
  CommandEntry* const entry = plane.commands().find(id);
  if (entry == nullptr || entry->ended() || entry->many == nullptr) return;
  const std::shared_ptr<Campaign> many = entry->many;
  switch (many->pump()) {
    case Campaign::State::going: return;
    case Campaign::State::busy:
      plane.after(retry_after, [&plane, id] { pump(plane, id); });
      return;
    case Campaign::State::done: return end(plane, *entry, {});
    case Campaign::State::too_many:
      return end(plane, *entry, fmt::format("more than {} devices; use a narrower filter",
                                            command_limits::devices_max));
    case Campaign::State::stopped: return end(plane, *entry, "the gateway is stopping");
  }
}

// "devices" or "filter" of a body.
struct Targets {
  std::vector<DeviceKey> devices;
  std::optional<event::DeviceFilter> filter;
};

void read_devices(const Json& list, const event::DeviceProtocol& devices, Members& members,
                  Targets& out) {
  if (!list.is_array() || list.empty() || list.size() > command_limits::devices_max) {
    return members.wrong("devices", fmt::format("wants a list of 1 to {} devices",
                                                command_limits::devices_max));
  }
  std::unordered_set<std::string> seen;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string key = fmt::format("devices[{}]", i);
    if (!list[i].is_string()) return members.wrong(key, "wants a text in quotes");
    const auto device = devices.parse_device(list[i].get_ref<const std::string&>());
    if (!device) return members.wrong(key, device.error().message);
    // Numbers that are written differently may mean the same device: it is told once.
    if (seen.emplace(device->id()).second) out.devices.push_back(*device);
  }
}

Targets read_targets(const event::DeviceProtocol& devices, Members& members) {
  Targets out;
  const Json* const list = members.get("devices");
  std::string filter;
  members.text("filter", filter, event::DeviceFilter::text_size_max);
  if ((list != nullptr) == members.has("filter")) {
    members.wrong("devices", "one of devices and filter says to whom");
  } else if (list != nullptr) {
    read_devices(*list, devices, members, out);
  } else {
    auto parsed = event::DeviceFilter::parse(filter, devices.list_keys());
    if (parsed) {
      out.filter = std::move(*parsed);
    } else {
      members.wrong("filter", fmt::format("column {}: {}", parsed.error().column,
                                          parsed.error().message));
    }
  }
  return out;
}

void start(Plane& plane, CommandEntry& entry, state::Command command, Targets targets,
           std::uint64_t parallel) {
  entry.many = std::make_shared<Campaign>(
      Campaign::Parts{.post = plane.post(),
                      .devices = plane.parts().devices,
                      .command = std::move(command),
                      .parallel = static_cast<std::uint32_t>(parallel),
                      .devices_max = command_limits::devices_max},
      [&plane, id = entry.id](const DeviceKey& device, const event::CommandOutcome* outcome) {
        came_home(plane, id, device, outcome);
      },
      [&plane, id = entry.id] { pump(plane, id); });
  if (targets.filter) {
    entry.many->to_all(std::move(*targets.filter));
  } else {
    entry.many->to(std::move(targets.devices));
  }
}

void send_many(Plane& plane, const CallPtr& call) {
  const auto key = read_repeat_key(plane, call);
  if (!key) return;
  if (const CommandEntry* const before = find_repeated(plane, *key); before != nullptr) {
    return answer_command(call, *before, plane, true);
  }
  const auto body = call->json();
  if (!body) return;
  Members members(*body);
  std::uint64_t parallel = parallel_default;
  members.number("parallel", parallel, 1, command_limits::parallel_max);
  Targets targets = read_targets(plane.parts().devices, members);
  auto command = read_command(plane.parts().devices, members, call->who());
  if (!command) return call->problem(400, command.error().message);
  // Nobody waits for devices that are online either: outcomes are told when they are there.
  CommandEntry* const entry = plane.commands().add(true, io::real_sys().mono_now());
  if (entry == nullptr) {
    return call->problem(503, "too many commands to many devices are under way",
                         "Retry-After: 10\r\n");
  }
  entry->message = body->at("message").get<std::string>();
  entry->by = command->by;
  entry->submitted_us = io::real_sys().wall_now();
  start(plane, *entry, std::move(*command), std::move(targets), parallel);
  if (!key->scope.empty()) plane.commands().note_repeat(key->scope, *entry, key->body_hash);
  const std::string id = entry->id;
  pump(plane, id);
  if (const CommandEntry* const now = plane.commands().find(id); now != nullptr) {
    answer_command(call, *now, plane, false);
  }
}

// ---- What became of it

CommandEntry* find(Plane& plane, const CallPtr& call) {
  plane.commands().forget_old(io::real_sys().mono_now());
  CommandEntry* const entry = plane.commands().find(call->value(0));
  if (entry == nullptr) {
    call->problem(404, "no command has this id; an hour after its end it is forgotten, and by a "
                       "restart: the log has it");
  }
  return entry;
}

void answer_page(const CallPtr& call, const CommandEntry& entry, const Plane& plane) {
  const auto limit = call->number("limit", 100, 1, outcomes_page_max);
  if (!limit) return;
  std::uint64_t from = 0;
  const std::string cursor = call->parameter("cursor").value_or("0");
  const auto [end, error] = std::from_chars(cursor.data(), cursor.data() + cursor.size(), from);
  if (error != std::errc() || end != cursor.data() + cursor.size() ||
      from > entry.outcomes.size()) {
    return call->problem(400, "cursor is not one that \"next\" gave");
  }
  std::string body = command_json(entry, plane);
  body.pop_back();  // more members in place of the end
  body += ",\"outcomes\":[";
  const std::uint64_t to = std::min<std::uint64_t>(entry.outcomes.size(), from + *limit);
  for (std::uint64_t i = from; i < to; ++i) {
    if (i != from) body += ',';
    body += entry.outcomes[i];
  }
  body += ']';
  if (to < entry.outcomes.size()) body += fmt::format(",\"next\":\"{}\"", to);
  call->answer(body + "}");
}

// Whether its device's shard still keeps it.
void answer_kept(Plane& plane, const CallPtr& call, const CommandEntry& entry) {
  plane.ask_host(
      call, plane.home_of(entry.device),
      [device = entry.device, id = entry.pending, key = plane.parts().devices.id_key()](
          state::ShardHost& host, ShardAnswer& answer) {
        host.pending().list(device, [&](const state::Pending::Listed& one) {
          if (one.command.id == id) answer.text = state::pending_row(key, one);
        });
      },
      [&plane, call, id = entry.id](ShardAnswer& answer) {
        const CommandEntry* const now = plane.commands().find(id);
        if (now == nullptr) return call->problem(404, "no command has this id");
        std::string body = command_json(*now, plane);
        if (answer.text.empty()) {
          constexpr std::string_view waiting = "\"state\":\"waiting\"";
          body.replace(body.find(waiting), waiting.size(), "\"state\":\"gone\"");
        } else {
          body.pop_back();
          body += fmt::format(",\"kept\":{}}}", answer.text);
        }
        call->answer(std::move(body));
      });
}

void get_command(Plane& plane, const CallPtr& call) {
  const CommandEntry* const entry = find(plane, call);
  if (entry == nullptr) return;
  if (entry->many != nullptr) return answer_page(call, *entry, plane);
  if (entry->ended() && entry->pending != 0) return answer_kept(plane, call, *entry);
  call->answer(command_json(*entry, plane));
}

void cancel_command(Plane& plane, const CallPtr& call) {
  CommandEntry* const entry = find(plane, call);
  if (entry == nullptr) return;
  if (entry->many == nullptr) {
    return call->problem(409, "one command to one device is not taken back; one that waits for its "
                              "device ends by DELETE of /api/v1/devices/{id}/pending/{command}");
  }
  if (!entry->ended()) {
    entry->many->cancel();
    plane.note_deed(*call, "cancel command", {{"command", call->value(0)}});
    pump(plane, call->value(0));
  }
  call->answer(command_json(*entry, plane));
}

constexpr Parameter get_parameters[] = {
    {.name = "id", .in = Parameter::In::path, .doc = "As it was answered.", .required = true},
    {.name = "limit",
     .doc = "Outcomes of a page.",
     .schema = R"({"type":"integer","minimum":1,"maximum":10000,"default":100})"},
    {.name = "cursor", .doc = "The page's place: \"next\" of the page before."},
};

constexpr Parameter send_parameters[] = {repeat_parameter};

constexpr Route routes[] = {
    {.method = http::Method::post,
     .path = "/api/v1/commands",
     .scope = Scope::command,
     .summary = "Sends a message to many devices: those in a list, or all that a filter names.",
     .parameters = send_parameters,
     .request_schema =
         R"({"type":"object","required":["message"],"properties":{)"
         R"("devices":{"type":"array","items":{"type":"string"},"minItems":1},)"
         R"("filter":{"type":"string"},"parallel":{"type":"integer","minimum":1,"maximum":256},)"
         RG_COMMAND_BODY R"(},"additionalProperties":false})",
     .response_schema = RG_MANY_SCHEMA,
     .also = 202,
     .body_bytes_max = http::limits::body_bytes_max,
     .run = send_many},
    {.path = "/api/v1/commands/{id}",
     .summary = "What became of a command; of one to many devices its outcomes, page by page.",
     .parameters = get_parameters,
     .response_schema = R"({"oneOf":[)" RG_COMMAND_SCHEMA "," RG_MANY_SCHEMA "]}",
     .run = get_command},
    {.method = http::Method::del,
     .path = "/api/v1/commands/{id}",
     .scope = Scope::command,
     .summary = "Ends a command to many devices: no more are sent.",
     .parameters = std::span(get_parameters).first(1),
     .response_schema = RG_MANY_SCHEMA,
     .run = cancel_command},
};

}  // namespace

const std::span<const Route> many_routes = routes;

}  // namespace ringgate::api
