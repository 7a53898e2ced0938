// Files that are made beside segments: written under a name that means nothing, synced, and only
// then given their own. Cold; any thread but a shard's.
#pragma once

#include <string>

#include "engine/base/bytes.hpp"
#include "engine/base/result.hpp"
#include "engine/io/sys.hpp"

namespace ringgate::log {

// Puts `bytes` at `directory`/`name`, durably, in place of what is there. `temporary` begins with
// "new-": the next start removes it. Error: what could not be written.
Result<void> put_side_file(io::Sys& sys, const std::string& directory, const std::string& temporary,
                           const std::string& name, Bytes bytes);

// The same in pieces: open, write, then finish() or nothing.
class SideFile {
 public:
  SideFile(io::Sys& sys, std::string directory, std::string temporary);
  ~SideFile();  // removes what was not finished
  SideFile(const SideFile&) = delete;
  SideFile& operator=(const SideFile&) = delete;

  Result<void> open();
  Result<void> write(std::uint64_t offset, Bytes bytes);
  Result<void> sync();
  // Gives it its name, durably. Only after sync().
  Result<void> name_as(const std::string& name);
  const std::string& path() const { return path_; }

 private:
  io::Sys& sys_;
  std::string directory_;
  std::string path_;
  int fd_ = -1;
  bool made_ = false;
};

}  // namespace ringgate::log
