// What a map shows: devices of an area, or cells of many.
#include <fmt/format.h>

#include "engine/base/crc32c.hpp"
#include "engine/base/json_writer.hpp"
#include "engine/base/time_text.hpp"
#include "protocols/api/asked.hpp"
#include "protocols/api/fleet.hpp"
#include "protocols/api/plane.hpp"
#include "protocols/api/routes.hpp"

namespace ringgate::api {

namespace {

// A grid of so many cells along the longer side of the area, and devices where they are that few.
constexpr std::uint64_t cells_default = 48;
constexpr std::uint64_t cells_max = 128;
constexpr std::uint64_t points_default = 2000;
constexpr std::uint64_t points_most = 10'000;

void write_tally(const Tally& tally, JsonWriter& json) {
  json.key("devices").unsigned_integer(tally.devices);
  json.key("online").unsigned_integer(tally.online);
  json.key("alarm").unsigned_integer(tally.alarm);
}

void write_cells(const Mirror& mirror, const Area& area, std::uint32_t count, JsonWriter& json) {
  json.key("cell_deg").number(Mirror::cell_deg(area, count), 9);
  json.key("cells").begin_array();
  for (const Cell& cell : mirror.cells(area, count)) {
    const double devices = cell.tally.devices;
    double longitude = (static_cast<double>(cell.longitude_sum_x1e6) / devices +
                        area.west_x1e6) / 1e6;
    if (longitude > 180) longitude -= 360;
    json.begin_object();
    json.key("latitude_deg").number(static_cast<double>(cell.latitude_sum_x1e6) / devices / 1e6,
                                    6);
    json.key("longitude_deg").number(longitude, 6);
    write_tally(cell.tally, json);
    json.end_object();
  }
  json.end_array();
}

void write_device(const Mirror& mirror, Mirror::Slot slot, std::string_view id_key,
                  JsonWriter& json) {
  const Mirror::Device& device = mirror.at(slot);
  json.begin_object();
  json.key(id_key).text(device.key.id());
  if (device.plate_size > 0) json.key("plate").text(device.plate());
  json.key("online").boolean((mirror.flags(slot) & Mirror::online_flag) != 0);
  json.key("latitude_deg").number(mirror.latitude_x1e6(slot) / 1e6, 6);
  json.key("longitude_deg").number(mirror.longitude_x1e6(slot) / 1e6, 6);
  json.key("speed_kmh").number(device.speed_kmh_x10 / 10.0, 1);
  json.key("heading_deg").unsigned_integer(device.heading_deg);
  json.key("alarm_bits").unsigned_integer(device.alarm_bits);
  json.key("last_heard").text(time_text(device.last_heard_us));
  json.end_object();
}

std::string map_json(const Mirror& mirror, const Area& area, std::uint32_t cells,
                     std::uint32_t points_max, std::string_view id_key) {
  std::vector<Mirror::Slot> slots;
  const Tally inside = mirror.inside(area, points_max, slots);
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("total").begin_object();
  write_tally(mirror.all(), json);
  json.key("located").unsigned_integer(mirror.located()).end_object();
  json.key("inside").begin_object();
  write_tally(inside, json);
  json.end_object();
  if (inside.devices > points_max) {
    write_cells(mirror, area, cells, json);
  } else {
    json.key("devices").begin_array();
    for (const Mirror::Slot slot : slots) write_device(mirror, slot, id_key, json);
    json.end_array();
  }
  json.end_object();
  return text;
}

void get_map(Plane& plane, const CallPtr& call) {
  std::optional<query::Area> asked;
  if (!asked_area(*call, asked)) return;
  const Area area = asked ? Area::of(*asked) : Area();
  const auto cells = call->number("cells", cells_default, 1, cells_max);
  if (!cells) return;
  const auto points_max = call->number("points_max", points_default, 0, points_most);
  if (!points_max) return;
  plane.fleet().use(call, [&plane, call, area, cells = static_cast<std::uint32_t>(*cells),
                           points = static_cast<std::uint32_t>(*points_max)](
                              const Mirror& mirror) {
    std::string body =
        map_json(mirror, area, cells, points, plane.parts().devices.id_key());
    const Bytes bytes{reinterpret_cast<const std::uint8_t*>(body.data()), body.size()};
    const std::string tag = fmt::format("\"{:08x}-{:x}\"", crc32c(0, bytes), body.size());
    const std::string fields = fmt::format("ETag: {}\r\nCache-Control: no-cache\r\n", tag);
    if (call->field("if-none-match").find(tag) != std::string_view::npos) {
      return call->answer({}, 304, {}, fields);
    }
    call->answer(std::move(body), 200, "application/json", fields);
  });
}

constexpr Parameter map_parameters[] = {
    {.name = "area",
     .doc = "south,west,north,east in degrees (WGS-84); west > east crosses 180 degrees. "
            "Default: all of Earth."},
    {.name = "cells",
     .doc = "Cells along the longer side of the area, at most; half of it at least.",
     .schema = R"({"type":"integer","minimum":1,"maximum":128,"default":48})"},
    {.name = "points_max",
     .doc = "So many devices are shown one by one; more of them as cells.",
     .schema = R"({"type":"integer","minimum":0,"maximum":10000,"default":2000})"},
};

#define RG_COUNT R"({"type":"integer","minimum":0})"
#define RG_TALLY \
  R"("devices":)" RG_COUNT R"(,"online":)" RG_COUNT R"(,"alarm":)" RG_COUNT
#define RG_PLACE                                                            \
  R"("latitude_deg":{"type":"number","minimum":-90,"maximum":90},)"         \
  R"("longitude_deg":{"type":"number","minimum":-180,"maximum":180})"

constexpr Route routes[] = {
    {.path = "/api/v1/map",
     .summary = "The devices of an area, or where they are many, cells with their numbers and "
                "mean position. If-None-Match answers 304 where nothing has changed.",
     .parameters = map_parameters,
     .response_schema =
         R"({"type":"object","required":["total","inside"],"properties":{)"
         R"("total":{"type":"object","required":["devices","online","alarm","located"],)"
         R"("properties":{)" RG_TALLY R"(,"located":)" RG_COUNT
         R"(},"additionalProperties":false},)"
         R"("inside":{"type":"object","required":["devices","online","alarm"],)"
         R"("properties":{)" RG_TALLY R"(},"additionalProperties":false},)"
         R"("cell_deg":{"type":"number","exclusiveMinimum":0},)"
         R"("cells":{"type":"array","items":{"type":"object",)"
         R"("required":["latitude_deg","longitude_deg","devices","online","alarm"],)"
         R"("properties":{)" RG_PLACE "," RG_TALLY R"(},"additionalProperties":false}},)"
         R"("devices":{"type":"array","items":{"type":"object",)"
         R"("required":["online","latitude_deg","longitude_deg","speed_kmh","heading_deg",)"
         R"("alarm_bits","last_heard"],"properties":{"phone":{"type":"string"},)"
         R"("plate":{"type":"string"},"online":{"type":"boolean"},)" RG_PLACE
         R"(,"speed_kmh":{"type":"number"},"heading_deg":{"type":"integer"},)"
         R"("alarm_bits":)" RG_COUNT R"(,"last_heard":{"type":"string","format":"date-time"})"
         R"(},"additionalProperties":false}}},"additionalProperties":false,)"
         R"("oneOf":[{"required":["cells","cell_deg"]},{"required":["devices"]}]})",
     .tagged = true,
     .run = get_map},
};

}  // namespace

const std::span<const Route> map_routes = routes;

}  // namespace ringgate::api
