#include "protocols/api/route.hpp"

#include <algorithm>
#include <string>

#include "protocols/api/gateway.hpp"
#include "protocols/api/routes.hpp"

namespace ringgate::api {

namespace {

std::string_view take_segment(std::string_view& path) {
  const std::size_t end = std::min(path.find('/'), path.size());
  const std::string_view segment = path.substr(0, end);
  path.remove_prefix(std::min(end + 1, path.size()));
  return segment;
}

bool matches(std::string_view pattern, std::string_view path, PathValues& values) {
  values.count = 0;
  if (std::ranges::count(pattern, '/') != std::ranges::count(path, '/')) return false;
  while (!pattern.empty() || !path.empty()) {
    const std::string_view wanted = take_segment(pattern);
    const std::string_view there = take_segment(path);
    if (wanted.starts_with('{')) {
      if (there.empty()) return false;
      values.at[values.count++] = there;
    } else if (wanted != there) {
      return false;
    }
  }
  return true;
}

}  // namespace

// Not a constant of its own: the tables are initialised in other files.
std::span<const std::span<const Route>> route_tables() {
  static const std::span<const Route> tables[] = {
      alarm_routes,
      device_routes,
      error_routes,
      login_routes,
      gateway_routes,
      map_routes,
      media_routes,
      meta_routes,
      act_routes,
      command_routes,
      many_routes,
      message_routes,
      record_routes,
      registration_routes,
      run_routes,
      stream_routes,
      talker_routes,
      track_routes,
  };
  return tables;
}

RouteMatch match_route(http::Method method, std::string_view path, PathValues& values) {
  RouteMatch found;
  const http::Method wanted = method == http::Method::head ? http::Method::get : method;
  PathValues here;
  for (const std::span<const Route> table : route_tables()) {
    for (const Route& route : table) {
      if (!matches(route.path, path, here)) continue;
      found.path_known = true;
      if (route.method != wanted) continue;
      found.route = &route;
      values = here;
      return found;
    }
  }
  return found;
}

void allowed_methods(std::string_view path, std::string& out) {
  PathValues values;
  for (const std::span<const Route> table : route_tables()) {
    for (const Route& route : table) {
      if (!matches(route.path, path, values)) continue;
      if (!out.empty()) out += ", ";
      out += http::name_of(route.method);
      if (route.method == http::Method::get) out += ", HEAD";
    }
  }
}

}  // namespace ringgate::api
