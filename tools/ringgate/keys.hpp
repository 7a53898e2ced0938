// Sections `server`, `control`, `memory` and `engine` of the configuration.
#pragma once

#include "engine/base/clock.hpp"
#include "engine/base/limits.hpp"
#include "engine/config/schema.hpp"
#include "engine/config/settings.hpp"
#include "engine/io/feature_names.hpp"

namespace ringgate::server {

Result<void> check_feature_name(std::string_view name);
Result<void> check_socket_mode(std::string_view text);
// Of a text that the check has passed.
unsigned socket_mode(std::string_view text);

inline constexpr config::KeySpec keys[] = {
    {.name = "server.shards",
     .type = config::KeyType::integer,
     .default_text = "0",
     .doc = "Shards, each a thread with its own ring; 0 is one per usable CPU.",
     .max = limits::shards_max,
     .unit = "shards"},
    {.name = "server.pin",
     .type = config::KeyType::boolean,
     .default_text = "true",
     .doc = "Pin each shard to a CPU of its own, where there are as many."},
    {.name = "server.data_dir",
     .type = config::KeyType::text,
     .default_text = "ringgate-data",
     .doc = "Directory of the log, the node's identity and its secrets.",
     .min = 1,
     .max = 3000},
    {.name = "server.drain_timeout",
     .type = config::KeyType::duration,
     .default_text = "10s",
     .doc = "How long SIGTERM waits for links to take their last replies and close.",
     .apply = config::Apply::live,
     .max = 3600 * ns_per_s},
    {.name = "server.max_links",
     .type = config::KeyType::integer,
     .default_text = "0",
     .doc = "Links at a time; 0 is what the limit of open files allows.",
     .max = std::int64_t{limits::links_per_shard_max} * limits::shards_max,
     .unit = "links"},
    {.name = "server.status_interval",
     .type = config::KeyType::duration,
     .default_text = "10s",
     .doc = "Time between status lines; 0s is none.",
     .apply = config::Apply::live,
     .max = 24 * 3600 * ns_per_s},
    {.name = "control.enabled",
     .type = config::KeyType::boolean,
     .default_text = "true",
     .doc = "Serve ringgate-ctl on the socket control.sock in the data directory."},
    {.name = "control.socket_mode",
     .type = config::KeyType::text,
     .default_text = "0600",
     .doc = "Who may use that socket: its file mode in octal; 0660 adds the group.",
     .min = 3,
     .max = 4,
     .check = &check_socket_mode},
    {.name = "memory.limit",
     .type = config::KeyType::size,
     .default_text = "0B",
     .doc = "Bytes that links and devices may hold; 0 is half of the machine's memory."},
    {.name = "engine.without",
     .type = config::KeyType::text_list,
     .default_text = "",
     .doc = "Features of the kernel that are not used even where it has them.",
     .max = 32,
     .check = &check_feature_name,
     .hidden = true},
};

}  // namespace ringgate::server
