// The state of a data directory at start: the newest good snapshot, the state records of the log
// behind it, and what its frames say of their devices. Before any shard runs; one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/device/device_table.hpp"
#include "engine/flow/budget.hpp"
#include "engine/io/sys.hpp"
#include "storage/event/device_folder.hpp"
#include "storage/log/cursor.hpp"
#include "storage/state/table.hpp"

namespace ringgate::state {

struct Loaded {
  std::vector<std::unique_ptr<Table>> tables;                  // by shard
  std::vector<std::unique_ptr<device::DeviceTable>> devices;   // by shard; all are offline
  log::Cursor cursor;         // of the snapshot that was taken
  log::Cursor held;           // of the one before it: from there on the log may not go
  log::Cursor covered;        // the log from there on was read: at or behind `cursor`
  std::string snapshot;       // its name; empty: there was none that is good
  std::uint64_t from_snapshot = 0;  // state records
  std::uint64_t from_log = 0;
  std::uint64_t known_devices = 0;  // in `devices`
  std::uint64_t folded = 0;         // records of the log that changed a device
  std::uint64_t log_bytes = 0;      // that were read
  std::uint64_t not_understood = 0;  // records, of the snapshot too
  // Devices whose last state is of a layout that their protocol no longer has.
  std::uint64_t other_layout = 0;
  // Devices were read from all of the log, since the snapshot does not hold them as they are kept
  // today.
  bool rebuilt = false;
  // Records whose device found no room: its home has limits::devices_per_shard_max.
  std::uint64_t no_room = 0;
  std::uint64_t missing_bytes = 0;    // of the log that had to be read and is not there
  std::vector<std::string> problems;  // a sentence each

  // Nothing has changed since the snapshot was written, and nothing else has come to the log: it is
  // as good as one that is written now.
  bool as_snapshot() const {
    return !snapshot.empty() && from_log + folded + no_room == 0 && !rebuilt && covered == cursor;
  }
};

// Two tables for each of `budgets`, which are charged until the tables are handed over: devices go
// to their homes. The log was recovered before: every segment is sealed.
Result<Loaded> load(io::Sys& sys, const std::string& data_dir, const log::NodeId& node,
                    std::vector<flow::Budget>& budgets, const event::DeviceFolders& folders);

}  // namespace ringgate::state
