// What all workers did, second by second and stage by stage: merges their Intervals into rows and
// totals. Plain memory, no clock, one thread.
//
// A row is complete when every worker that is still there has told its part; complete rows come out
// in order. Rows are kept whole up to rows_max; then pairs of neighbours within a stage are merged
// and every later row covers twice the time, so a day fits as well as a minute. Totals are exact
// whatever happens to rows.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/clock.hpp"
#include "tools/common/gateway.hpp"
#include "tools/load/run/tally.hpp"
#include "tools/load/scenario/measured.hpp"
#include "tools/load/scenario/scenario.hpp"
#include "tools/load/scenario/thresholds.hpp"

namespace ringgate::load {

// What the server was seen to use up to a moment.
struct ServerSample {
  MonoNs at_ns = 0;  // since the run's start
  std::int64_t cpu_ns = 0;  // since the process began
  std::uint64_t rss_bytes = 0;
  std::uint64_t context_switches = 0;  // voluntary and not, of all threads
  std::vector<tool::ShardWait> shards;  // by number; empty: not known
};

// What the server used in a piece of the run.
struct ServerPart {
  double cpu_s = 0;
  std::uint64_t rss_bytes = 0;  // at its end; of merged ones the highest
  std::uint64_t context_switches = 0;
  // Of the shard that waited most for a CPU; merged ones added up. Negative: not known.
  double shard_wait_s = -1;
  std::uint64_t shard_slices = 0;  // times it got one
};

struct Row {
  std::uint32_t stage = 0;
  MonoNs from_ns = 0;
  MonoNs to_ns = 0;
  std::vector<Tally> classes;
  std::optional<ServerPart> server;
  double own_cpu = 0;          // CPUs of the busiest worker
  double own_cpu_sum = 0;      // CPU seconds of all workers
  MonoNs loop_lag_ns = 0;      // the longest turn of any worker
  std::uint32_t workers = 0;   // that told of it

  double seconds() const { return static_cast<double>(to_ns - from_ns) / 1e9; }
  Tally all() const;
  void append(const Row& later);
};

class Timeline {
 public:
  static constexpr std::size_t rows_max = 3600;

  Timeline(std::vector<bool> warmup_stages, std::size_t classes, std::size_t workers);

  void add(const Interval& interval);
  void lose(std::uint32_t worker);  // nobody waits for it any more
  void sample(const ServerSample& sample);
  // It has ended: what comes after its last sample has no server.
  void server_ended() { has_server_ended_ = true; }
  // Rows that became complete since the last call; `flush`: those that never will, too.
  std::vector<Row> take_complete(bool flush = false);

  const std::vector<Row>& rows() const { return rows_; }
  // Of complete rows. Null: the stage has none yet.
  const Measured* measured(const Scope& scope) const;
  // What verification found goes into every figure of the whole run.
  void set_verified(std::uint64_t lost, std::uint64_t duplicated, std::uint64_t reordered);

 private:
  using Key = std::pair<std::int64_t, std::uint32_t>;  // second, stage
  using Pending = std::map<std::uint32_t, Interval>;  // by worker
  void place(const Interval& interval);
  bool complete(const Key& key) const;
  static void append(Interval& to, const Interval& later);
  Row row_of(const Pending& pending) const;
  void finish(const Pending& pending);
  void count(const Row& row);
  ServerSample server_at(MonoNs when) const;  // between samples; there are two
  std::optional<ServerPart> server_between(MonoNs from, MonoNs to) const;
  void keep(const Row& row);
  void halve();

  std::vector<bool> warmup_;
  std::size_t class_count_;
  std::vector<std::optional<Interval>> slivers_;  // by worker
  std::vector<std::optional<Key>> told_;  // by worker: what it told last
  std::vector<bool> lost_;
  std::map<Key, Pending> pending_;
  std::vector<Row> complete_;    // since take_complete()
  std::vector<Row> rows_;
  std::size_t rows_per_kept_ = 1;
  std::size_t in_last_ = 0;      // complete rows in rows_.back()
  std::map<std::pair<std::int32_t, std::int32_t>, Measured> totals_;  // class, stage
  std::deque<ServerSample> samples_;  // of the last minute
  bool has_server_ended_ = false;
  MonoNs row_end_ns_ = 0;
};

}  // namespace ringgate::load
