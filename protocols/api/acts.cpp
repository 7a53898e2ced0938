// What is done to devices besides sending: links ended, devices banned, waiting commands taken
// back; and the frames that made no sense.
#include <fmt/format.h>

#include <charconv>
#include <functional>
#include <map>

#include "engine/base/hex.hpp"
#include "engine/base/json_writer.hpp"
#include "engine/base/time_text.hpp"
#include "engine/base/utf8.hpp"
#include "engine/io/sys.hpp"
#include "protocols/api/body.hpp"
#include "protocols/api/plane.hpp"
#include "protocols/api/routes.hpp"
#include "storage/state/send_errand.hpp"

namespace ringgate::api {

namespace {

constexpr std::uint64_t act_body_max = 4096;
constexpr std::size_t why_bytes_max = 200;  // what a record keeps of it
constexpr std::uint64_t rows_max = 100'000;

void log_act(Plane& plane, const CallPtr& call, std::string_view action,
             const DeviceKey& device) {
  plane.parts().logs.info("command", {{"action", action},
                                      {"device", device.id()},
                                      {"by", call->who()}});
}

// {"why"}, and "until" where `until` is given. Answers 400 and gives nothing where it is no such
// body.
std::optional<std::string> read_act(const CallPtr& call, WallUs* until) {
  const auto body = call->json();
  if (!body) return {};
  Members members(*body);
  std::string why;
  members.text("why", why, why_bytes_max);
  if (until != nullptr && members.get("until") != nullptr &&
      !members.get("until")->is_null()) {
    std::string text;
    members.text("until", text, 64);
    const WallUs now = io::real_sys().wall_now();
    const auto time = parse_time(text, now);
    const bool dated = text.size() >= 10 && text[4] == '-';
    if (!time || !dated) members.wrong("until", "wants a time like \"2026-12-31T23:59:59Z\"");
    if (time && *time <= now) members.wrong("until", "is over");
    if (time) *until = *time;
  }
  if (members.error().empty()) return why;
  call->problem(400, members.error());
  return {};
}

void kick(Plane& plane, const CallPtr& call) {
  const auto device = plane.device_of(call);
  if (!device) return;
  const auto why = read_act(call, nullptr);
  if (!why) return;
  plane.ask(
      call, plane.home_of(*device),
      [device = *device, who = call->who(), why = *why](event::DeviceGate& gate,
                                                        ShardAnswer& answer) {
        answer.done = gate.kick(device, {who, why});
        if (answer.done) return;
        std::string unused;
        JsonWriter json(unused);
        json.begin_object();
        answer.place = gate.describe(device, json) ? 1 : 0;
      },
      [&plane, call, device = *device](ShardAnswer& answer) {
        if (!answer.done && answer.place == 0) {
          return call->problem(404, fmt::format("no device {} is known here", device.id()));
        }
        if (!answer.done) return call->problem(409, "the device has no link");
        log_act(plane, call, "kick", device);
        call->answer({}, 204, {});
      });
}

void ban(Plane& plane, const CallPtr& call) {
  const auto device = plane.device_of(call);
  if (!device) return;
  WallUs until = 0;
  const auto why = read_act(call, &until);
  if (!why) return;
  plane.ask_host(
      call, plane.home_of(*device),
      [device = *device, until, who = call->who(), why = *why](state::ShardHost& host,
                                                               ShardAnswer& answer) {
        event::DeviceGate* const gate = host.find(device.ns);
        answer.done = gate != nullptr && gate->ban(device, until, {who, why});
        answer.durably = answer.done;
        answer.place = host.store().is_full() ? 1 : 0;
      },
      [&plane, call, device = *device](ShardAnswer& answer) {
        if (!answer.done && answer.place == 1) {
          return call->problem(507, "too many devices are banned");
        }
        if (!answer.done) {
          return call->problem(503, "the log takes nothing now", "Retry-After: 1\r\n");
        }
        log_act(plane, call, "ban", device);
        call->answer({}, 204, {});
      });
}

void unban(Plane& plane, const CallPtr& call) {
  const auto device = plane.device_of(call);
  if (!device) return;
  plane.ask_host(
      call, plane.home_of(*device),
      [device = *device, who = call->who()](state::ShardHost& host, ShardAnswer& answer) {
        event::DeviceGate* const gate = host.find(device.ns);
        const bool banned =
            host.store().ban_of(device, io::real_sys().wall_now()) != nullptr;
        answer.place = banned ? 1 : 0;
        answer.done = banned && gate != nullptr && gate->unban(device, {who, {}});
        answer.durably = answer.done;
      },
      [&plane, call, device = *device](ShardAnswer& answer) {
        if (answer.place == 0) return call->problem(404, "the device is not banned");
        if (!answer.done) {
          return call->problem(503, "the log takes nothing now", "Retry-After: 1\r\n");
        }
        log_act(plane, call, "unban", device);
        call->answer({}, 204, {});
      });
}

// The lines of all shards as {"key":[...],"total":n}.
std::string listed(std::string_view key, const std::vector<std::string>& rows,
                   std::uint64_t total) {
  std::string body = fmt::format("{{\"{}\":[", key);
  for (const std::string& row : rows) {
    if (&row != rows.data()) body += ',';
    body += row;
  }
  return body + fmt::format("],\"total\":{}}}", total);
}

void list_bans(Plane& plane, const CallPtr& call) {
  const auto limit = call->number("limit", 10'000, 1, rows_max);
  if (!limit) return;
  plane.ask_all(
      call, [](event::DeviceGate& gate, ShardAnswer& answer) { gate.bans(answer.lines); },
      [call, limit = *limit](std::vector<ShardAnswer>& answers) {
        std::vector<std::string> rows;
        std::uint64_t total = 0;
        for (ShardAnswer& answer : answers) {
          total += answer.lines.size();
          for (std::string& row : answer.lines) {
            if (rows.size() < limit) rows.push_back(std::move(row));
          }
        }
        call->answer(listed("bans", rows, total));
      });
}

// ---- Commands that wait for their device

void list_pending(Plane& plane, const CallPtr& call) {
  const auto device = plane.device_of(call);
  if (!device) return;
  plane.ask_host(
      call, plane.home_of(*device),
      [device = *device, key = plane.parts().devices.id_key()](state::ShardHost& host,
                                                               ShardAnswer& answer) {
        host.pending().list(device, [&](const state::Pending::Listed& one) {
          answer.lines.push_back(state::pending_row(key, one));
        });
      },
      [call](ShardAnswer& answer) {
        call->answer(listed("pending", answer.lines, answer.lines.size()));
      });
}

// One, or with id 0 all of a device.
void cancel_pending(Plane& plane, const CallPtr& call, const DeviceKey& device,
                    std::uint64_t wanted) {
  plane.ask_host(
      call, plane.home_of(device),
      [device, wanted, who = call->who(), why = call->parameter("why").value_or("")](
          state::ShardHost& host, ShardAnswer& answer) {
        using Cancelled = state::Pending::Cancelled;
        std::vector<std::uint64_t> ids;
        host.pending().list(device, [&](const state::Pending::Listed& one) {
          if (wanted == 0 || one.command.id == wanted) ids.push_back(one.command.id);
        });
        const event::Act act{who, cut_utf8(why, why_bytes_max)};
        for (const std::uint64_t id : ids) {
          const Cancelled cancelled = state::cancel_pending(host, device, id, act);
          if (cancelled == Cancelled::not_stored) answer.cursor = 1;
          if (cancelled != Cancelled::waiting && cancelled != Cancelled::sent) continue;
          answer.done = answer.durably = true;
          answer.lines.push_back(fmt::format("{{\"id\":{},\"was_sent\":{}}}", id,
                                             cancelled == Cancelled::sent));
        }
      },
      [&plane, call, device, wanted](ShardAnswer& answer) {
        if (answer.cursor != 0) {
          return call->problem(503, "the log takes nothing now", "Retry-After: 1\r\n");
        }
        if (!answer.done && wanted != 0) {
          return call->problem(404, "no such command waits for this device");
        }
        log_act(plane, call, "cancel", device);
        call->answer(listed("cancelled", answer.lines, answer.lines.size()));
      });
}

void cancel_all_pending(Plane& plane, const CallPtr& call) {
  if (const auto device = plane.device_of(call)) cancel_pending(plane, call, *device, 0);
}

void cancel_one_pending(Plane& plane, const CallPtr& call) {
  const auto device = plane.device_of(call);
  if (!device) return;
  std::uint64_t id = 0;
  const std::string& text = call->value(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size() || id == 0) {
    return call->problem(400, "the command's id is a whole number, as /pending shows it");
  }
  cancel_pending(plane, call, *device, id);
}

// ---- Bad frames

void write_explanation(const event::MessageCatalog& catalog, Bytes frame, bool secrets,
                       JsonWriter& json) {
  json.key("explanation").begin_array();
  for (const event::ExplainedLine& line : catalog.explain(frame, secrets)) {
    if (line.size == 0 && line.kind != event::ExplainedLine::Kind::problem) continue;
    json.begin_object().key("offset").unsigned_integer(line.offset);
    json.key("size").unsigned_integer(line.size).key("name").text(line.name);
    if (!line.value.empty()) json.key("value").text(line.value);
    json.end_object();
  }
  json.end_array();
}

// A row of DeviceGate::bad_frames with what its bytes would say.
std::string explained(const Json& row, const event::MessageCatalog& catalog, bool secrets) {
  std::string text = row.dump();
  const auto bytes = from_hex(row.value("bytes", std::string()));
  if (!bytes) return text;
  const std::vector<std::uint8_t> frame =
      row.value("unescaped", false)
          ? *bytes
          : catalog.rescue(*bytes, row.value("size", std::size_t{0}) == bytes->size());
  if (!secrets && catalog.redact(frame) != frame) {
    Json hidden = row;
    hidden["bytes"] = std::string(2 * bytes->size(), '*');
    text = hidden.dump();
  }
  text.pop_back();  // another member in place of the end
  std::string more;
  JsonWriter json(more);
  json.begin_object();
  write_explanation(catalog, frame, secrets, json);
  json.end_object();
  return text + "," + more.substr(1);
}

void list_bad_frames(Plane& plane, const CallPtr& call) {
  const auto limit = call->number("limit", 20, 1, 10'000);
  if (!limit) return;
  plane.ask_all(
      call,
      [most = static_cast<std::uint32_t>(*limit)](event::DeviceGate& gate, ShardAnswer& answer) {
        gate.bad_frames(most, answer.lines);
      },
      [&plane, call, limit = *limit](std::vector<ShardAnswer>& answers) {
        std::multimap<std::int64_t, Json, std::greater<>> newest;
        for (const ShardAnswer& answer : answers) {
          for (const std::string& line : answer.lines) {
            Json row = Json::parse(line, nullptr, false);
            if (!row.is_object()) continue;
            const auto at = row.value("time_us", std::int64_t{0});
            newest.emplace(at, std::move(row));
          }
        }
        std::vector<std::string> rows;
        for (const auto& [time, row] : newest) {
          if (rows.size() == limit) break;
          rows.push_back(explained(row, plane.parts().catalog, call->may(Scope::admin)));
        }
        call->answer(listed("bad_frames", rows, newest.size()));
      });
}

// ---- The table

constexpr Parameter device_parameters[] = {device_parameter};
constexpr Parameter cancel_parameters[] = {
    device_parameter,
    {.name = "why", .doc = "For the record."},
    {.name = "command",
     .in = Parameter::In::path,
     .doc = "The command's id, as the list of those that wait has it.",
     .required = true},
};
constexpr Parameter bans_parameters[] = {
    {.name = "limit",
     .doc = "Rows at most.",
     .schema = R"({"type":"integer","minimum":1,"maximum":100000,"default":10000})"},
};
constexpr Parameter bad_parameters[] = {
    {.name = "limit",
     .doc = "Rows at most, the newest first.",
     .schema = R"({"type":"integer","minimum":1,"maximum":10000,"default":20})"},
};

constexpr std::string_view why_schema =
    R"({"type":"object","properties":{"why":{"type":"string","maxLength":200}},)"
    R"("additionalProperties":false})";
constexpr std::string_view cancelled_schema =
    R"({"type":"object","required":["cancelled","total"],"properties":{"cancelled":{)"
    R"("type":"array","items":{"type":"object","required":["id","was_sent"],"properties":{)"
    R"("id":{"type":"integer"},"was_sent":{"type":"boolean"}},"additionalProperties":false}},)"
    R"("total":{"type":"integer"}},"additionalProperties":false})";

constexpr Route routes[] = {
    {.method = http::Method::post,
     .path = "/api/v1/devices/{id}/kick",
     .scope = Scope::command,
     .summary = "Ends a device's link.",
     .parameters = device_parameters,
     .request_schema = why_schema,
     .success = 204,
     .body_bytes_max = act_body_max,
     .run = kick},
    {.method = http::Method::put,
     .path = "/api/v1/devices/{id}/ban",
     .scope = Scope::admin,
     .summary = "Ends a device's link and lets it in no more, until a time or for good.",
     .parameters = device_parameters,
     .request_schema =
         R"({"type":"object","properties":{"why":{"type":"string","maxLength":200},)"
         R"("until":{"type":["string","null"],"format":"date-time"}},)"
         R"("additionalProperties":false})",
     .success = 204,
     .body_bytes_max = act_body_max,
     .run = ban},
    {.method = http::Method::del,
     .path = "/api/v1/devices/{id}/ban",
     .scope = Scope::admin,
     .summary = "Lets a banned device in again.",
     .parameters = device_parameters,
     .success = 204,
     .run = unban},
    {.path = "/api/v1/bans",
     .summary = "Who is banned.",
     .parameters = bans_parameters,
     .response_schema =
         R"({"type":"object","required":["bans","total"],"properties":{"bans":{"type":"array",)"
         R"("items":{"type":"object","required":["phone","since","until","by","why"],)"
         R"("properties":{"phone":{"type":"string"},"since":{"type":["string","null"]},)"
         R"("until":{"type":["string","null"],"description":"null: for good"},)"
         R"("by":{"type":"string"},"why":{"type":"string"}},"additionalProperties":false}},)"
         R"("total":{"type":"integer"}},"additionalProperties":false})",
     .run = list_bans},
    {.path = "/api/v1/devices/{id}/pending",
     .summary = "The commands that wait for a device to come online, in their order.",
     .parameters = device_parameters,
     .response_schema =
         R"({"type":"object","required":["pending","total"],"properties":{"pending":{)"
         R"("type":"array","items":{"type":"object","required":["phone","id","submitted",)"
         R"("expires","tries","under_way","by","command"],"properties":{"phone":{)"
         R"("type":"string"},"id":{"type":"integer"},"message":{"type":"string"},)"
         R"("submitted":{"type":"string"},"expires":{"type":"string"},"tries":{)"
         R"("type":"integer"},"under_way":{"type":"boolean"},"by":{"type":"string"},)"
         R"("command":{"type":"object"}},"additionalProperties":false}},)"
         R"("total":{"type":"integer"}},"additionalProperties":false})",
     .run = list_pending},
    {.method = http::Method::del,
     .path = "/api/v1/devices/{id}/pending",
     .scope = Scope::command,
     .summary = "Takes back all commands that wait for a device.",
     .parameters = std::span(cancel_parameters).first(2),
     .response_schema = cancelled_schema,
     .run = cancel_all_pending},
    {.method = http::Method::del,
     .path = "/api/v1/devices/{id}/pending/{command}",
     .scope = Scope::command,
     .summary = "Takes back one.",
     .parameters = cancel_parameters,
     .response_schema = cancelled_schema,
     .run = cancel_one_pending},
    {.path = "/api/v1/bad-frames",
     .summary = "The last frames that made no sense, with what can be said of them.",
     .parameters = bad_parameters,
     .response_schema =
         R"({"type":"object","required":["bad_frames","total"],"properties":{"bad_frames":{)"
         R"("type":"array","items":{"type":"object","required":["time","time_us","peer",)"
         R"("reason","offset","unescaped","size","bytes","explanation"],"properties":{)"
         R"("time":{"type":"string"},"time_us":{"type":"integer"},"peer":{"type":"string"},)"
         R"("phone":{"type":"string"},"reason":{"type":"string"},"offset":{"type":"integer"},)"
         R"("unescaped":{"type":"boolean","description":"offset counts in the frame that was )"
         R"(cut out, else in the bytes as they came"},"size":{"type":"integer"},)"
         R"("bytes":{"type":"string","description":"The first, in hex; stars where they hold a )"
         R"(secret."},"explanation":{"type":"array","items":{"type":"object","required":[)"
         R"("offset","size","name"],"properties":{"offset":{"type":"integer"},)"
         R"("size":{"type":"integer"},"name":{"type":"string"},"value":{"type":"string"}},)"
         R"("additionalProperties":false}}},"additionalProperties":false}},)"
         R"("total":{"type":"integer"}},"additionalProperties":false})",
     .run = list_bad_frames},
};

}  // namespace

const std::span<const Route> act_routes = routes;

}  // namespace ringgate::api
