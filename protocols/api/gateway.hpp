// Routes about the gateway itself: figures, sinks, configuration, who takes the stream.
#pragma once

#include <span>

#include "protocols/api/route.hpp"

namespace ringgate::api {

extern const std::span<const Route> gateway_routes;  // gateway.cpp

}  // namespace ringgate::api
