// Devices: one of them.
#include <fmt/format.h>

#include "engine/base/json_writer.hpp"
#include "protocols/api/plane.hpp"
#include "protocols/api/routes.hpp"

namespace ringgate::api {

namespace {

void get_device(Plane& plane, const CallPtr& call) {
  const auto device = plane.device_of(call);
  if (!device) return;
  plane.ask(
      call, plane.home_of(*device),
      [device = *device](event::DeviceGate& gate, ShardAnswer& answer) {
        JsonWriter json(answer.text);
        json.begin_object();
        answer.done = gate.describe(device, json);
        json.end_object();
      },
      [call](ShardAnswer& answer) {
        if (answer.done) return call->answer(std::move(answer.text));
        call->problem(404, fmt::format("no device {} is known here", call->value(0)));
      });
}

constexpr Parameter id_parameter = {.name = "id",
                                    .in = Parameter::In::path,
                                    .doc = "The device's number, as ringgate-ctl devices lists it.",
                                    .required = true};
constexpr Parameter device_parameters[] = {id_parameter};

constexpr Route routes[] = {
    {.path = "/api/v1/devices/{id}",
     .summary = "One device: its session, its last state and its counters.",
     .parameters = device_parameters,
     .request_schema = {},
     .response_schema = R"({"type":"object"})",
     .run = get_device},
};

}  // namespace

const std::span<const Route> device_routes = routes;

}  // namespace ringgate::api
