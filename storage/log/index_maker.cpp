#include "storage/log/index_maker.hpp"

#include "storage/log/index.hpp"
#include "storage/log/segment_file.hpp"
#include "storage/log/side_file.hpp"

namespace ringgate::log {

namespace {

std::optional<event::DeviceTimes> times_of(const event::CatalogSet& catalogs,
                                           const Record& record) {
  const event::MessageCatalog* catalog = catalogs.find(record.ns());
  return catalog == nullptr ? std::nullopt : catalog->device_times(record.view());
}

}  // namespace

Result<IndexMade> make_index(io::Sys& sys, const std::string& directory, const std::string& name,
                             const event::CatalogSet& catalogs,
                             const std::function<bool()>& pause) {
  const auto file = SegmentFile::open(sys, directory + "/" + name);
  if (!file || !(*file)->seal() || (*file)->header().size_bytes > index_segment_max) {
    return IndexMade{};
  }
  const SegmentHeader& header = (*file)->header();
  const Position end = (*file)->seal()->end;
  IndexBuilder builder(header);
  Position paused = header.base;
  for (Position at = header.base; at < end;) {
    const auto record = (*file)->record_at(at);
    // A scan tells of damage, an index would pass it over.
    if (!record || record->end() > end) return IndexMade{};
    if (!record->is_own()) builder.add(*record, times_of(catalogs, *record));
    at = record->end();
    if (at - paused < scan_window) continue;
    paused = at;
    if (pause && !pause()) return IndexMade{};
  }
  const std::vector<std::uint8_t> bytes = builder.finish(end);
  const std::string index = index_name_of(name);
  if (auto put = put_side_file(sys, directory, "new-" + index, index, bytes); !put) {
    return put.error();
  }
  return IndexMade{
      true, bytes.size(), end - header.base,
      times_of(header, *(*file)->seal(), builder.device_times().spans(times_spans_max))};
}

bool index_is_good(io::Sys& sys, const std::string& directory, const std::string& name) {
  const auto file = SegmentFile::open(sys, directory + "/" + name);
  if (!file || !(*file)->seal()) return false;
  const auto index = IndexFile::open(sys, directory + "/" + index_name_of(name),
                                     (*file)->header(), (*file)->seal()->end);
  return index && (*index)->check();
}

}  // namespace ringgate::log
