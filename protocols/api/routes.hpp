// The tables of routes, one for each file of handlers (route.cpp gathers them).
#pragma once

#include <span>

#include "protocols/api/route.hpp"

namespace ringgate::api {

extern const std::span<const Route> alarm_routes;   // alarms.cpp
extern const std::span<const Route> device_routes;  // devices.cpp
extern const std::span<const Route> login_routes;   // login.cpp
extern const std::span<const Route> map_routes;     // map.cpp
extern const std::span<const Route> act_routes;      // acts.cpp
extern const std::span<const Route> command_routes;  // commands.cpp
extern const std::span<const Route> many_routes;     // many.cpp
extern const std::span<const Route> media_routes;   // media.cpp
extern const std::span<const Route> message_routes;  // messages.cpp
extern const std::span<const Route> registration_routes;  // registrations.cpp
extern const std::span<const Route> meta_routes;    // meta.cpp
extern const std::span<const Route> record_routes;  // records.cpp
extern const std::span<const Route> stream_routes;  // streams.cpp
extern const std::span<const Route> track_routes;   // track.cpp

}  // namespace ringgate::api
