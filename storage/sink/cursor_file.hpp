// A sink's cursor in the data directory: DATA/sink/NAME.cursor, one line as log::to_text writes it,
// and a second one "sought" where an operator has sent the sink there and no batch is confirmed
// since. It may lag: what lies behind it comes again. The worker's thread alone.
#pragma once

#include <optional>
#include <string>

#include "engine/base/result.hpp"
#include "engine/io/sys.hpp"
#include "storage/log/cursor.hpp"

namespace ringgate::sink {

struct KeptCursor {
  log::Cursor cursor;
  bool sought = false;
};

class CursorFile {
 public:
  CursorFile(io::Sys& sys, const std::string& data_dir, const std::string& name,
             const log::NodeId& node);

  // Nothing: there is none yet. Error: it can't be read, or is of another node.
  Result<std::optional<KeptCursor>> load() const;
  // Durable when it returns: written beside, synced, renamed.
  Result<void> save(const KeptCursor& kept);
  const std::string& path() const { return path_; }

 private:
  io::Sys& sys_;
  std::string folder_;
  std::string name_;
  std::string path_;
  log::NodeId node_;
  bool folder_made_ = false;
};

}  // namespace ringgate::sink
