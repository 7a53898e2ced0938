// Section `blob` of the configuration.
#pragma once

#include "engine/config/settings.hpp"
#include "storage/blob/options.hpp"

namespace ringgate::blob {

inline constexpr config::KeySpec keys[] = {
    {.name = "blob.max_size",
     .type = config::KeyType::size,
     .default_text = "256MiB",
     .doc = "Largest file that is taken; a device that announces a larger one is refused.",
     .min = 1,
     .max = std::int64_t{1} << 40},
    {.name = "blob.device_uploads",
     .type = config::KeyType::integer,
     .default_text = "16",
     .doc = "Uploads that one device may have open at a time.",
     .min = 1,
     .max = uploads_max,
     .unit = "uploads"},
    {.name = "blob.device_unfinished",
     .type = config::KeyType::size,
     .default_text = "1GiB",
     .doc = "Bytes that the open uploads of one device may announce together.",
     .min = 1},
    {.name = "blob.unfinished_size",
     .type = config::KeyType::size,
     .default_text = "4GiB",
     .doc = "Disk space that unfinished uploads of all devices may take together.",
     .min = 1},
    {.name = "blob.unfinished_age",
     .type = config::KeyType::duration,
     .default_text = "24h",
     .doc = "An unfinished upload that nobody has gone on with for this long is removed.",
     .min = ns_per_s},
    {.name = "blob.buffers",
     .type = config::KeyType::size,
     .default_text = "16MiB",
     .doc = "Memory in which a shard gathers uploads before it writes them.",
     .min = 4 * buffer_bytes,
     .max = std::int64_t{1} << 34},
    {.name = "blob.retention_size",
     .type = config::KeyType::size,
     .default_text = "0B",
     .doc = "Oldest files go when all together are larger than this; 0B keeps everything."},
    {.name = "blob.retention_age",
     .type = config::KeyType::duration,
     .default_text = "0s",
     .doc = "Files go when they are older than this; 0s keeps everything."},
    {.name = "blob.min_free",
     .type = config::KeyType::size,
     .default_text = "1GiB",
     .doc = "Uploads are refused that would leave less free disk space: the log comes first."},
};

BlobOptions blob_options(const config::Settings& settings);

}  // namespace ringgate::blob
