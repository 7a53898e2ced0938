#include "storage/log/recovery.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "storage/log/format_version.hpp"
#include "storage/log/segment_list.hpp"

namespace ringgate::log {

namespace {

// More stretches than this come only from a file that is beyond repair by reading; the last one
// grows.
constexpr std::size_t stretches_max = 4096;

void add_to_stretch(Stretch& stretch, const Record& record) {
  stretch.end = record.end();
  if (record.is_own()) return;
  if (stretch.records++ == 0) stretch.first_received_us = record.header.received_us;
  stretch.last_received_us = record.header.received_us;
}

}  // namespace

Position find_record(SegmentFile& file, Position from, Position limit) {
  const std::uint64_t base = file.header().base;
  Position position = from;
  while (position < limit) {
    const std::uint64_t offset = position - base + records_offset;
    const Bytes bytes = file.at(offset, record_header_size);
    if (bytes.size() < record_header_size) {
      if (!file.compressed()) return limit;
      position += 8;  // the end of a chunk, none of the segment
      continue;
    }
    const std::uint64_t steps = (bytes.size() - record_header_size) / 8 + 1;
    const std::uint8_t* at = bytes.data() + 8;
    bool candidate = false;
    for (std::uint64_t step = 0; step < steps && position < limit; ++step, at += 8, position += 8) {
      if (__builtin_expect(load_native<std::uint64_t>(at) == position, 0)) {
        candidate = true;
        break;
      }
    }
    if (!candidate) continue;
    if (file.record_at(position)) return position;
    position += 8;
  }
  return limit;
}

namespace {

Position highest_proof(const SegmentState& segment, Position proven) {
  proven = std::max(proven, segment.header().committed);
  if (segment.file->seal()) proven = std::max(proven, segment.file->seal()->end);
  return proven;
}

void count_dropped(SegmentState& segment, std::size_t from_stretch) {
  for (std::size_t i = from_stretch; i < segment.stretches.size(); ++i) {
    segment.dropped_records += segment.stretches[i].records;
    segment.dropped_bytes += segment.stretches[i].end - segment.stretches[i].begin;
  }
}

void take_stretch(SegmentState& segment, const Stretch& stretch) {
  if (stretch.records == 0) return;
  if (segment.records == 0) segment.first_received_us = stretch.first_received_us;
  segment.records += stretch.records;
  segment.last_received_us = stretch.last_received_us;
}

void add_damage(SegmentState& segment, Position begin, Position end) {
  segment.damage.push_back({begin, end, segment.header().offset_of(begin)});
}

// A segment that was not scanned says itself what it holds.
void trust_seal(SegmentState& segment, Position limit) {
  const Seal& seal = *segment.file->seal();
  segment.end = std::min(seal.end, limit);
  segment.records = seal.records;
  segment.first_received_us = seal.first_received_us;
  segment.last_received_us = seal.last_received_us;
}

void judge_segment(SegmentState& segment, Position limit, Position proven, bool live) {
  segment.damage.clear();
  segment.records = segment.dropped_records = segment.dropped_bytes = 0;
  if (!segment.scanned) {
    trust_seal(segment, limit);
    return;
  }
  const std::optional<Seal>& seal = segment.file->seal();
  if (seal) {
    // Everything below a seal was there when it was written.
    limit = std::min(limit, seal->end);
    proven = std::max(proven, limit);
  }
  Position at = segment.header().base;
  std::size_t index = 0;
  for (; index < segment.stretches.size(); ++index) {
    const Stretch& stretch = segment.stretches[index];
    if (stretch.begin > at) {
      if (proven <= at) break;
      add_damage(segment, at, stretch.begin);
    }
    take_stretch(segment, stretch);
    at = stretch.end;
  }
  count_dropped(segment, index);
  const bool complete = at >= limit || (segment.end_marked && index == segment.stretches.size());
  if (!complete && proven > at) {
    const Position missing_to = std::min(limit, proven);
    add_damage(segment, at, missing_to);
    at = missing_to;
  }
  segment.end = live && !seal ? std::max(segment.header().base, std::min(at, proven)) : at;
}

// Of a segment that lies there plain and compressed, the one that counts. Where the other is of a
// later version that is told too: whoever tidies up would take it for a bad copy.
Result<std::unique_ptr<SegmentFile>> open_entry(io::Sys& sys, const std::string& directory,
                                                const SegmentEntry& entry, Inventory& inventory) {
  const std::string path = directory + "/" + entry.name;
  auto file = SegmentFile::open(sys, path);
  if (!entry.both || (!file && file.error().code == newer_format)) return file;
  auto compressed = SegmentFile::open(sys, path + "z");
  if (!compressed && compressed.error().code == newer_format) {
    inventory.unreadable.push_back({path + "z", compressed.error().message, true});
  }
  if (!file) return compressed;
  return file;
}

}  // namespace

Result<Inventory> take_inventory(io::Sys& sys, const std::string& data_dir) {
  const std::string path = data_dir + "/log";
  std::vector<io::DirectoryEntry> entries;
  if (const int result = sys.list_directory(path, entries); result < 0) {
    return errno_error(
        -result, "cannot list " + path + " (is " + data_dir + " a data directory of ringgate?)");
  }
  Inventory inventory;
  for (const io::DirectoryEntry& entry : entries) {
    if (entry.name.starts_with("spare-")) inventory.spare_bytes += entry.size_bytes;
  }
  for (const SegmentEntry& entry : segments_of(entries)) {
    auto file = open_entry(sys, path, entry, inventory);
    if (!file) {
      // Retention may take a file between the listing and here.
      if (file.error().code == ENOENT) continue;
      inventory.unreadable.push_back({path + "/" + entry.name, file.error().message,
                                      file.error().code == newer_format});
      continue;
    }
    const SegmentHeader& header = (*file)->header();
    if (header.stream != entry.id.stream || header.base != entry.id.base) {
      inventory.unreadable.push_back(
          {path + "/" + entry.name, (*file)->path() + ": its header names another segment"});
      continue;
    }
    Stream& stream = inventory.streams[entry.id.stream];
    stream.id = entry.id.stream;
    SegmentState state;
    state.name = entry.name;
    state.file = std::move(*file);
    state.file->release();
    stream.segments.push_back(std::move(state));
  }
  for (auto& [id, stream] : inventory.streams) {
    std::sort(stream.segments.begin(), stream.segments.end(),
              [](const SegmentState& a, const SegmentState& b) {
                return a.header().base < b.header().base;
              });
  }
  return inventory;
}

Position limit_of(const Stream& stream, std::size_t index) {
  const Position natural = stream.segments[index].header().next_base();
  if (index + 1 >= stream.segments.size()) return natural;
  return std::min(natural, stream.segments[index + 1].header().base);
}

namespace {

// Takes valid records from `at` on into the last stretch (or a new one); returns where they end.
Position take_records(SegmentState& segment, Position at, Position limit, bool new_stretch,
                      const std::function<void(std::uint64_t)>& read_bytes) {
  SegmentFile& file = *segment.file;
  Position reported = at;
  while (at < limit && !segment.end_marked) {
    const auto record = file.record_at(at);
    if (!record || record->end() > limit) break;
    if (new_stretch) segment.stretches.push_back({at, at, 0, 0, 0, 0});
    new_stretch = false;
    Stretch& stretch = segment.stretches.back();
    add_to_stretch(stretch, *record);
    stretch.proves = std::max(stretch.proves, record->proves());
    at = record->end();
    segment.end_marked = record->is_mark(end_mark);
    if (read_bytes && at - reported >= scan_window) {
      read_bytes(at - reported);
      reported = at;
    }
  }
  return at;
}

Position scan_limit(const SegmentState& segment, Position limit) {
  const std::optional<Seal>& seal = segment.file->seal();
  return seal ? std::min(limit, seal->end) : limit;
}

}  // namespace

void scan(SegmentState& segment, Position limit,
          const std::function<void(std::uint64_t)>& read_bytes) {
  SegmentFile& file = *segment.file;
  limit = scan_limit(segment, limit);
  segment.stretches.clear();
  segment.end_marked = false;
  segment.scanned = true;
  Position at = take_records(segment, file.header().base, limit, true, read_bytes);
  while (at < limit && !segment.end_marked) {
    const Position found = find_record(file, at + 8, limit);
    if (found >= limit) break;
    // A live writer may have filled the place since it was read.
    file.forget_window();
    const Position again = take_records(segment, at, limit, segment.stretches.empty(), read_bytes);
    if (again > at) {
      at = again;
      continue;
    }
    const bool new_stretch = segment.stretches.size() < stretches_max;
    at = take_records(segment, found, limit, new_stretch, read_bytes);
    if (at == found) at += 8;  // it was valid a moment ago: a live file that was recycled
  }
}

void extend(SegmentState& segment, Position limit) {
  if (!segment.scanned) {
    segment.stretches.clear();
    segment.end_marked = false;
    segment.scanned = true;
  }
  limit = scan_limit(segment, limit);
  segment.file->forget_window();
  const bool empty = segment.stretches.empty();
  const Position at = empty ? segment.header().base : segment.stretches.back().end;
  take_records(segment, at, limit, empty, {});
}

void prove(Stream& stream) {
  Position proven = stream.proven;
  for (const SegmentState& segment : stream.segments) {
    proven = highest_proof(segment, proven);
    for (const Stretch& stretch : segment.stretches) {
      proven = std::max({proven, stretch.proves, segment.header().base});
    }
  }
  stream.proven = proven;
}

void judge(Stream& stream, bool live) {
  for (std::size_t i = 0; i < stream.segments.size(); ++i) {
    judge_segment(stream.segments[i], limit_of(stream, i), stream.proven, live);
  }
}

namespace {

// A plain file may have become another segment while it was read, since this one lies compressed
// beside it by now: that one is read before anything counts as damaged.
void read_compressed(Stream& stream) {
  bool again = false;
  for (std::size_t i = 0; i < stream.segments.size(); ++i) {
    SegmentState& segment = stream.segments[i];
    if (segment.damage.empty() || segment.file->compressed()) continue;
    if (!segment.file->refresh() || !segment.file->compressed()) continue;
    scan(segment, limit_of(stream, i), {});
    again = true;
  }
  if (again) judge(stream, true);
}

// What was proven while a live stream was read lies on the disk by now: looks at incomplete
// segments again before they count as damaged.
void look_again(Stream& stream) {
  for (std::size_t i = 0; i < stream.segments.size(); ++i) {
    SegmentState& segment = stream.segments[i];
    if (!segment.scanned || segment.end_marked || segment.file->seal()) continue;
    const Position limit = limit_of(stream, i);
    const auto end = [&] {
      return segment.stretches.empty() ? segment.header().base : segment.stretches.back().end;
    };
    if (stream.proven <= end() || end() >= limit) continue;
    extend(segment, limit);
    if (stream.proven > end() && !segment.end_marked && end() < limit) scan(segment, limit, {});
  }
}

}  // namespace

void examine(Stream& stream, bool live, bool sealed_too,
             const std::function<void(std::uint64_t)>& read_bytes) {
  for (std::size_t i = 0; i < stream.segments.size(); ++i) {
    SegmentState& segment = stream.segments[i];
    if (!sealed_too && segment.file->seal()) {
      // Sealed since it was scanned: the seal knows better. What was proven stays proven.
      segment.scanned = false;
      segment.stretches.clear();
      continue;
    }
    const Position limit = limit_of(stream, i);
    // What a writer has made ahead holds nothing yet: a walk ends where the records do.
    if (live && (segment.scanned || !segment.file->seal())) {
      extend(segment, limit);
    } else {
      scan(segment, limit, read_bytes);
    }
    segment.file->release();
  }
  prove(stream);
  if (live) look_again(stream);
  judge(stream, live);
  if (!live) return;
  read_compressed(stream);
  for (SegmentState& segment : stream.segments) {
    if (segment.damage.empty() || segment.file->refresh()) continue;
    segment.gone = true;
    segment.damage.clear();
    segment.records = 0;
    segment.end = segment.header().base;
  }
}

void count_proven(Stream& stream) {
  const auto reaches_beyond = [](const SegmentState& segment) {
    return segment.scanned && !segment.gone && !segment.file->seal() &&
           !segment.stretches.empty() && segment.stretches.back().end > segment.end;
  };
  bool sealed = false;
  for (std::size_t i = 0; i < stream.segments.size(); ++i) {
    SegmentState& segment = stream.segments[i];
    if (!reaches_beyond(segment)) continue;
    // Opens it, and stays open: a seal that comes later is not seen.
    if (!segment.file->refresh() || !segment.file->seal()) continue;
    scan(segment, limit_of(stream, i), {});
    sealed = true;
  }
  if (sealed) {
    prove(stream);
    judge(stream, true);
  }
  for (SegmentState& segment : stream.segments) {
    if (!reaches_beyond(segment)) continue;
    segment.records = 0;
    for (Position at = segment.header().base; at < segment.end;) {
      const auto record = segment.file->record_at(at);
      if (!record || record->end() > segment.end) {
        at = find_record(*segment.file, at + 8, segment.end);
        continue;
      }
      at = record->end();
      if (record->is_own()) continue;
      if (segment.records++ == 0) segment.first_received_us = record->header.received_us;
      segment.last_received_us = record->header.received_us;
    }
    segment.file->release();
  }
}

std::string describe(const SegmentFile& file, const Damage& damage) {
  return fmt::format(
      "{}: {} bytes at offset {} (positions {} to {}) should hold acknowledged records "
      "and do not",
      file.path(), damage.end - damage.begin, damage.file_offset, damage.begin, damage.end);
}

std::string describe(const SegmentState& segment, const Damage& damage) {
  return describe(*segment.file, damage);
}

namespace {

bool never_used(const SegmentState& segment, Position proven) {
  return segment.stretches.empty() && segment.damage.empty() && proven <= segment.header().base;
}

Result<void> write_seal(io::Sys& sys, const SegmentState& segment) {
  const std::string& path = segment.file->path();
  bool direct = false;
  const int fd = open_maybe_direct(sys, path, O_RDWR, 0, direct);
  if (fd < 0) return errno_error(-fd, "cannot seal " + path);
  const AlignedMemory block = aligned_memory(block_size);
  const Seal seal{SealKind::recovered,      segment.end,
                  segment.records,          segment.first_received_us,
                  segment.last_received_us, segment.damage.size()};
  encode_seal(seal, segment.header().epoch, {block.get(), block_size});
  std::int64_t result = sys.pwrite(fd, {block.get(), block_size}, seal_offset);
  if (result >= 0 && result != block_size) result = -EIO;
  if (result >= 0) result = sys.data_sync(fd);
  if (result >= 0 && segment.damage.empty()) {
    // Only gives space back; what was cut lies above the durable seal's end.
    sys.truncate(fd, align_up(segment.header().offset_of(segment.end), block_size));
  }
  sys.close(fd);
  if (result < 0) return errno_error(static_cast<int>(-result), "cannot seal " + path);
  return {};
}

Result<void> recover_stream(io::Sys& sys, Stream& stream, RecoveryReport& report) {
  const bool all_sealed =
      std::all_of(stream.segments.begin(), stream.segments.end(),
                  [](const SegmentState& s) { return s.file->seal().has_value(); });
  report.segments_seen += stream.segments.size();
  if (all_sealed) return {};
  examine(stream, false, false, {});
  for (SegmentState& segment : stream.segments) {
    if (segment.file->seal() || never_used(segment, stream.proven)) continue;
    if (auto sealed = write_seal(sys, segment); !sealed) return sealed.error();
    ++report.segments_sealed;
    report.records += segment.records;
    report.dropped_records += segment.dropped_records;
    report.dropped_bytes += segment.dropped_bytes;
    for (const Damage& damage : segment.damage)
      report.problems.push_back(describe(segment, damage));
  }
  // Only now: an unused segment's header may prove what the one before it had to hold.
  for (SegmentState& segment : stream.segments) {
    if (segment.file->seal() || !never_used(segment, stream.proven)) continue;
    if (const int result = sys.remove(segment.file->path()); result < 0) {
      return errno_error(-result, "cannot remove " + segment.file->path());
    }
    ++report.segments_removed;
  }
  return {};
}

}  // namespace

Result<RecoveryReport> recover(io::Sys& sys, const DataDir& dir) {
  auto inventory = take_inventory(sys, dir.path());
  if (!inventory) return inventory.error();
  RecoveryReport report;
  for (const Unreadable& file : inventory->unreadable) {
    if (!file.newer) continue;
    return Error{newer_format,
                 fmt::format("{}. The log was not changed. Cure: start the newer program; or, to "
                             "go on without what this file holds, move it to another directory",
                             file.reason)};
  }
  for (auto& [id, stream] : inventory->streams) {
    if (id.run == dir.run()) continue;
    if (auto done = recover_stream(sys, stream, report); !done) return done.error();
  }
  for (const Unreadable& file : inventory->unreadable) report.problems.push_back(file.reason);
  if (report.segments_removed > 0) {
    if (const int result = sys.sync_directory(dir.log_path()); result < 0) {
      return errno_error(-result, "cannot sync the directory " + dir.log_path());
    }
  }
  return report;
}

}  // namespace ringgate::log
