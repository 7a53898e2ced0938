// The live streams as the table of routes and the description have them. Each shard's StreamRoom
// takes such requests itself (stream_room.cpp); what comes here is no GET.
#include "protocols/api/plane.hpp"
#include "protocols/api/routes.hpp"

namespace ringgate::api {

namespace {

void refuse_head(Plane&, const CallPtr& call) {
  call->problem(405, "a stream has no head without its events: GET it");
}

constexpr Parameter event_parameters[] = {
    {.name = "id", .doc = "What the messages name the subscription; \"events\" by default."},
    {.name = "devices", .doc = "Device numbers, with commas between; all by default."},
    {.name = "area", .doc = "LAT,LON,LAT,LON of two corners, in degrees."},
    {.name = "messages", .doc = "Message ids or names, with commas: what such messages brought."},
    {.name = "types",
     .doc = "Of position, alarm, session, command, media, device, message, with commas."},
    {.name = "alarms", .doc = "Types of alarms, with commas; all by default."},
    {.name = "from", .doc = "A cursor: what comes after it. A Last-Event-ID goes before it."},
    {.name = "batch_max",
     .doc = "Events of one message.",
     .schema = R"({"type":"integer","minimum":1,"maximum":1000,"default":100})"},
    {.name = "batch_delay",
     .doc = "How long an event waits for others, 0ms to 40ms.",
     .schema = R"({"type":"string","default":"20ms"})"},
    {.name = "decode",
     .doc = "Whether message events have their body decoded.",
     .schema = R"({"type":"boolean","default":false})"},
};
constexpr Parameter trace_parameters[] = {device_parameter};

constexpr Route routes[] = {
    {.path = "/api/v1/stream",
     .summary = "What is committed, live, over WebSocket: subscriptions are sent as messages.",
     .success = 101,
     .run = refuse_head},
    {.path = "/api/v1/events",
     .summary = "What is committed, live, as server-sent events.",
     .parameters = event_parameters,
     .response_schema = R"({"type":"string"})",
     .response_type = "text/event-stream",
     .run = refuse_head},
    {.path = "/api/v1/devices/{id}/trace",
     .summary = "A device's frames as they come and go, as server-sent events.",
     .parameters = trace_parameters,
     .response_schema = R"({"type":"string"})",
     .response_type = "text/event-stream",
     .run = refuse_head},
};

}  // namespace

const std::span<const Route> stream_routes = routes;

}  // namespace ringgate::api
