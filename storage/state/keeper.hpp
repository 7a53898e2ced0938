// Writes snapshots of all shards' state in the background, and holds the log from the newest one
// on. A thread of its own; reaches the shards by errands of bounded work.
//
// A snapshot is taken while the state changes: its cursor is how far each shard's stream was
// appended when the walk of that shard began, and what changed since is in the log behind it.
// Applying a change twice is as once, so it does not matter which of those the walk has seen. It
// is named only after the log has committed all that the walk may have seen.
//
// Life: made after the shards run; stop() after they have stopped.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "engine/io/sys.hpp"
#include "engine/observe/counter.hpp"
#include "engine/observe/logger.hpp"
#include "engine/shard/errand.hpp"
#include "storage/log/commit_board.hpp"
#include "storage/log/holds.hpp"
#include "storage/state/loader.hpp"

namespace ringgate::state {

struct KeeperParts {
  io::Sys& sys;
  std::string data_dir;
  log::NodeId node{};
  std::uint32_t run = 0;
  MonoNs interval_ns = 600 * ns_per_s;
  std::uint64_t interval_bytes = 1ULL << 30;
  shard::ErrandHub& errands;
  std::uint32_t producer = 0;
  const log::CommitBoard& board;
  log::Holds& holds;
  observe::CounterGroup& counters;  // of the keeper's thread
  observe::LogSource& logs;
};

inline constexpr observe::MetricSpec snapshots_written{
    .name = "ringgate_state_snapshots_total", .help = "Snapshots of the state that were written."};
inline constexpr observe::MetricSpec snapshot_failures{
    .name = "ringgate_state_snapshot_failures_total",
    .help = "Snapshots of the state that could not be written."};
inline constexpr observe::MetricSpec snapshot_records{
    .name = "ringgate_state_snapshot_records",
    .help = "Records of the newest snapshot.",
    .kind = observe::MetricKind::gauge};

class Keeper {
 public:
  // `loaded`: what this run began with.
  Keeper(const KeeperParts& parts, const Loaded& loaded);
  // After all shards have stopped.
  ~Keeper();
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

 private:
  // What the walk of a shard begins with.
  struct Begun {
    Position appended = 0;
    std::uint64_t changes = 0;
  };
  enum class Got : std::uint8_t { ok, stopped };

  void run();
  bool due();
  Result<void> keep();
  Result<std::string> write_snapshot(const log::Cursor& cursor);
  template <class Work>
  Got ask(ShardIndex shard, Work work);
  Got begin(std::vector<Begun>& begun, log::Cursor& cursor);
  Got wait_committed();
  void remove_older();
  std::uint64_t log_bytes() const;
  // Until the post has something, or so long.
  void wait(MonoNs most_ns);

  KeeperParts parts_;
  std::string directory_;
  shard::ErrandPost post_;
  observe::Counter written_;
  observe::Counter failures_;
  observe::Gauge records_;
  std::string newest_;          // snapshot of this run's changes; empty: none yet
  std::uint64_t changes_ = 0;   // of all shards, that it holds
  std::uint64_t bytes_at_ = 0;  // log of this run at the last look
  MonoNs kept_ns_ = 0;
  MonoNs retry_ns_ = 0;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace ringgate::state
