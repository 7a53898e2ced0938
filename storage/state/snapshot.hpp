// A snapshot of the state: one file that stands for the state records of the log up to a cursor
// (FORMAT.md). Written beside, synced, then named; read as a whole. Cold; any thread but a shard's.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/io/sys.hpp"
#include "storage/event/record_view.hpp"
#include "storage/log/cursor.hpp"
#include "storage/state/table.hpp"

namespace ringgate::state {

// One record as a snapshot holds it, appended to `out`. `id` may be empty.
void encode_record(Namespace ns, std::string_view id, std::uint16_t message, Bytes payload,
                   std::vector<std::uint8_t>& out);
// What an entry of the table is as state records: appended to `out` as the snapshot holds them.
// Returns how many.
std::uint32_t encode_entry(const Table::Entry& entry, std::vector<std::uint8_t>& out);

// Names of snapshots in `directory`, newest first.
std::vector<std::string> list_snapshots(io::Sys& sys, const std::string& directory);

class SnapshotWriter {
 public:
  // Error: the file and why it can't be made. Without `sync` a power cut loses snapshots: only for
  // tests that show it.
  static Result<std::unique_ptr<SnapshotWriter>> create(io::Sys& sys, std::string directory,
                                                        const log::NodeId& node, bool sync = true);
  // Removes what was not finished.
  ~SnapshotWriter();
  SnapshotWriter(const SnapshotWriter&) = delete;
  SnapshotWriter& operator=(const SnapshotWriter&) = delete;

  // `records` as the encode functions made them.
  Result<void> add(Bytes records, std::uint32_t count);
  // Makes it durable under the next free number; its name.
  Result<std::string> finish(const log::Cursor& cursor);
  std::uint64_t records() const { return records_; }

 private:
  SnapshotWriter(io::Sys& sys, std::string directory, const log::NodeId& node)
      : sys_(sys), directory_(std::move(directory)), node_(node) {}
  Result<void> flush();
  Result<void> put(Bytes bytes);
  Error failed(std::int64_t result, std::string_view what) const;

  io::Sys& sys_;
  std::string directory_;
  log::NodeId node_;
  int fd_ = -1;
  std::uint64_t at_ = 0;
  std::uint64_t records_ = 0;
  std::uint32_t in_block_ = 0;
  bool sync_ = true;
  std::vector<std::uint8_t> block_;
};

// Calls `take` for each record and gives the cursor up to which the log is in it. Error: what is
// wrong with the file; some records may have been taken then.
Result<log::Cursor> read_snapshot(io::Sys& sys, const std::string& path, const log::NodeId& node,
                                  const std::function<void(const event::RecordView&)>& take);
// The cursor alone; whether the records are whole is not looked at.
Result<log::Cursor> read_snapshot_cursor(io::Sys& sys, const std::string& path,
                                         const log::NodeId& node);

}  // namespace ringgate::state
