// What a sink counts; its group is ("sink", name). Of the worker's thread.
#pragma once

#include "engine/observe/counter.hpp"
#include "storage/sink/target.hpp"
#include "storage/sink/worker.hpp"

namespace ringgate::sink {

static_assert(std::size(failure_names) == static_cast<std::size_t>(Failure::count));

inline constexpr observe::MetricSpec sink_records{
    .name = "ringgate_sink_records_total", .help = "Records that the other side has confirmed."};
inline constexpr observe::MetricSpec sink_batches{.name = "ringgate_sink_batches_total",
                                                  .help = "Batches confirmed."};
inline constexpr observe::MetricSpec sink_rows{
    .name = "ringgate_sink_rows_total",
    .help = "Rows, keys or messages that were made of them."};
inline constexpr observe::MetricSpec sink_skipped{
    .name = "ringgate_sink_skipped_total",
    .help = "Records skipped because the other side will never take them."};
inline constexpr observe::MetricSpec sink_failures{.name = "ringgate_sink_failures_total",
                                                   .help = "What went wrong, by reason.",
                                                   .label = "reason",
                                                   .values = failure_names};
inline constexpr observe::MetricSpec sink_lag_bytes{
    .name = "ringgate_sink_lag_bytes",
    .help = "Committed bytes of the log that are not confirmed.",
    .kind = observe::MetricKind::gauge};
inline constexpr observe::MetricSpec sink_lag_seconds{
    .name = "ringgate_sink_lag_seconds",
    .help = "Age of the oldest record that is not confirmed.",
    .kind = observe::MetricKind::gauge};
inline constexpr observe::MetricSpec sink_lost_bytes{
    .name = "ringgate_sink_lost_bytes",
    .help = "Bytes that retention took before the sink had them.",
    .kind = observe::MetricKind::gauge};
inline constexpr observe::MetricSpec sink_state{
    .name = "ringgate_sink_state",
    .help = "0 starting, 1 running, 2 backing off, 3 paused, 4 stopped.",
    .kind = observe::MetricKind::gauge};
inline constexpr observe::MetricSpec sink_write_seconds{
    .name = "ringgate_sink_write_seconds",
    .help = "Time until the other side had a batch.",
    .kind = observe::MetricKind::histogram};

struct Counters {
  explicit Counters(observe::CounterGroup& group)
      : records(group.counter(sink_records)), batches(group.counter(sink_batches)),
        rows(group.counter(sink_rows)), skipped(group.counter(sink_skipped)),
        failures(group.family<Failure>(sink_failures)), lag_bytes(group.gauge(sink_lag_bytes)),
        lag_seconds(group.gauge(sink_lag_seconds)), lost_bytes(group.gauge(sink_lost_bytes)),
        state(group.gauge(sink_state)), write_seconds(group.histogram(sink_write_seconds)) {}

  observe::Counter records;
  observe::Counter batches;
  observe::Counter rows;
  observe::Counter skipped;
  observe::Family<Failure> failures;
  observe::Gauge lag_bytes;
  observe::Gauge lag_seconds;
  observe::Gauge lost_bytes;
  observe::Gauge state;
  observe::Histogram& write_seconds;
};

}  // namespace ringgate::sink
