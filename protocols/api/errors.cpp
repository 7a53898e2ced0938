// What went wrong lately: warnings and errors of the gateway's log, and requests that failed.
#include "engine/base/json_writer.hpp"
#include "engine/base/time_text.hpp"
#include "protocols/api/fleet.hpp"
#include "protocols/api/gateway.hpp"
#include "protocols/api/insight.hpp"
#include "protocols/api/plane.hpp"
#include "protocols/http/counters.hpp"

namespace ringgate::api {

namespace {

void write_line(const observe::KeptLine& line, JsonWriter& json) {
  json.begin_object().key("time").text(time_text(line.time));
  json.key("level").text(observe::level_name(line.level));
  json.key("source").text(line.source);
  json.key("text").text(line.fields.empty() ? line.message : line.message + ": " + line.fields);
  json.key("count").unsigned_integer(line.count);
  json.key("first").text(time_text(line.first)).end_object();
}

void get_errors(Plane& plane, const CallPtr& call) {
  const std::shared_ptr<const Insight> insight = plane.fleet().insight();
  if (insight == nullptr) return call->problem(503, "the gateway is starting");
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("errors").begin_array();
  for (const observe::KeptLine& line : insight->logger->kept_lines()) write_line(line, json);
  json.end_array().key("requests").begin_array();
  for (const Failure& one : plane.failures().all()) {
    json.begin_object().key("time").text(time_text(one.time));
    json.key("method").text(http::name_of(one.route->method));
    json.key("path").text(one.route->path);
    json.key("status").unsigned_integer(one.status);
    json.key("count").unsigned_integer(one.count).end_object();
  }
  json.end_array();
  constexpr auto failed = static_cast<std::size_t>(http::StatusClass::server);
  json.key("failed_answers").integer(plane.parts().registry.total(
      http::responses_sent, http::status_class_names[failed]));
  json.end_object();
  call->answer(std::move(text));
}

#define RG_COUNT R"({"type":"integer","minimum":0})"
#define RG_TEXT R"({"type":"string"})"
#define RG_TIME R"({"type":"string","format":"date-time"})"

constexpr Route routes[] = {
    {.path = "/api/v1/errors",
     .summary = "What went wrong since the start: the last hundred warnings and errors of the log, "
                "newest first, those that repeat as one (time: of the last); requests that were "
                "answered with 500 or more, by route; and how many such answers there were, those "
                "of probes too.",
     .response_schema =
         R"({"type":"object","required":["errors","requests","failed_answers"],"properties":{)"
         R"("errors":{"type":"array","maxItems":100,"items":{"type":"object",)"
         R"("required":["time","level","source","text","count","first"],"properties":{)"
         R"("time":)" RG_TIME R"(,"level":{"enum":["warn","error"]},"source":)" RG_TEXT
         R"(,"text":)" RG_TEXT R"(,"count":{"type":"integer","minimum":1},"first":)" RG_TIME
         R"(},"additionalProperties":false}},"requests":{"type":"array","items":{)"
         R"("type":"object","required":["time","method","path","status","count"],)"
         R"("properties":{"time":)" RG_TIME R"(,"method":)" RG_TEXT R"(,"path":)" RG_TEXT
         R"(,"status":{"type":"integer","minimum":500,"maximum":599},)"
         R"("count":{"type":"integer","minimum":1}},"additionalProperties":false}},)"
         R"("failed_answers":)" RG_COUNT R"(},"additionalProperties":false})",
     .run = get_errors},
};

}  // namespace

const std::span<const Route> error_routes = routes;

}  // namespace ringgate::api
