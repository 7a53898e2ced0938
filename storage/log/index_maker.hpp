// Makes the index of a sealed segment by reading it once. Cold; any thread but a shard's.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "engine/base/result.hpp"
#include "engine/io/sys.hpp"
#include "storage/event/catalog.hpp"
#include "storage/log/segment_times.hpp"

namespace ringgate::log {

struct IndexMade {
  bool made = false;  // false: the segment is damaged, not sealed, too long, or gone
  std::uint64_t index_bytes = 0;
  std::uint64_t log_bytes = 0;
  SegmentTimes times;
};

// Of `directory`/`name`, a plain segment. `pause` is called every now and then and says whether to
// go on. Error: what could not be written.
Result<IndexMade> make_index(io::Sys& sys, const std::string& directory, const std::string& name,
                             const event::CatalogSet& catalogs, const std::function<bool()>& pause);

// Whether the index of this segment is there, whole and of this segment; reads all of it.
bool index_is_good(io::Sys& sys, const std::string& directory, const std::string& name);

}  // namespace ringgate::log
