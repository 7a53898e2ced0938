#include "storage/state/keeper.hpp"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <memory>

#include "storage/state/covered.hpp"
#include "storage/state/shard_host.hpp"
#include "storage/state/snapshot.hpp"

namespace ringgate::state {

namespace {

constexpr MonoNs look_every = 1 * ns_per_s;
// The newest, and the one before it for the day when the newest can't be read.
constexpr std::size_t snapshots_kept = 2;

}  // namespace

Keeper::Keeper(const KeeperParts& parts, const Loaded& loaded)
    : parts_(parts),
      directory_(parts.data_dir + "/state"),
      post_(parts.errands, parts.producer),
      written_(parts.counters.counter(snapshots_written)),
      failures_(parts.counters.counter(snapshot_failures)),
      records_(parts.counters.gauge(snapshot_records)),
      kept_ns_(parts.sys.mono_now() - parts.interval_ns) {
  parts_.holds.set("state", loaded.covered);
  // What was read of the log is in no snapshot: nothing stands for this run's beginning yet.
  if (loaded.from_log == 0) newest_ = loaded.snapshot;
  records_.set(static_cast<std::int64_t>(loaded.from_snapshot));
  thread_ = std::thread([this] { run(); });
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

bool Keeper::due() {
  const MonoNs now = parts_.sys.mono_now();
  if (now < retry_ns_) return false;
  return now - kept_ns_ >= parts_.interval_ns || log_bytes() - bytes_at_ >= parts_.interval_bytes;
}

void Keeper::run() {
  while (!stop_.load(std::memory_order_acquire)) {
    wait(look_every);
    if (!due()) continue;
    const std::uint64_t bytes = log_bytes();
    if (auto kept = keep(); !kept) {
      failures_.add();
      retry_ns_ = parts_.sys.mono_now() + snapshot_retry;
      parts_.logs.error("no snapshot of the state; the log is kept for it",
                        {{"why", kept.error().message}});
      continue;
    }
    bytes_at_ = bytes;
    kept_ns_ = parts_.sys.mono_now();
  }
}

// Has `work` done on a shard and waits for it. Busy shards are asked again.
template <class Work>
Keeper::Got Keeper::ask(ShardIndex shard, Work work) {
  bool home = false;
  bool done = false;
  std::unique_ptr<shard::Errand> errand = shard::make_errand(
      [work = std::move(work)](shard::ErrandHost& host, shard::ErrandTicket ticket) {
        work(ShardHost::of(host), std::move(ticket));
      },
      [&](bool ran) {
        home = true;
        done = ran;
      });
  for (;;) {
    const shard::Posted posted = post_.send(shard, errand);
    if (posted == shard::Posted::ok) break;
    if (posted == shard::Posted::stopped) return Got::stopped;
    wait(snapshot_poll);
  }
  while (!home) wait(look_every);
  return done ? Got::ok : Got::stopped;
}

Keeper::Got Keeper::begin(std::vector<Begun>& begun, log::Cursor& cursor) {
  cursor.finish_runs_below(parts_.run);
  for (ShardIndex i = 0; i < post_.shards(); ++i) {
    Begun& one = begun.emplace_back();
    const Got got = ask(i, [&one](ShardHost& host, shard::ErrandTicket ticket) {
      one = {host.appended(), host.store().changes()};
      ticket.done();
    });
    if (got != Got::ok) return got;
    cursor.set({parts_.run, i}, one.appended);
  }
  return Got::ok;
}

// Everything that any shard has appended so far is durable.
Keeper::Got Keeper::wait_committed() {
  for (ShardIndex i = 0; i < post_.shards(); ++i) {
    const Got got = ask(i, [](ShardHost& host, shard::ErrandTicket ticket) {
      // The ticket is shared only because a function must be able to be copied.
      auto kept = std::make_shared<shard::ErrandTicket>(std::move(ticket));
      host.waits().wait(host.appended(), [kept] { kept->done(); });
    });
    if (got != Got::ok) return got;
  }
  return Got::ok;
}

Result<void> Keeper::keep() {
  std::vector<Begun> begun;
  log::Cursor cursor;
  // A shard that stops takes no snapshot along: the log has everything.
  if (begin(begun, cursor) != Got::ok) return {};
  std::uint64_t changes = 0;
  for (const Begun& one : begun) changes += one.changes;
  if (newest_.empty() || changes != changes_) {
    auto name = write_snapshot(cursor);
    if (!name) return name.error();
    if (name->empty()) return {};  // stopping
    newest_ = std::move(*name);
    changes_ = changes;
    written_.add();
    remove_older();
  } else {
    if (wait_committed() != Got::ok) return {};
    auto noted = write_covered(parts_.sys, directory_, parts_.node, newest_, cursor);
    if (!noted) return noted.error();
  }
  parts_.holds.set("state", cursor);
  return {};
}

// Its name; empty where the shards stop.
Result<std::string> Keeper::write_snapshot(const log::Cursor& cursor) {
  auto writer = SnapshotWriter::create(parts_.sys, directory_, parts_.node);
  if (!writer) return writer.error();
  for (ShardIndex i = 0; i < post_.shards(); ++i) {
    std::uint64_t place = 0;
    do {
      std::vector<std::uint8_t> bytes;
      std::uint32_t count = 0;
      const Got got = ask(i, [&](ShardHost& host, shard::ErrandTicket ticket) {
        place = host.store().table().list(
            place, entries_per_errand,
            [&](const Table::Entry& entry) { count += encode_entry(entry, bytes); });
        ticket.done();
      });
      if (got != Got::ok || stop_.load(std::memory_order_acquire)) return std::string();
      if (auto added = (*writer)->add(bytes, count); !added) return added.error();
    } while (place != 0);
  }
  if (wait_committed() != Got::ok) return std::string();
  auto name = (*writer)->finish(cursor);
  if (name) records_.set(static_cast<std::int64_t>((*writer)->records()));
  return name;
}

void Keeper::remove_older() {
  const std::vector<std::string> names = list_snapshots(parts_.sys, directory_);
  for (std::size_t i = snapshots_kept; i < names.size(); ++i) {
    parts_.sys.remove(directory_ + "/" + names[i]);
  }
}

}  // namespace ringgate::state
