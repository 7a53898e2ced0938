// Takes the snapshots of a run: walks the shards, writes, names, removes what is superseded, and
// says from where on the log must be kept. How the shards are reached is somebody else's
// (keeper.hpp, or a simulation).
//
// A snapshot is taken while the state changes: its cursor is how far each shard's stream was
// appended when the walk began, and what changed since is in the log behind it. A state record may
// be applied twice; a frame may not be counted twice, so beside the devices stands how far their
// stream was when each was copied. A snapshot is named only after the log has committed all that
// the walk may have seen.
//
// The one before the newest is kept for the day when the newest can't be read, and the log from
// its cursor on with it.
//
// One owner, any thread but a shard's.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/io/sys.hpp"
#include "storage/event/device_folder.hpp"
#include "storage/log/cursor.hpp"
#include "storage/log/holds.hpp"
#include "storage/state/loader.hpp"
#include "storage/state/shard_host.hpp"
#include "storage/state/snapshot.hpp"

namespace ringgate::state {

// The way to the shards.
class ShardAsk {
 public:
  enum class Got : std::uint8_t { ok, stopped };
  using Done = std::function<void()>;
  // On the shard's thread; it is over when `done` is called, which may be later.
  using Work = std::function<void(ShardHost& host, Done done)>;

  virtual ~ShardAsk() = default;
  virtual ShardIndex shards() const = 0;
  // Waits for the work. `stopped`: the shard runs no longer, or it is not worth while any more.
  virtual Got ask(ShardIndex shard, Work work) = 0;
};

struct SnapshotParts {
  io::Sys& sys;
  std::string data_dir;
  log::NodeId node{};
  std::uint32_t run = 0;
  const event::DeviceFolders& folders;
  log::Holds& holds;
  // Devices that are offline and were not heard for so long are left out. 0: none is.
  WallUs forget_after_us = 0;
  bool sync = true;  // false only in tests that show what its absence loses
};

class Snapshots {
 public:
  // `loaded`: what this run began with.
  Snapshots(const SnapshotParts& parts, ShardAsk& shards, const Loaded& loaded);

  enum class Kept : std::uint8_t {
    written,
    noted,    // nothing had changed: the newest stands for more of the log
    stopped,  // the shards end; the log has everything
  };
  enum class Need : std::uint8_t {
    changes,  // one is written if anything has changed
    always,
    urgent,  // and the log that only the one before it needs is let go
  };
  Result<Kept> keep(Need need);

  // Of the newest that was written.
  std::uint64_t records() const { return records_; }
  std::uint64_t devices() const { return devices_; }

 private:
  using Got = ShardAsk::Got;
  Got begin(log::Cursor& cursor, std::uint64_t& changes);
  Result<Kept> write(const log::Cursor& cursor);
  Result<Got> add_table(SnapshotWriter& writer, ShardIndex shard);
  Result<Got> add_devices(SnapshotWriter& writer, ShardIndex shard);
  std::uint32_t copy_devices(ShardHost& host, ShardIndex shard, device::DeviceSlot& next,
                             std::vector<std::uint8_t>& out);
  Got wait_committed();
  void remove_others(const std::string& newest, const std::string& before);

  SnapshotParts parts_;
  std::string directory_;
  ShardAsk& shards_;
  std::string newest_;  // snapshot of this run's changes; empty: none yet
  // The newest that is good, and its cursor; of this run or of the one before.
  std::string good_;
  log::Cursor good_cursor_;
  std::uint64_t changes_ = 0;  // of all shards, that it holds
  std::uint64_t records_ = 0;
  std::uint64_t devices_ = 0;
};

}  // namespace ringgate::state
