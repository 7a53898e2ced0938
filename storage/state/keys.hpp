// Section `state` of the configuration.
#pragma once

#include "engine/base/clock.hpp"
#include "engine/config/schema.hpp"

namespace ringgate::state {

inline constexpr config::KeySpec keys[] = {
    {.name = "state.snapshot_interval",
     .type = config::KeyType::duration,
     .default_text = "10m",
     .doc = "Registrations, bans, waiting commands and last states of devices go to a snapshot "
            "this often.",
     .min = 1 * ns_per_s,
     .max = 24 * 3600 * ns_per_s},
    {.name = "state.snapshot_bytes",
     .type = config::KeyType::size,
     .default_text = "1GiB",
     .doc = "And when so much log has been written since: what a start has to read again.",
     .min = 1 << 20},
    {.name = "state.forget_after",
     .type = config::KeyType::duration,
     .default_text = "0s",
     .doc = "A device not heard for so long is not known after a restart. 0: it is for ever.",
     .max = 10L * 365 * 24 * 3600 * ns_per_s},
};

}  // namespace ringgate::state
