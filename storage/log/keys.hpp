// Section `log` of the configuration.
#pragma once

#include "engine/config/settings.hpp"
#include "storage/log/options.hpp"

namespace ringgate::log {

inline constexpr std::string_view on_failures[] = {"refuse", "hold"};
inline constexpr std::string_view compressions[] = {"off", "zstd"};
inline constexpr std::string_view directs[] = {"auto", "off"};

inline constexpr config::KeySpec keys[] = {
    {.name = "log.segment_size",
     .type = config::KeyType::size,
     .default_text = "64MiB",
     .doc = "Size of a segment file; old segments are removed or used again as a whole.",
     .min = static_cast<std::int64_t>(segment_size_min),
     .max = static_cast<std::int64_t>(segment_size_max)},
    {.name = "log.retention_bytes",
     .type = config::KeyType::size,
     .default_text = "0B",
     .doc = "Oldest segments go when all together are larger than this; 0B keeps everything."},
    {.name = "log.retention_age",
     .type = config::KeyType::duration,
     .default_text = "0s",
     .doc = "Segments go when their last record is older than this; 0s keeps everything."},
    {.name = "log.retention_hard_bytes",
     .type = config::KeyType::size,
     .default_text = "0B",
     .doc = "Segments that the state or a sink still needs go all the same when the log is larger "
            "than this; 0B is twice log.retention_bytes, and never where that is 0B."},
    {.name = "log.compress",
     .type = config::KeyType::choice,
     .default_text = "zstd",
     .doc = "Full segments are compressed in the background when nothing else wants the CPU; off "
            "keeps them as they were written.",
     .choices = compressions},
    {.name = "log.compress_after",
     .type = config::KeyType::duration,
     .default_text = "1h",
     .doc = "How old the last record of a segment must be before it is compressed."},
    {.name = "log.on_failure",
     .type = config::KeyType::choice,
     .default_text = "refuse",
     .doc = "When the disk takes nothing: refuse answers data with result 1, hold stops reading.",
     .choices = on_failures},
    {.name = "log.direct",
     .type = config::KeyType::choice,
     .default_text = "auto",
     .doc = "auto writes past the page cache where the file system can; off never does.",
     .choices = directs,
     .hidden = true},
    {.name = "log.dsync",
     .type = config::KeyType::boolean,
     .default_text = "true",
     .doc = "false acknowledges what a power cut may lose: only for tests that show the loss.",
     .hidden = true},
};

// Sizes are rounded down to whole blocks; batches are at most a quarter of a segment.
LogOptions log_options(const config::Settings& settings);

}  // namespace ringgate::log
