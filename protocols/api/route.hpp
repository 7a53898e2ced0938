// The table of routes of the REST API: what each request does, who may, and what the OpenAPI
// document says of it. One entry is all that a new operation needs.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "protocols/http/codec/head.hpp"

namespace ringgate::api {

class Call;
class Plane;
using CallPtr = std::shared_ptr<Call>;

// What a token must be allowed to do.
enum class Scope : std::uint8_t { read, command, admin };
inline constexpr std::string_view scope_names[] = {"read", "command", "admin"};

// How a request comes in.
enum class Entry : std::uint8_t {
  by_scope,  // somebody who has the route's scope
  open,      // anybody; the handler looks at who it is
  login,     // likewise, and rarely
};

struct Parameter {
  enum class In : std::uint8_t { path, query, header };
  std::string_view name;
  In in = In::query;
  std::string_view doc;
  std::string_view schema = R"({"type":"string"})";  // JSON Schema
  bool required = false;
};

// Of a route; a test counts them.
inline constexpr std::size_t parameters_max = 32;

// The "{id}" of paths below /devices and /registrations.
inline constexpr Parameter device_parameter{.name = "id",
                                            .in = Parameter::In::path,
                                            .doc = "The device's number, as the list has it.",
                                            .required = true};

struct Route {
  http::Method method = http::Method::get;
  std::string_view path;  // "/api/v1/devices/{id}": a member in braces takes one segment
  Scope scope = Scope::read;
  Entry entry = Entry::by_scope;
  std::string_view summary;
  std::span<const Parameter> parameters;
  std::string_view request_schema;   // of the body; empty: it has none
  std::string_view response_schema;  // of a successful answer's body; empty: it has none
  std::string_view response_type = "application/json";
  std::span<const std::string_view> other_types = {};  // other forms that it may be asked for
  std::uint16_t success = 200;  // the status of a successful answer, 204: without a body
  std::uint16_t also = 0;       // another one with the same body (202, 206), 0: none
  bool tagged = false;          // ETag, and 304 to who has it
  std::uint64_t body_bytes_max = 0;
  bool noted = true;  // a change by it is a line in the gateway's log
  void (*run)(Plane& plane, const CallPtr& call) = nullptr;  // on the plane's thread
};

// All tables, one for each file of handlers.
std::span<const std::span<const Route>> route_tables();

struct RouteMatch {
  const Route* route = nullptr;
  bool path_known = false;  // but not with this method: 405
};
// The route of a path that is not decoded yet; fills `values` with the segments that stand for
// names in braces, in their order, still encoded.
constexpr std::size_t path_values_max = 4;
struct PathValues {
  std::string_view at[path_values_max];
  std::size_t count = 0;
};
RouteMatch match_route(http::Method method, std::string_view path, PathValues& values);
// "GET, POST": for the Allow field of a 405.
void allowed_methods(std::string_view path, std::string& out);

}  // namespace ringgate::api
