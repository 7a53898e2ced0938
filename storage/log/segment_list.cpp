#include "storage/log/segment_list.hpp"

#include <map>
#include <utility>

namespace ringgate::log {

std::vector<SegmentEntry> segments_of(const std::vector<io::DirectoryEntry>& entries) {
  std::map<std::pair<StreamId, Position>, SegmentEntry> found;
  for (const io::DirectoryEntry& entry : entries) {
    const auto name = parse_segment_file_name(entry.name);
    if (!name) continue;
    SegmentEntry& segment = found[{name->stream, name->base}];
    segment.disk_bytes += entry.size_bytes;
    segment.both = !segment.name.empty();
    if (segment.both && name->compressed) continue;
    segment.name = entry.name;
    segment.id = *name;
    segment.size_bytes = entry.size_bytes;
  }
  for (const io::DirectoryEntry& entry : entries) {
    const auto name = parse_index_file_name(entry.name);
    if (!name) continue;
    const auto segment = found.find({name->stream, name->base});
    if (segment == found.end()) continue;
    segment->second.disk_bytes += entry.size_bytes;
    segment->second.indexed = true;
  }
  std::vector<SegmentEntry> out;
  out.reserve(found.size());
  for (auto& [id, segment] : found) out.push_back(std::move(segment));
  return out;
}

int list_segments(io::Sys& sys, const std::string& directory, std::vector<SegmentEntry>& out) {
  std::vector<io::DirectoryEntry> entries;
  const int result = sys.list_directory(directory, entries);
  if (result < 0) return result;
  out = segments_of(entries);
  return 0;
}

}  // namespace ringgate::log
