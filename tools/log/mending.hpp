// One damaged segment made anew: valid records at their positions, gap marks between (FORMAT.md,
// "Gap mark"). Reads plain and compressed ones, writes plain ones. One thread.
#pragma once

#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "storage/log/recovery.hpp"
#include "storage/log/segment_file.hpp"

namespace ringgate::log_tool {

// A record beside a lost stretch.
struct Neighbour {
  bool known = false;
  std::string device;
  WallUs received_us = 0;
};
struct Lost {
  Position begin = 0;
  Position end = 0;
  Neighbour before;
  Neighbour after;
};
// "positions 4096 to 8192, 4096 bytes; received from ... (device 1) to ... (device 2)"
std::string describe(const Lost& lost);

struct Mended {
  std::string path;  // of the damaged one
  std::uint64_t records = 0;
  std::uint64_t records_missing = 0;  // of those that its seal counted
  std::vector<Lost> lost;
  bool header_made_anew = false;
};

// Writes `to_directory`/`to_name`. `end`: how far the segment goes. Error: what can't be written.
Result<Mended> mend(log::SegmentFile& file, const log::SegmentHeader& header, Position end,
                    const std::string& to_directory, const std::string& to_name);

// Of a file whose header is damaged: takes what its name says, and the epoch that a record proves.
// Without `to_name` the name it has. Error: no epoch can be proven.
Result<Mended> mend_headless(const std::string& path, const std::string& to_directory,
                             const std::string& to_name = "");

// A segment that says of everything between `before` and `after` that it is lost.
Result<Lost> put_lost_segment(const log::SegmentState& before, Position after,
                              const std::string& log_directory);

}  // namespace ringgate::log_tool
