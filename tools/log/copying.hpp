// Copies of files for backup and repair: written beside under a name that means nothing, synced,
// then given their own, so that what is there under its name is whole. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>

#include "engine/base/bytes.hpp"
#include "engine/base/result.hpp"
#include "storage/log/recovery.hpp"
#include "storage/log/side_file.hpp"

namespace ringgate::log_tool {

using Copied = std::function<void(std::uint64_t bytes)>;

// Makes `path` and what is above it, with the mode of `like`.
Result<void> make_directories(const std::string& path, const std::string& like);

// Whether `path`, which need not be there, is `directory` or lies in it.
bool lies_in(const std::string& path, const std::string& directory);

struct CopyOrder {
  std::string from;
  std::string to_directory;
  std::string to_name;
  std::uint64_t bytes = std::numeric_limits<std::uint64_t>::max();  // at most
  bool direct = false;  // past the page cache, as segments are read
  bool link = false;    // a second name for the same file, where the file system is the same
  // Asked when all is read, before the copy gets its name: false where the file was another one by
  // then.
  std::function<bool()> still_same = {};
};
struct CopyDone {
  std::uint64_t bytes = 0;
  bool linked = false;
};
// Mode and modification time are kept. Error: code ENOENT where the file is gone, or was another.
Result<CopyDone> copy_file(const CopyOrder& order, const Copied& copied);

// Whether both are there, of one size, and alike in their first two blocks and their last; with
// `size_bytes`, the size that both should have. What has its name is whole, so that is enough.
bool looks_equal(const std::string& a, const std::string& b,
                 std::optional<std::uint64_t> size_bytes = {});

// A copy of a segment that nobody will write on: what was committed of it, sealed there.
Result<CopyDone> copy_open_segment(const log::SegmentState& segment, const std::string& from,
                                   const std::string& to_directory, const Copied& copied);
// What the seal of such a copy says. Reads it: what was found of a live segment may count records
// that are not yet proven.
log::Seal seal_of(const log::SegmentState& segment);

}  // namespace ringgate::log_tool
