// Section `http` of the configuration: the listeners of API, stream and page.
#pragma once

#include "engine/net/listener.hpp"
#include "protocols/api/page/page.hpp"

namespace ringgate::api {

inline constexpr config::KeySpec keys[] = {
    RG_LISTENER_KEYS("http", "127.0.0.1:7880"),
    {.name = "http.tile_url",
     .type = config::KeyType::text,
     .default_text = "",
     .doc = "Tiles of the page's map, https://HOST/{z}/{x}/{y}.png; empty: its own outline only.",
     .max = 512,
     .check = &check_tile_url},
    {.name = "http.tile_attribution",
     .type = config::KeyType::text,
     .default_text = "",
     .doc = "What the owner of the tiles wants to be said on the map.",
     .max = 200},
    {.name = "http.tile_gcj02",
     .type = config::KeyType::boolean,
     .default_text = "false",
     .doc = "The tiles are shifted as maps of China are (GCJ-02): shift what is drawn on them."},
};

}  // namespace ringgate::api
