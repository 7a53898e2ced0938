// The messages that devices and the platform speak: their table, with what a form of one needs, and
// frames read, written and explained.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "engine/base/hex.hpp"
#include "engine/base/json_writer.hpp"
#include "protocols/api/body.hpp"
#include "protocols/api/plane.hpp"
#include "protocols/api/routes.hpp"

namespace ringgate::api {

namespace {

// A frame in hex: the longest whole message (a package of software) is no frame that people paste.
constexpr std::uint64_t frame_body_max = 256 * 1024;

bool may_see_secrets(const Call& call) { return call.may(Scope::admin); }

void write_info(const event::MessageCatalog& catalog, const event::MessageInfo& info,
                JsonWriter& json) {
  json.key("id").text(catalog.message_id_text(info.id)).key("name").text(info.name);
  json.key("direction").text(info.from_device ? "up" : "down");
  json.key("source").text(info.source);
}

void list_messages(Plane& plane, const CallPtr& call) {
  const event::MessageCatalog& catalog = plane.parts().catalog;
  const std::string wanted = call->parameter("direction").value_or("");
  if (!wanted.empty() && wanted != "up" && wanted != "down") {
    return call->problem(400, "direction: wants up or down");
  }
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("protocol").text(catalog.protocol()).key("messages").begin_array();
  for (const event::MessageInfo& info : catalog.list()) {
    if (!wanted.empty() && (wanted == "up") != info.from_device) continue;
    json.begin_object();
    write_info(catalog, info, json);
    json.end_object();
  }
  json.end_array().end_object();
  call->answer(std::move(text));
}

// By "0x8300", "8300" or "text-message".
std::optional<event::MessageInfo> find(const event::MessageCatalog& catalog,
                                       std::string_view name) {
  for (const event::MessageInfo& info : catalog.list()) {
    const std::string id = catalog.message_id_text(info.id);
    const bool same = std::ranges::equal(
        name, id, [](char a, char b) { return a == b || (a | 0x20) == (b | 0x20); });
    if (same || name == info.name || (id.size() > 2 && name == std::string_view(id).substr(2))) {
      return info;
    }
  }
  return {};
}

void get_message(Plane& plane, const CallPtr& call) {
  const event::MessageCatalog& catalog = plane.parts().catalog;
  const auto info = find(catalog, call->value(0));
  if (!info) {
    return call->problem(404, fmt::format("no message is called {}", call->value(0)));
  }
  std::string text;
  JsonWriter json(text);
  json.begin_object();
  write_info(catalog, *info, json);
  catalog.describe(info->id, json);
  json.end_object();
  call->answer(std::move(text));
}

// {"frame": HEX}: from 7e to 7e as on the wire, or as the log stores it. Answers 400 and gives
// nothing where it is none.
std::optional<std::vector<std::uint8_t>> read_frame(Plane& plane, const CallPtr& call) {
  const auto body = call->json();
  if (!body) return {};
  Members members(*body);
  std::string hex;
  members.text("frame", hex, frame_body_max);
  if (!members.has("frame")) members.wrong("frame", "is missing: bytes in hex");
  if (!members.error().empty()) {
    call->problem(400, members.error());
    return {};
  }
  auto bytes = from_hex(hex);
  if (!bytes || bytes->empty()) {
    call->problem(400, "frame: wants bytes in hex");
    return {};
  }
  if (bytes->size() < 2 || bytes->front() != 0x7e || bytes->back() != 0x7e) return bytes;
  auto frame = plane.parts().catalog.from_wire(*bytes);
  if (frame) return std::move(*frame);
  call->problem(422, fmt::format("frame: {}", frame.error().message));
  return {};
}

void decode(Plane& plane, const CallPtr& call) {
  const auto frame = read_frame(plane, call);
  if (!frame) return;
  const bool secrets = may_see_secrets(*call);
  const event::MessageCatalog& catalog = plane.parts().catalog;
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("frame").hex(secrets ? *frame : catalog.redact(*frame));
  json.key("message");
  catalog.json(*frame, json, secrets);
  json.end_object();
  call->answer(std::move(text));
}

void write_line(const event::ExplainedLine& line, Bytes frame, bool secrets, JsonWriter& json) {
  json.begin_object().key("kind");
  json.text(event::explained_kind_names[static_cast<std::size_t>(line.kind)]);
  json.key("depth").unsigned_integer(line.depth);
  json.key("offset").unsigned_integer(line.offset).key("size").unsigned_integer(line.size);
  const bool hidden = line.is_secret && !secrets;
  if (line.size != 0) {
    json.key("bytes");
    hidden ? json.text(std::string(2 * line.size, '*'))
           : json.hex(frame.subspan(line.offset, line.size));
  }
  json.key("name").text(line.name);
  if (!line.value.empty()) json.key("value").text(line.value);
  if (!line.unit.empty()) json.key("unit").text(line.unit);
  if (!line.source.empty()) json.key("source").text(line.source);
  if (!line.note.empty()) json.key("note").text(line.note);
  if (line.is_secret) json.key("secret").boolean(true);
  json.end_object();
}

void explain(Plane& plane, const CallPtr& call) {
  const auto frame = read_frame(plane, call);
  if (!frame) return;
  const bool secrets = may_see_secrets(*call);
  const event::MessageCatalog& catalog = plane.parts().catalog;
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("frame").hex(secrets ? *frame : catalog.redact(*frame));
  json.key("lines").begin_array();
  for (const event::ExplainedLine& line : catalog.explain(*frame, secrets)) {
    write_line(line, *frame, secrets, json);
  }
  json.end_array().end_object();
  call->answer(std::move(text));
}

// The object that decode shows under "message".
void encode(Plane& plane, const CallPtr& call) {
  if (!call->json()) return;
  const auto frame = plane.parts().catalog.encode(as_text(call->data().body));
  if (!frame) return call->problem(400, frame.error().message);
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("frame").hex(*frame);
  if (const auto wire = plane.parts().catalog.to_wire(*frame)) json.key("wire").hex(*wire);
  json.end_object();
  call->answer(std::move(text));
}

constexpr Parameter list_parameters[] = {
    {.name = "direction",
     .doc = "Only those of devices (up), or to them (down).",
     .schema = R"({"type":"string","enum":["up","down"]})"},
};
constexpr Parameter message_parameters[] = {
    {.name = "id",
     .in = Parameter::In::path,
     .doc = "The message's id or name: 0x8300, text-message.",
     .required = true},
};

#define RG_MESSAGE_INFO                                                                       \
  R"("id":{"type":"string"},"name":{"type":"string"},)"                                       \
  R"("direction":{"type":"string","enum":["up","down"]},"source":{"type":"string"})"

constexpr std::string_view frame_schema =
    R"({"type":"object","required":["frame"],"properties":{"frame":{"type":"string",)"
    R"("description":"Hex: from 7e to 7e as on the wire, or as the log stores it.",)"
    R"("pattern":"^([0-9a-fA-F]{2})+$"}},"additionalProperties":false})";

constexpr Route routes[] = {
    {.path = "/api/v1/messages",
     .summary = "The messages of the protocol.",
     .parameters = list_parameters,
     .response_schema =
         R"({"type":"object","required":["protocol","messages"],"properties":{)"
         R"("protocol":{"type":"string"},"messages":{"type":"array","items":{"type":"object",)"
         R"("required":["id","name","direction","source"],"properties":{)" RG_MESSAGE_INFO
         R"(},"additionalProperties":false}}},"additionalProperties":false})",
     .run = list_messages},
    {.path = "/api/v1/messages/{id}",
     .summary = "One message; of one to devices also the JSON Schema of its fields.",
     .parameters = message_parameters,
     .response_schema =
         R"({"type":"object","required":["id","name","direction","source"],"properties":{)"
         RG_MESSAGE_INFO
         R"(,"versions":{"type":"array","items":{"type":"string"}},)"
         R"("has_secrets":{"type":"boolean"},)"
         R"("answer":{"type":"object","required":["rule"],"properties":{)"
         R"("rule":{"enum":["none","general","own","both","either"]},"id":{"type":"string"}}},)"
         R"("forms":{"type":"array","items":{"type":"object","required":["versions","fields"],)"
         R"("properties":{"versions":{"type":"array","items":{"type":"string"}},)"
         R"("fields":{"type":"object","description":"A JSON Schema."}},)"
         R"("additionalProperties":false}}},"additionalProperties":false})",
     .run = get_message},
    {.method = http::Method::post,
     .path = "/api/v1/messages/decode",
     .summary = "A frame as JSON. Secrets are stars for whoever is no admin.",
     .request_schema = frame_schema,
     .response_schema = R"({"type":"object","required":["frame","message"],"properties":{)"
                        R"("frame":{"type":"string"},"message":{"type":"object"}},)"
                        R"("additionalProperties":false})",
     .body_bytes_max = 2 * frame_body_max,
     .run = decode},
    {.method = http::Method::post,
     .path = "/api/v1/messages/explain",
     .summary = "A frame byte by byte: what stands where, and which clause says so.",
     .request_schema = frame_schema,
     .response_schema =
         R"({"type":"object","required":["frame","lines"],"properties":{)"
         R"("frame":{"type":"string"},"lines":{"type":"array","items":{"type":"object",)"
         R"("required":["kind","depth","offset","size","name"],"properties":{)"
         R"("kind":{"enum":["title","field","length","item","unknown","problem"]},)"
         R"("depth":{"type":"integer","minimum":0},"offset":{"type":"integer","minimum":0},)"
         R"("size":{"type":"integer","minimum":0},"bytes":{"type":"string"},)"
         R"("name":{"type":"string"},"value":{"type":"string"},"unit":{"type":"string"},)"
         R"("source":{"type":"string"},"note":{"type":"string"},"secret":{"type":"boolean"}},)"
         R"("additionalProperties":false}}},"additionalProperties":false})",
     .body_bytes_max = 2 * frame_body_max,
     .run = explain},
    {.method = http::Method::post,
     .path = "/api/v1/messages/encode",
     .summary = "JSON as decode shows it, as a frame.",
     .request_schema = R"({"type":"object"})",
     .response_schema =
         R"({"type":"object","required":["frame"],"properties":{"frame":{"type":"string",)"
         R"("description":"As the log stores it."},"wire":{"type":"string",)"
         R"("description":"Where it is one packet: from 7e to 7e."}},)"
         R"("additionalProperties":false})",
     .body_bytes_max = 2 * frame_body_max,
     .run = encode},
};

#undef RG_MESSAGE_INFO

}  // namespace

const std::span<const Route> message_routes = routes;

}  // namespace ringgate::api
