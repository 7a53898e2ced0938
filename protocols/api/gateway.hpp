// Routes about the gateway itself: figures, sinks, configuration, who takes the stream,
// who sends most, what went wrong, who tests it.
#pragma once

#include <span>

#include "protocols/api/route.hpp"

namespace ringgate::api {

extern const std::span<const Route> error_routes;    // errors.cpp
extern const std::span<const Route> gateway_routes;  // gateway.cpp
extern const std::span<const Route> run_routes;      // runs.cpp
extern const std::span<const Route> talker_routes;   // talkers.cpp

}  // namespace ringgate::api
