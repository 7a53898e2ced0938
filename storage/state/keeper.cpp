#include "storage/state/keeper.hpp"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace ringgate::state {

namespace {

constexpr MonoNs look_every = 1 * ns_per_s;

}  // namespace

Keeper::Keeper(const KeeperParts& parts, const Loaded& loaded)
    : parts_(parts),
      post_(parts.errands, parts.producer),
      snapshots_({.sys = parts.sys,
                  .data_dir = parts.data_dir,
                  .node = parts.node,
                  .run = parts.run,
                  .folders = parts.folders,
                  .holds = parts.holds,
                  .forget_after_us = parts.forget_after_us},
                 *this, loaded),
      written_(parts.counters.counter(snapshots_written)),
      urged_(parts.counters.counter(snapshots_urged)),
      failures_(parts.counters.counter(snapshot_failures)),
      records_(parts.counters.gauge(snapshot_records)),
      devices_(parts.counters.gauge(snapshot_devices)),
      kept_ns_(parts.sys.mono_now() - parts.interval_ns) {
  show(loaded);
  thread_ = std::thread([this] { run(); });
}

void Keeper::show(const Loaded& loaded) {
  records_.set(static_cast<std::int64_t>(snapshots_.records()));
  devices_.set(static_cast<std::int64_t>(snapshots_.devices()));
  observe::CounterGroup& group = parts_.counters;
  group.gauge(missing_log_bytes).set(static_cast<std::int64_t>(loaded.missing_bytes));
  group.gauge(devices_without_room).set(static_cast<std::int64_t>(loaded.no_room));
}

Keeper::~Keeper() {
  stop_.store(true, std::memory_order_release);
  post_.inbox().wake();
  thread_.join();
  while (post_.outstanding() > 0) post_.poll();
}

void Keeper::wait(MonoNs most_ns) {
  pollfd ready{post_.fd(), POLLIN, 0};
  ::poll(&ready, 1, static_cast<int>(most_ns / ns_per_ms));
  post_.poll();
}

std::uint64_t Keeper::log_bytes() const {
  std::uint64_t bytes = 0;
  for (ShardIndex i = 0; i < post_.shards(); ++i) bytes += parts_.board.committed({parts_.run, i});
  return bytes;
}

// The log was asked to take away what only a snapshot would make superfluous.
bool Keeper::urged() const {
  return parts_.urged != nullptr && parts_.urged->load(std::memory_order_acquire);
}

bool Keeper::due() {
  const MonoNs now = parts_.sys.mono_now();
  if (urged()) return now >= urged_retry_ns_;
  if (now < retry_ns_) return false;
  return now - kept_ns_ >= parts_.interval_ns || log_bytes() - bytes_at_ >= parts_.interval_bytes;
}

void Keeper::run() {
  while (!stop_.load(std::memory_order_acquire)) {
    wait(look_every);
    if (!due()) continue;
    keep();
  }
}

void Keeper::keep() {
  const std::uint64_t bytes = log_bytes();
  const bool was_urged = urged();
  if (was_urged) urged_.add();
  // Where nothing changes while the log grows (of what is no device's), a snapshot now and then
  // lets go of the log that the one before it needs.
  const bool grown = bytes - written_at_ >= parts_.interval_bytes;
  const auto kept = snapshots_.keep(was_urged ? Snapshots::Need::urgent
                                    : grown   ? Snapshots::Need::always
                                              : Snapshots::Need::changes);
  const MonoNs now = parts_.sys.mono_now();
  if (!kept) {
    failures_.add();
    retry_ns_ = now + snapshot_retry;
    urged_retry_ns_ = now + snapshot_urged_retry;
    parts_.logs.error("no snapshot of the state; the log is kept for it",
                      {{"why", kept.error().message}});
    return;
  }
  bytes_at_ = bytes;
  kept_ns_ = now;
  if (*kept != Snapshots::Kept::written) return;
  written_.add();
  written_at_ = bytes;
  records_.set(static_cast<std::int64_t>(snapshots_.records()));
  devices_.set(static_cast<std::int64_t>(snapshots_.devices()));
  if (was_urged) parts_.urged->store(false, std::memory_order_release);
}

// Busy shards are asked again.
Keeper::Got Keeper::ask(ShardIndex shard, Work work) {
  if (stop_.load(std::memory_order_acquire)) return Got::stopped;
  bool home = false;
  bool ran = false;
  std::unique_ptr<shard::Errand> errand = shard::make_errand(
      [work = std::move(work)](shard::ErrandHost& host, shard::ErrandTicket ticket) {
        // Shared only because a function must be able to be copied.
        auto kept = std::make_shared<shard::ErrandTicket>(std::move(ticket));
        work(ShardHost::of(host), [kept] { kept->done(); });
      },
      [&](bool done) {
        home = true;
        ran = done;
      });
  for (;;) {
    const shard::Posted posted = post_.send(shard, errand);
    if (posted == shard::Posted::ok) break;
    if (posted == shard::Posted::stopped) return Got::stopped;
    wait(snapshot_poll);
  }
  while (!home) wait(look_every);
  return ran ? Got::ok : Got::stopped;
}

}  // namespace ringgate::state
