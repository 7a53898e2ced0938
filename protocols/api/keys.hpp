// Section `http` of the configuration: the listeners of API, stream and page.
#pragma once

#include "engine/net/listener.hpp"

namespace ringgate::api {

inline constexpr config::KeySpec keys[] = {
    RG_LISTENER_KEYS("http", "127.0.0.1:7880"),
};

}  // namespace ringgate::api
