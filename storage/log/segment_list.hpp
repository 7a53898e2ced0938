// Which segments a log directory has. A segment may lie there as a plain file, as a compressed one,
// or for a moment as both (FORMAT.md, "Compressed segments"): whoever lists segments does it here.
// Read-only; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/io/sys.hpp"
#include "storage/log/segment.hpp"

namespace ringgate::log {

struct SegmentEntry {
  std::string name;  // of the file to open; the plain one where both are there
  SegmentName id;    // its `compressed` is that file's kind
  std::uint64_t size_bytes = 0;  // of that file
  std::uint64_t disk_bytes = 0;  // of all files of the segment, its index included
  bool indexed = false;          // an index file is there
  bool both = false;             // plain and compressed are there
};

// One entry for each segment, by stream and base. 0 or -errno.
int list_segments(io::Sys& sys, const std::string& directory, std::vector<SegmentEntry>& out);

// The same of a directory that was listed already.
std::vector<SegmentEntry> segments_of(const std::vector<io::DirectoryEntry>& entries);

}  // namespace ringgate::log
