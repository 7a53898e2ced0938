// Section `attachment` of the configuration.
#pragma once

#include "engine/net/listener.hpp"

namespace ringgate::jt808 {

inline constexpr std::string_view attachment_admissions[] = {"open", "expected"};

inline constexpr config::KeySpec attachment_keys[] = {
    RG_LISTENER_KEYS("attachment", ""),
    {.name = "attachment.admission",
     .type = config::KeyType::choice,
     .default_text = "open",
     .doc = "Whose files are taken: every terminal's, or only those asked for by a 0x9208.",
     .apply = config::Apply::live,
     .choices = attachment_admissions},
    {.name = "attachment.max_file_size",
     .type = config::KeyType::size,
     .default_text = "64MiB",
     .doc = "Largest file of an alarm; blob.max_size bounds it as well.",
     .apply = config::Apply::live,
     .max = (std::int64_t{1} << 32) - 1},
    {.name = "attachment.max_files",
     .type = config::KeyType::integer,
     .default_text = "64",
     .doc = "Files that a terminal may send for one alarm on a link.",
     .apply = config::Apply::live,
     .min = 1,
     .max = 255,
     .unit = "files"},
    {.name = "attachment.max_resends",
     .type = config::KeyType::integer,
     .default_text = "100",
     .doc = "Times that pieces of a file are asked for again before its link is closed.",
     .apply = config::Apply::live,
     .max = 65535,
     .unit = "times"},
    {.name = "attachment.upload_timeout",
     .type = config::KeyType::duration,
     .default_text = "10m",
     .doc = "A file that is not whole within this time ends its link; it can be resumed.",
     .apply = config::Apply::live,
     .min = ns_per_s / 10,
     .max = 24 * 3600 * ns_per_s},
    {.name = "attachment.max_bad_frames",
     .type = config::KeyType::integer,
     .default_text = "20",
     .doc = "More bad frames than this close a link.",
     .apply = config::Apply::live,
     .max = 65535,
     .unit = "frames"},
};

}  // namespace ringgate::jt808
