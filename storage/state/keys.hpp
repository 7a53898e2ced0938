// Section `state` of the configuration.
#pragma once

#include "engine/base/clock.hpp"
#include "engine/config/schema.hpp"

namespace ringgate::state {

inline constexpr config::KeySpec keys[] = {
    {.name = "state.snapshot_interval",
     .type = config::KeyType::duration,
     .default_text = "10m",
     .doc = "Registrations, bans and waiting commands are written to a snapshot this often.",
     .min = 1 * ns_per_s,
     .max = 24 * 3600 * ns_per_s},
    {.name = "state.snapshot_bytes",
     .type = config::KeyType::size,
     .default_text = "1GiB",
     .doc = "And when so much log has been written since: what a start has to read again.",
     .min = 1 << 20},
};

}  // namespace ringgate::state
