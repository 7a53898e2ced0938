// The state of a data directory at start: the newest good snapshot, and the state records of the
// log behind it. Before any shard runs; one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/flow/budget.hpp"
#include "engine/io/sys.hpp"
#include "storage/log/cursor.hpp"
#include "storage/state/table.hpp"

namespace ringgate::state {

struct Loaded {
  std::vector<std::unique_ptr<Table>> tables;  // by shard
  log::Cursor covered;        // of the snapshot that was taken; the log from there on was read
  std::string snapshot;       // its name; empty: there was none that is good
  std::uint64_t from_snapshot = 0;  // records
  std::uint64_t from_log = 0;
  std::uint64_t log_bytes = 0;      // that were read
  std::uint64_t not_understood = 0;  // state records
  std::vector<std::string> problems;  // a sentence each
};

// One table for each of `budgets`, which are charged until the tables are handed over: devices go
// to their homes. The log was recovered before: every segment is sealed.
Result<Loaded> load(io::Sys& sys, const std::string& data_dir, const log::NodeId& node,
                    std::vector<flow::Budget>& budgets);

}  // namespace ringgate::state
