// The tables of routes, one for each file of handlers (route.cpp gathers them).
#pragma once

#include <span>

#include "protocols/api/route.hpp"

namespace ringgate::api {

extern const std::span<const Route> device_routes;  // devices.cpp
extern const std::span<const Route> login_routes;   // login.cpp
extern const std::span<const Route> map_routes;     // map.cpp
extern const std::span<const Route> meta_routes;    // meta.cpp

}  // namespace ringgate::api
