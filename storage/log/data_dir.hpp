// The data directory of one node: who it is, how often it has started, and that only one process
// writes it. Opened once at start, before the shards; kept until the process ends. Cold.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "engine/base/result.hpp"
#include "engine/io/sys.hpp"
#include "storage/log/segment.hpp"

namespace ringgate::log {

class DataDir {
 public:
  // Creates what is missing, takes the lock (retried for lock_patience), and makes the next run
  // number durable. Error: another process holds it (names its pid), or what could not be made and
  // where.
  static Result<std::unique_ptr<DataDir>> open(io::Sys& sys, const std::string& path);
  ~DataDir();
  DataDir(const DataDir&) = delete;
  DataDir& operator=(const DataDir&) = delete;

  const std::string& path() const { return path_; }
  std::string log_path() const { return path_ + "/log"; }
  const NodeId& node() const { return node_; }
  std::uint32_t run() const { return run_; }

 private:
  DataDir(io::Sys& sys, std::string path) : sys_(sys), path_(std::move(path)) {}
  Result<void> take_lock();
  Result<void> load_node();
  Result<void> next_run();

  io::Sys& sys_;
  std::string path_;
  NodeId node_{};
  std::uint32_t run_ = 0;
  int lock_fd_ = -1;
};

// Whether a process holds the directory's lock now. A directory without a lock file is not held.
bool is_held(io::Sys& sys, const std::string& data_dir);

// Reads a small text file. Error: code ENOENT where there is none, EFBIG above 16 MiB.
Result<std::string> read_small_file(io::Sys& sys, const std::string& path);
// Replaces the file `name` in `directory` by one with this text, durably: whoever reads it, also
// after a power cut, sees the old text or the new one.
Result<void> replace_small_file(io::Sys& sys, const std::string& directory, const std::string& name,
                                std::string_view text);

}  // namespace ringgate::log
