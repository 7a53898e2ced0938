// What the gateway says of itself: its counters, and what it can be asked.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>

#include "engine/base/json_writer.hpp"
#include "protocols/api/login.hpp"
#include "protocols/api/plane.hpp"
#include "protocols/api/routes.hpp"
#include "protocols/http/codec/target.hpp"

namespace ringgate::api {

namespace {

// The same figures as OpenMetrics 1.0 writes them: a family of counters is named without the _total
// that its samples end in, units are said, quotes in helps are escaped, and the end is marked.
std::string as_openmetrics(std::string_view prometheus) {
  std::string out;
  out.reserve(prometheus.size() + prometheus.size() / 8);
  while (!prometheus.empty()) {
    const std::size_t end = std::min(prometheus.find('\n'), prometheus.size() - 1);
    const std::string_view line = prometheus.substr(0, end);
    prometheus.remove_prefix(end + 1);
    const bool help = line.starts_with("# HELP ");
    if (!help && !line.starts_with("# TYPE ")) {
      out.append(line).append("\n");
      continue;
    }
    constexpr std::size_t prefix = 7;
    const std::size_t name_end = line.find(' ', prefix);
    std::string_view name = line.substr(prefix, name_end - prefix);
    if (name.ends_with("_total")) name.remove_suffix(6);
    out.append(line.substr(0, prefix)).append(name);
    for (const char c : line.substr(name_end)) {
      if (help && c == '"') out += '\\';
      out += c;
    }
    out += '\n';
    for (const std::string_view unit : {"seconds", "bytes"}) {
      if (help || !name.ends_with(unit)) continue;
      out.append("# UNIT ").append(name).append(" ").append(unit).append("\n");
    }
  }
  return out += "# EOF\n";
}

// Whether an Accept wants OpenMetrics at least as much as the other form, and names it.
bool wants_openmetrics(std::string_view accept) {
  constexpr std::string_view open = "application/openmetrics-text";
  const int weight = http::accepted_weight(accept, open);
  const int other = http::accepted_weight(accept, "text/plain");
  return weight > other || (weight == other && weight > 0 && accept.find(open) != accept.npos);
}

// OpenMetrics for whoever asks for it, else text format 0.0.4 of Prometheus.
void get_metrics(Plane& plane, const CallPtr& call) {
  std::string text;
  plane.parts().registry.print(text);
  if (!wants_openmetrics(call->field("accept"))) {
    return call->answer(std::move(text), 200, "text/plain; version=0.0.4; charset=utf-8",
                        "Vary: Accept\r\n");
  }
  call->answer(as_openmetrics(text), 200,
               "application/openmetrics-text; version=1.0.0; charset=utf-8",
               "Vary: Accept\r\n");
}

constexpr std::string_view problem_schema =
    R"({"type":"object","required":["title","status"],"properties":{"title":{"type":"string"},)"
    R"("status":{"type":"integer","minimum":400,"maximum":599},"detail":{"type":"string"}}})";

void write_parameter(const Parameter& parameter, JsonWriter& json) {
  constexpr std::string_view places[] = {"path", "query", "header"};
  json.begin_object();
  json.key("name").text(parameter.name);
  json.key("in").text(places[static_cast<std::size_t>(parameter.in)]);
  json.key("description").text(parameter.doc);
  if (parameter.required) json.key("required").boolean(true);
  json.key("schema").raw(parameter.schema);
  json.end_object();
}

// Of the schema's type, and of others that no schema tells of.
void write_contents(const Route& route, JsonWriter& json) {
  json.key("content").begin_object().key(route.response_type).begin_object();
  json.key("schema").raw(route.response_schema).end_object();
  for (const std::string_view type : route.other_types) {
    json.key(type).begin_object().end_object();
  }
  json.end_object();
}

void write_content(std::string_view type, std::string_view schema, JsonWriter& json) {
  json.key("content").begin_object().key(type).begin_object();
  json.key("schema").raw(schema);
  json.end_object().end_object();
}

// What generators call a client's function: get_devices_id_track.
std::string operation_id(const Route& route) {
  std::string_view path = route.path;
  constexpr std::string_view base = "/api/v1";
  if (path.starts_with(base)) path.remove_prefix(base.size());
  std::string id(http::name_of(route.method));
  id += path;
  std::erase_if(id, [](char c) { return c == '{' || c == '}'; });
  for (char& c : id) {
    const bool word = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    c = word ? static_cast<char>(c | 0x20) : '_';
  }
  return id;
}

void write_operation(const Route& route, JsonWriter& json) {
  json.begin_object();
  json.key("operationId").text(operation_id(route));
  json.key("summary").text(route.summary);
  json.key("parameters").begin_array();
  for (const Parameter& parameter : route.parameters) write_parameter(parameter, json);
  json.end_array();
  if (!route.request_schema.empty()) {
    json.key("requestBody").begin_object().key("required").boolean(true);
    write_content("application/json", route.request_schema, json);
    json.end_object();
  }
  json.key("security").begin_array();
  if (route.entry == Entry::by_scope) {
    for (const std::string_view scheme : {"token", "cookie"}) {
      json.begin_object().key(scheme).begin_array();
      json.text(scope_names[static_cast<std::size_t>(route.scope)]).end_array().end_object();
    }
  }
  json.end_array();
  json.key("responses").begin_object();
  for (const std::uint16_t status : {route.success, route.also}) {
    if (status == 0) continue;
    json.key(std::to_string(status)).begin_object();
    json.key("description").text(status == 202   ? "taken; it goes on"
                                : status == 206 ? "a part of it"
                                                : "done");
    if (!route.response_schema.empty() && status != 204) write_contents(route, json);
    json.end_object();
  }
  if (route.tagged) {
    json.key("304").begin_object().key("description").text("you have it").end_object();
  }
  json.key("default").begin_object().key("description").text("what is wrong (RFC 9457)");
  write_content("application/problem+json", problem_schema, json);
  json.end_object().end_object().end_object();
}

// OpenAPI 3.1, from the tables of routes.
void get_openapi(Plane&, const CallPtr& call) {
  std::map<std::string_view, std::map<std::string_view, const Route*>> paths;
  for (const std::span<const Route> table : route_tables()) {
    for (const Route& route : table) paths[route.path][http::name_of(route.method)] = &route;
  }
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("openapi").text("3.1.0");
  json.key("info").begin_object().key("title").text("ringgate").key("version").text("1");
  json.end_object().key("paths").begin_object();
  for (const auto& [path, methods] : paths) {
    json.key(path).begin_object();
    for (const auto& [name, route] : methods) {
      std::string lower(name);
      for (char& c : lower) c = static_cast<char>(c | 0x20);
      json.key(lower);
      write_operation(*route, json);
    }
    json.end_object();
  }
  json.end_object().key("components").begin_object().key("securitySchemes").begin_object();
  json.key("token").begin_object().key("type").text("http").key("scheme").text("bearer");
  json.end_object().key("cookie").begin_object().key("type").text("apiKey");
  json.key("in").text("cookie").key("name").text(login_cookie);
  json.key("description").text(fmt::format(
      "From POST /api/v1/login; changes need {} besides, as /api/v1/whoami gives it.", csrf_field));
  json.end_object().end_object().end_object().end_object();
  call->answer(std::move(text));
}

constexpr Route routes[] = {
    {.path = "/metrics",
     .summary = "All counters, in the text format of Prometheus.",
     .response_schema = R"({"type":"string"})",
     .response_type = "text/plain",
     .run = get_metrics},
    {.path = "/api/v1/openapi.json",
     .summary = "This document.",
     .response_schema = R"({"type":"object"})",
     .run = get_openapi},
};

}  // namespace

const std::span<const Route> meta_routes = routes;

}  // namespace ringgate::api
