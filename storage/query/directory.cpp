#include "storage/query/directory.hpp"

#include <algorithm>
#include <utility>

#include "storage/log/data_dir.hpp"
#include "storage/log/segment_list.hpp"

namespace ringgate::query {

namespace {

constexpr auto by_base = [](const KnownSegment& a, const KnownSegment& b) {
  return a.base < b.base;
};

// Unless it is there.
void insert(KnownSegments& segments, const KnownSegment& segment) {
  const auto at = std::lower_bound(segments.begin(), segments.end(), segment, by_base);
  if (at == segments.end() || at->base != segment.base) segments.insert(at, segment);
}

}  // namespace

Directory::Directory(io::Sys& sys, std::string data_dir)
    : sys_(sys), data_dir_(std::move(data_dir)) {}

int Directory::list() {
  const MonoNs began = sys_.mono_now();
  std::vector<io::DirectoryEntry> entries;
  if (const int result = sys_.list_directory(data_dir_ + "/log", entries); result < 0) {
    return result;
  }
  // After the listing: a process that has let go of the lock by now has left its segments as they
  // are, and one that takes it later makes segments of a run that is not listed.
  held_ = log::is_held(sys_, data_dir_);
  std::map<log::StreamId, KnownSegments> fresh;
  for (const log::SegmentEntry& entry : log::segments_of(entries)) {
    fresh[entry.id.stream].push_back({entry.id.base, entry.size_bytes, false, entry.id.compressed});
  }
  for (auto& [id, segments] : fresh) std::sort(segments.begin(), segments.end(), by_base);
  for (const auto& [id, segments] : streams_) {
    for (const KnownSegment& segment : segments) {
      if (!segment.missing)
        insert(fresh[id], {segment.base, segment.file_bytes, true, segment.compressed});
    }
  }
  streams_ = std::move(fresh);
  note_ends();
  listed_ns_ = sys_.mono_now();
  took_ns_ = listed_ns_ - began;
  ++listings_;
  return 0;
}

void Directory::note_ends() {
  const std::uint32_t newest = newest_run();
  for (const auto& [id, segments] : streams_) {
    if (id.run < ends_from_) continue;
    const KnownSegment& last = segments.back();
    Position end = 0;
    if (id.run < newest && last.compressed) {
      if (ends_.contains(id)) continue;
      const auto file = open(id, last.base);
      if (file && (*file)->seal()) end = (*file)->seal()->end;
    } else if (id.run < newest) {
      // Recovery has cut what older runs left.
      end = last.base + last.file_bytes - std::min(last.file_bytes, log::records_offset);
    } else if (segments.size() > 1) {
      // The last one is made ahead, and may be used for another place yet.
      end = segments[segments.size() - 2].base;
    }
    Position& known = ends_[id];
    known = std::max(known, end);
  }
}

Position Directory::end_of(const log::StreamId& stream) const {
  const auto found = ends_.find(stream);
  return found == ends_.end() ? 0 : found->second;
}

void Directory::forget_ends_below(std::uint32_t run) {
  ends_from_ = run;
  ends_.erase(ends_.begin(), ends_.lower_bound({run, 0}));
}

const KnownSegments* Directory::find(const log::StreamId& stream) const {
  const auto found = streams_.find(stream);
  return found == streams_.end() ? nullptr : &found->second;
}

std::uint32_t Directory::newest_run() const {
  return streams_.empty() ? 0 : streams_.rbegin()->first.run;
}

std::uint32_t Directory::run_after(std::uint32_t run) const {
  const auto next = streams_.lower_bound({run + 1, 0});
  return next == streams_.end() ? 0 : next->first.run;
}

std::uint64_t Directory::file_bytes() const {
  std::uint64_t total = 0;
  for (const auto& [id, segments] : streams_) {
    for (const KnownSegment& segment : segments) total += segment.missing ? 0 : segment.file_bytes;
  }
  return total;
}

std::string Directory::path_of(const log::StreamId& stream, Position base) const {
  return data_dir_ + "/log/" + log::segment_file_name(stream, base);
}

Result<std::unique_ptr<log::SegmentFile>> Directory::open(const log::StreamId& stream,
                                                          Position base, log::Access access) {
  const std::string path = path_of(stream, base);
  auto file = log::SegmentFile::open(sys_, path, access);
  if (!file) return file.error();
  const log::SegmentHeader& header = (*file)->header();
  if (header.stream != stream || header.base != base) {
    return Error{0, path + ": its header names another segment"};
  }
  return file;
}

void Directory::learn(const log::StreamId& stream, Position base, std::uint64_t file_bytes) {
  insert(streams_[stream], {base, file_bytes, false, false});
}

void Directory::forget(const log::StreamId& stream, Position base) {
  const auto found = streams_.find(stream);
  if (found == streams_.end()) return;
  std::erase_if(found->second, [&](const KnownSegment& one) { return one.base == base; });
  if (found->second.empty()) streams_.erase(found);
}

}  // namespace ringgate::query
