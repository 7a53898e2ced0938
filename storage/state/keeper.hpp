// Has snapshots of all shards' state written in the background (snapshots.hpp): each interval, when
// so much log has been written, and when retention is about to take what none stands for. A thread
// of its own; reaches the shards by errands of bounded work.
//
// Life: made after the shards run; ended after they have stopped.
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
#include "storage/state/snapshots.hpp"

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
  const event::DeviceFolders& folders;
  WallUs forget_after_us = 0;  // SnapshotParts::forget_after_us
  // Set by whoever is about to take log away that the state holds; cleared when it holds it no
  // longer. May be null.
  std::atomic<bool>* urged = nullptr;
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
    .help = "State records of the newest snapshot.",
    .kind = observe::MetricKind::gauge};
inline constexpr observe::MetricSpec snapshot_devices{
    .name = "ringgate_state_snapshot_devices",
    .help = "Devices in the newest snapshot.",
    .kind = observe::MetricKind::gauge};
inline constexpr observe::MetricSpec snapshots_urged{
    .name = "ringgate_state_snapshots_urged_total",
    .help = "Snapshots tried at once because the log neared log.retention_hard_bytes."};
inline constexpr observe::MetricSpec missing_log_bytes{
    .name = "ringgate_state_missing_log_bytes",
    .help = "Log that no snapshot stood for and that was gone when this process started.",
    .kind = observe::MetricKind::gauge};
inline constexpr observe::MetricSpec devices_without_room{
    .name = "ringgate_state_devices_without_room",
    .help = "Records of devices that found no room in their shard's table at start.",
    .kind = observe::MetricKind::gauge};

class Keeper final : private ShardAsk {
 public:
  // `loaded`: what this run began with.
  Keeper(const KeeperParts& parts, const Loaded& loaded);
  // After all shards have stopped.
  ~Keeper() override;
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

 private:
  ShardIndex shards() const override { return post_.shards(); }
  Got ask(ShardIndex shard, Work work) override;

  void show(const Loaded& loaded);
  void run();
  bool due();
  bool urged() const;
  void keep();
  std::uint64_t log_bytes() const;
  // Until the post has something, or so long.
  void wait(MonoNs most_ns);

  KeeperParts parts_;
  shard::ErrandPost post_;
  Snapshots snapshots_;
  observe::Counter written_;
  observe::Counter urged_;
  observe::Counter failures_;
  observe::Gauge records_;
  observe::Gauge devices_;
  std::uint64_t bytes_at_ = 0;    // log of this run at the last look
  std::uint64_t written_at_ = 0;  // and when a snapshot was written last
  MonoNs kept_ns_ = 0;
  MonoNs retry_ns_ = 0;
  MonoNs urged_retry_ns_ = 0;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace ringgate::state
