// What the blobs of one shard count. Lives on the shard.
#pragma once

#include "engine/observe/counter.hpp"
#include "storage/blob/store.hpp"

namespace ringgate::blob {

inline constexpr std::string_view failure_names[] = {
    "none", "too-large",  "too-many", "device-full", "disk-full",
    "busy", "disk-error", "log",      "taken-over",  "stopping"};
static_assert(std::size(failure_names) == static_cast<std::size_t>(Failure::count));

inline constexpr observe::MetricSpec blobs_stored{.name = "ringgate_blob_stored_total",
                                                  .help = "Files stored and listed in the log."};
inline constexpr observe::MetricSpec blob_bytes{.name = "ringgate_blob_stored_bytes_total",
                                                .help = "Bytes of those files."};
inline constexpr observe::MetricSpec blob_failures{.name = "ringgate_blob_failed_total",
                                                   .help = "Uploads refused or ended, by reason.",
                                                   .label = "reason",
                                                   .values = failure_names};
inline constexpr observe::MetricSpec blob_resumes{
    .name = "ringgate_blob_resumed_total", .help = "Uploads that went on where they had stopped."};
inline constexpr observe::MetricSpec blob_duplicate_bytes{
    .name = "ringgate_blob_duplicate_bytes_total",
    .help = "Received bytes that were there already and were not written again."};
inline constexpr observe::MetricSpec blob_writes{.name = "ringgate_blob_writes_total",
                                                 .help = "Writes of file content submitted."};
inline constexpr observe::MetricSpec blobs_open{.name = "ringgate_blob_uploads_open",
                                                .help = "Uploads under way.",
                                                .kind = observe::MetricKind::gauge};
inline constexpr observe::MetricSpec blob_buffers_used{
    .name = "ringgate_blob_buffers_used_bytes",
    .help = "Memory in which uploads are gathered now.",
    .kind = observe::MetricKind::gauge};

struct Counters {
  explicit Counters(observe::CounterGroup& group)
      : stored(group.counter(blobs_stored)), bytes(group.counter(blob_bytes)),
        failed(group.family<Failure>(blob_failures)), resumed(group.counter(blob_resumes)),
        duplicate_bytes(group.counter(blob_duplicate_bytes)), writes(group.counter(blob_writes)),
        open(group.gauge(blobs_open)), buffers(group.gauge(blob_buffers_used)) {}

  observe::Counter stored;
  observe::Counter bytes;
  observe::Family<Failure> failed;
  observe::Counter resumed;
  observe::Counter duplicate_bytes;
  observe::Counter writes;
  observe::Gauge open;
  observe::Gauge buffers;
};

}  // namespace ringgate::blob
