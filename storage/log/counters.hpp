// What the log of one shard counts, taken from its writer after each commit. Lives on the shard.
#pragma once

#include "engine/flow/watermark.hpp"
#include "engine/observe/counter.hpp"
#include "storage/log/writer.hpp"

namespace ringgate::log {

inline constexpr observe::MetricSpec records_appended{.name = "ringgate_log_records_total",
                                                      .help = "Records appended to the log."};
inline constexpr observe::MetricSpec record_bytes{
    .name = "ringgate_log_record_bytes_total",
    .help = "Bytes of those records, with headers and padding."};
inline constexpr observe::MetricSpec commits{.name = "ringgate_log_commits_total",
                                             .help = "Finished writes."};
inline constexpr observe::MetricSpec written_bytes{
    .name = "ringgate_log_written_bytes_total",
    .help = "Bytes of those writes: records, and tail blocks written again."};
inline constexpr observe::MetricSpec write_failures{.name = "ringgate_log_write_failures_total",
                                                    .help = "Writes that failed or fell short."};
inline constexpr observe::MetricSpec appends_refused{
    .name = "ringgate_log_appends_refused_total",
    .help = "Records not taken: the disk refuses, or all buffers are full."};
inline constexpr observe::MetricSpec commit_seconds{
    .name = "ringgate_log_commit_seconds",
    .help = "Time from submitting a write to its completion.",
    .kind = observe::MetricKind::histogram};
inline constexpr observe::MetricSpec log_state{
    .name = "ringgate_log_state",
    .help = "State of the log: 0 accepting, 1 refusing, 2 holding.",
    .kind = observe::MetricKind::gauge};

inline constexpr observe::MetricSpec holds_broken{
    .name = "ringgate_log_holds_broken_total",
    .help = "Segments that retention took although the state or a sink still needed them."};

class Counters final : public flow::CommitListener {
 public:
  Counters(observe::CounterGroup& group, const Writer& writer, flow::Watermark& watermark)
      : writer_(writer),
        records_(group.counter(records_appended)),
        record_bytes_(group.counter(log::record_bytes)),
        commits_(group.counter(log::commits)),
        written_bytes_(group.counter(log::written_bytes)),
        failures_(group.counter(write_failures)),
        refused_(group.counter(appends_refused)),
        commit_seconds_(group.histogram(log::commit_seconds)),
        state_(group.gauge(log_state)) {
    watermark.listen(*this);
  }

  void on_commit(Position) override {
    publish();
    commit_seconds_.record(writer_.stats().last_commit_ns);
  }
  void on_log_state(flow::LogState state) override {
    publish();
    state_.set(static_cast<std::int64_t>(state));
  }

 private:
  static void raise(observe::Counter& counter, std::uint64_t to) {
    counter.add(to - counter.value());
  }
  void publish() {
    const WriterStats& stats = writer_.stats();
    raise(records_, stats.records);
    raise(record_bytes_, stats.record_bytes);
    raise(commits_, stats.commits);
    raise(written_bytes_, stats.written_bytes);
    raise(failures_, stats.write_failures);
    raise(refused_, stats.refused);
  }

  const Writer& writer_;
  observe::Counter records_;
  observe::Counter record_bytes_;
  observe::Counter commits_;
  observe::Counter written_bytes_;
  observe::Counter failures_;
  observe::Counter refused_;
  observe::Histogram& commit_seconds_;
  observe::Gauge state_;
};

}  // namespace ringgate::log
