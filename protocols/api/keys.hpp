// Section `http` of the configuration: the listeners of API, stream and page.
#pragma once

#include "engine/net/listener.hpp"
#include "protocols/api/page/page.hpp"

namespace ringgate::api {

Result<void> check_host_name(std::string_view text);

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
    {.name = "http.trust_loopback",
     .type = config::KeyType::boolean,
     .default_text = "true",
     .doc = "Programs of this machine that come to a loopback address need no token."},
    {.name = "http.hosts",
     .type = config::KeyType::text_list,
     .default_text = "",
     .doc = "Further names of the gateway as browsers have them: gateway.example.com.",
     .max = 64,
     .check = &check_host_name},
    {.name = "http.rate_per_token",
     .type = config::KeyType::integer,
     .default_text = "500",
     .doc = "Requests that one token may make a second; 0 is no bound.",
     .max = 1'000'000,
     .unit = "requests"},
    {.name = "http.rate_per_address",
     .type = config::KeyType::integer,
     .default_text = "500",
     .doc = "Requests that one address may make a second; 0 is no bound.",
     .max = 1'000'000,
     .unit = "requests"},
    {.name = "http.login_lifetime",
     .type = config::KeyType::duration,
     .default_text = "12h",
     .doc = "A browser must log in again after this time.",
     .min = ns_per_s,
     .max = 90 * 24 * 3600 * ns_per_s},
    {.name = "http.login_idle",
     .type = config::KeyType::duration,
     .default_text = "1h",
     .doc = "A browser that has asked nothing for this long must log in again.",
     .min = ns_per_s,
     .max = 90 * 24 * 3600 * ns_per_s},
    config::KeySpec{.name = "http.ping_interval",
                    .type = config::KeyType::duration,
                    .default_text = "30s",
                    .doc = "Ask a WebSocket that was silent for so long whether it lives; 0s: "
                           "never.",
                    .max = 3600 * ns_per_s},
    {.name = "http.query_threads",
     .type = config::KeyType::integer,
     .default_text = "2",
     .doc = "Threads that read the log and files for requests; each serves many in turns.",
     .min = 1,
     .max = 64,
     .unit = "threads"},
};

}  // namespace ringgate::api
