// How far the log is covered by a snapshot that has not changed since: a small file beside it, so
// that a start need not read what holds no state records. Cold; any thread but a shard's.
#pragma once

#include <optional>
#include <string>

#include "engine/base/result.hpp"
#include "engine/io/sys.hpp"
#include "storage/log/cursor.hpp"

namespace ringgate::state {

// Nothing: there is no such file, it is damaged, or it speaks of another snapshot.
std::optional<log::Cursor> read_covered(io::Sys& sys, const std::string& directory,
                                        const log::NodeId& node, const std::string& snapshot);
Result<void> write_covered(io::Sys& sys, const std::string& directory, const log::NodeId& node,
                           const std::string& snapshot, const log::Cursor& cursor);

}  // namespace ringgate::state
