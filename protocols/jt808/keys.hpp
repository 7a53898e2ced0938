// Section `jt808` of the configuration.
#pragma once

#include "engine/net/listener.hpp"

namespace ringgate::jt808 {

inline constexpr std::string_view admissions[] = {"open"};
inline constexpr std::string_view durabilities[] = {"commit", "none"};

inline constexpr config::KeySpec keys[] = {
    RG_LISTENER_KEYS("jt808", "127.0.0.1:7808"),
    {.name = "jt808.admission",
     .type = config::KeyType::choice,
     .default_text = "open",
     .doc = "Who may register: open gives every terminal that asks an authentication code.",
     .choices = admissions},
    {.name = "jt808.durability",
     .type = config::KeyType::choice,
     .default_text = "commit",
     .doc = "When a frame is acknowledged: after its record is on disk, or at once (none).",
     .apply = config::Apply::live,
     .choices = durabilities},
    {.name = "jt808.auth_timeout",
     .type = config::KeyType::duration,
     .default_text = "60s",
     .doc = "A link whose terminal has not authenticated within this time is closed.",
     .apply = config::Apply::new_links,
     .min = ns_per_s / 10,
     .max = 24 * 3600 * ns_per_s},
    {.name = "jt808.max_bad_frames",
     .type = config::KeyType::integer,
     .default_text = "20",
     .doc = "More bad frames than this within the window close the link.",
     .apply = config::Apply::new_links,
     .max = 65535,
     .unit = "frames"},
    {.name = "jt808.bad_frame_window",
     .type = config::KeyType::duration,
     .default_text = "60s",
     .doc = "The window in which bad frames are counted.",
     .apply = config::Apply::new_links,
     .min = ns_per_s,
     .max = 24 * 3600 * ns_per_s},
    {.name = "jt808.log_heartbeats",
     .type = config::KeyType::boolean,
     .default_text = "false",
     .doc = "Whether heartbeats (0x0002) are written to the log.",
     .apply = config::Apply::live},
};

}  // namespace ringgate::jt808
