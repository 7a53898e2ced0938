#include "storage/log/segment_times.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "engine/base/crc32c.hpp"
#include "storage/log/index.hpp"
#include "storage/log/limits.hpp"
#include "storage/log/segment_file.hpp"
#include "storage/log/side_file.hpp"

namespace ringgate::log {

namespace {

constexpr std::uint64_t times_magic = 0x4d4954474f4c4752ULL;  // "RGLOGTIM"
constexpr std::uint32_t times_version = 1;

struct TimesHead {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t crc;  // of what follows
  std::uint64_t size_bytes;
  std::uint64_t segments;
};
static_assert(sizeof(TimesHead) == 32);
constexpr std::size_t crc_from = 16;

struct TimesEntry {
  std::uint32_t run;
  std::uint16_t shard;
  std::uint16_t spans;
  std::uint64_t base;
  std::uint64_t epoch;
  std::uint64_t end;
  std::uint64_t records;
  std::int64_t first_received_us;
  std::int64_t last_received_us;
};
static_assert(sizeof(TimesEntry) == 56);
static_assert(sizeof(TimeSpan) == 16);

template <class T>
void put(std::vector<std::uint8_t>& out, const T& value) {
  const std::size_t at = out.size();
  out.resize(at + sizeof value);
  std::memcpy(out.data() + at, &value, sizeof value);
}

template <class T>
bool take(Bytes& from, T& value) {
  if (from.size() < sizeof value) return false;
  std::memcpy(&value, from.data(), sizeof value);
  from = from.subspan(sizeof value);
  return true;
}

struct OpenFile {
  io::Sys& sys;
  int fd;
  ~OpenFile() { sys.close(fd); }
};

}  // namespace

bool SegmentTimes::may_hold(WallUs from_us, WallUs to_us) const {
  return std::any_of(device_times.begin(), device_times.end(), [&](const TimeSpan& span) {
    return span.last_us >= from_us && span.first_us < to_us;
  });
}

SegmentTimes times_of(const SegmentHeader& header, const Seal& seal, std::vector<TimeSpan> spans) {
  return {header.epoch,           seal.end,        seal.records, seal.first_received_us,
          seal.last_received_us, std::move(spans)};
}

std::vector<std::uint8_t> encode_times(const TimesTable& table) {
  std::vector<std::uint8_t> out;
  put(out, TimesHead{});
  for (const auto& [key, times] : table) {
    const std::size_t spans = std::min(times.device_times.size(), times_spans_max);
    put(out, TimesEntry{key.first.run, key.first.shard, static_cast<std::uint16_t>(spans),
                        key.second, times.epoch, times.end, times.records,
                        times.first_received_us, times.last_received_us});
    for (std::size_t i = 0; i < spans; ++i) put(out, times.device_times[i]);
  }
  TimesHead head{times_magic, times_version, 0, out.size(), table.size()};
  std::memcpy(out.data(), &head, sizeof head);
  head.crc = crc32c(0, Bytes(out).subspan(crc_from));
  std::memcpy(out.data(), &head, sizeof head);
  return out;
}

Result<TimesTable> decode_times(Bytes bytes) {
  const Error damaged{0, "short or damaged"};
  Bytes rest = bytes;
  TimesHead head{};
  if (!take(rest, head)) return damaged;
  if (head.magic != times_magic || head.version != times_version) {
    return Error{0, "no list of times that this program reads"};
  }
  if (head.size_bytes != bytes.size() || head.crc != crc32c(0, bytes.subspan(crc_from))) {
    return damaged;
  }
  TimesTable table;
  for (std::uint64_t i = 0; i < head.segments; ++i) {
    TimesEntry entry{};
    if (!take(rest, entry) || entry.spans > times_spans_max) return damaged;
    SegmentTimes times{entry.epoch, entry.end, entry.records, entry.first_received_us,
                       entry.last_received_us, std::vector<TimeSpan>(entry.spans)};
    for (TimeSpan& span : times.device_times) {
      if (!take(rest, span) || span.empty()) return damaged;
    }
    table.emplace_hint(table.end(), SegmentKey{{entry.run, entry.shard}, entry.base},
                       std::move(times));
  }
  if (!rest.empty() || table.size() != head.segments) return damaged;
  return table;
}

Result<TimesTable> read_times(io::Sys& sys, const std::string& directory,
                              std::uint64_t& bytes_read) {
  const std::string path = directory + "/" + std::string(times_file_name);
  const int fd = sys.open(path, O_RDONLY, 0);
  if (fd < 0) return errno_error(-fd, path);
  const OpenFile file{sys, fd};
  const std::int64_t size = sys.file_size(fd);
  if (size < 0) return errno_error(static_cast<int>(-size), path);
  if (size > static_cast<std::int64_t>(times_size_max)) return Error{EFBIG, path + ": too long"};
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(size));
  const std::int64_t got = sys.pread(fd, bytes, 0);
  if (got < 0) return errno_error(static_cast<int>(-got), path);
  bytes_read += static_cast<std::uint64_t>(got);
  auto table = decode_times(Bytes(bytes).first(static_cast<std::size_t>(got)));
  if (!table) return Error{EBADMSG, path + ": " + table.error().message};
  return table;
}

Result<void> write_times(io::Sys& sys, const std::string& directory, const TimesTable& table) {
  const std::string name(times_file_name);
  return put_side_file(sys, directory, "new-" + name, name, encode_times(table));
}

Result<SegmentTimes> look_up_times(io::Sys& sys, const std::string& directory,
                                   const SegmentEntry& segment) {
  const std::string path = directory + "/" + segment.name;
  TimeRanges ranges;
  if (segment.id.compressed) {
    const auto file = CompressedSegment::open(sys, path);
    if (!file) return file.error();
    for (const ChunkEntry& chunk : (*file)->chunks()) {
      ranges.add({chunk.device_first_us, chunk.device_last_us});
    }
    return times_of((*file)->header(), (*file)->seal(), ranges.spans(times_spans_max));
  }
  const auto file = SegmentFile::open(sys, path, Access::scattered);
  if (!file) return file.error();
  const std::optional<Seal>& seal = (*file)->seal();
  if (!seal) return Error{0, path + ": not sealed"};
  const auto index = IndexFile::open(sys, index_name_of(path), (*file)->header(), seal->end);
  if (!index) return index.error();
  for (std::uint32_t i = 0; i < (*index)->blocks(); ++i) {
    const auto block = (*index)->block(i);
    if (!block) return Error{0, index_name_of(path) + ": damaged"};
    ranges.add(block->device_times);
  }
  return times_of((*file)->header(), *seal, ranges.spans(times_spans_max));
}

}  // namespace ringgate::log
