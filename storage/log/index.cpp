#include "storage/log/index.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "storage/log/device_hash.hpp"

namespace ringgate::log {

namespace {

constexpr std::uint64_t index_magic = 0x584449474f4c4752ULL;  // "RGLOGIDX"
constexpr std::uint32_t index_version = 1;

struct IndexHead {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t zero;
  std::uint64_t epoch;
  std::uint64_t base;
  std::uint64_t end;
  std::uint64_t records;
  std::uint32_t blocks;
  std::uint32_t devices;
  std::uint64_t size_bytes;
};
static_assert(sizeof(IndexHead) == 64);
static_assert(offsetof(IndexHead, blocks) == 48);

struct SparseEntry {
  std::int64_t first_received_us;
  std::uint64_t first_position;
  std::int64_t device_first_us;
  std::int64_t device_last_us;
};
static_assert(sizeof(SparseEntry) == 32);

template <class T>
void put(std::vector<std::uint8_t>& out, const T& value) {
  const std::size_t at = out.size();
  out.resize(at + sizeof value);
  std::memcpy(out.data() + at, &value, sizeof value);
}

constexpr std::int64_t floor_seconds(WallUs us) {
  return us / us_per_s - (us % us_per_s < 0 ? 1 : 0);
}

// Whole seconds around the device times, as differences to the time of the segment's first record.
void put_times(std::vector<std::uint8_t>& out, std::uint64_t count, const TimeSpan& times,
               std::int64_t from_s) {
  put_varint(out, count << 1 | (times.empty() ? 0 : 1));
  if (times.empty()) return;
  put_varint(out, zigzag(floor_seconds(times.first_us) - from_s));
  put_varint(out, zigzag(floor_seconds(times.last_us) + 1 - from_s));
}

}  // namespace

void IndexBuilder::add(const Record& record, const std::optional<event::DeviceTimes>& times) {
  const Position position = record.header.position;
  const std::uint64_t number = (position - header_.base) / index_block;
  while (blocks_.size() <= number) {
    blocks_.push_back({record.header.received_us, position, {}});
  }
  const bool timed = times && is_kept_time(*times);
  if (timed) {
    blocks_.back().device_times.add(*times);
    device_times_.add({times->first_us, times->last_us});
  }
  ++records_;
  if (record.device.empty()) return;
  Device& device = devices_[device_hash(record.header.ns, record.device)];
  if (device.count++ == 0) device.last = header_.base;
  put_varint(device.places, (position - device.last) / 8);
  device.last = position;
  if (timed) device.times.add(*times);
}

std::vector<std::uint8_t> IndexBuilder::finish(Position end) {
  std::vector<std::uint64_t> hashes;
  hashes.reserve(devices_.size());
  for (const auto& [hash, device] : devices_) hashes.push_back(hash);
  std::sort(hashes.begin(), hashes.end());
  std::vector<std::uint8_t> content;
  put(content, IndexHead{});
  for (const IndexBlock& block : blocks_) {
    put(content, SparseEntry{block.first_received_us, block.first_position,
                            block.device_times.first_us, block.device_times.last_us});
  }
  std::vector<std::uint8_t> places;
  const std::int64_t from_s =
      blocks_.empty() ? 0 : floor_seconds(blocks_.front().first_received_us);
  for (const std::uint64_t hash : hashes) {
    const Device& device = devices_.at(hash);
    put(content, HashEntry{hash, places.size()});
    put_times(places, device.count, device.times, from_s);
    places.insert(places.end(), device.places.begin(), device.places.end());
  }
  put(content, HashEntry{~std::uint64_t{0}, places.size()});
  content.insert(content.end(), places.begin(), places.end());
  const IndexHead head{index_magic,
                       index_version,
                       0,
                       header_.epoch,
                       header_.base,
                       end,
                       records_,
                       static_cast<std::uint32_t>(blocks_.size()),
                       static_cast<std::uint32_t>(hashes.size()),
                       content.size()};
  std::memcpy(content.data(), &head, sizeof head);
  return pages_of(content, crc_seed(header_.epoch));
}

Result<std::unique_ptr<IndexFile>> IndexFile::open(io::Sys& sys, const std::string& path,
                                                   const SegmentHeader& header, Position end) {
  const int fd = sys.open(path, O_RDONLY, 0);
  if (fd < 0) return errno_error(-fd, path);
  sys.will_need(fd, 0, index_fetch);
  std::unique_ptr<IndexFile> file(new IndexFile(sys, fd));
  if (auto loaded = file->load(header, end); !loaded) {
    return Error{0, path + ": " + loaded.error().message};
  }
  return file;
}

IndexFile::~IndexFile() { sys_.close(fd_); }

Result<void> IndexFile::load(const SegmentHeader& header, Position end) {
  const std::int64_t size = sys_.file_size(fd_);
  if (size < block_size) return Error{0, "shorter than its header"};
  const std::uint32_t seed = crc_seed(header.epoch);
  IndexHead head{};
  {
    PageReader first(sys_, fd_, 0, page_room, seed);
    std::uint8_t bytes[sizeof head];
    if (!first.read(0, bytes)) return Error{0, "of another epoch, or damaged"};
    std::memcpy(&head, bytes, sizeof head);
  }
  if (head.magic != index_magic) return Error{0, "no index (wrong magic)"};
  if (head.version != index_version) {
    return Error{
        0, fmt::format("format version {}, this program reads {}", head.version, index_version)};
  }
  const std::uint64_t fixed = sizeof head + head.blocks * sizeof(SparseEntry) +
                              (std::uint64_t{head.devices} + 1) * sizeof(HashEntry);
  if (head.epoch != header.epoch || head.base != header.base || head.end != end ||
      head.size_bytes < fixed || head.size_bytes > static_cast<std::uint64_t>(size) ||
      pages_bytes(head.size_bytes) > static_cast<std::uint64_t>(size)) {
    return Error{0, "of another segment, or short"};
  }
  base_ = head.base;
  end_ = head.end;
  records_ = head.records;
  blocks_ = head.blocks;
  pages_ = std::make_unique<PageReader>(sys_, fd_, 0, head.size_bytes, seed);
  pages_->fetch(0, std::min<std::uint64_t>(fixed, index_fetch));
  directory_ = {*pages_, sizeof head + head.blocks * sizeof(SparseEntry), head.devices};
  return {};
}

std::optional<IndexBlock> IndexFile::block(std::uint32_t number) {
  if (number >= blocks_) return std::nullopt;
  const auto entry = pages_->value<SparseEntry>(sizeof(IndexHead) + number * sizeof(SparseEntry));
  if (!entry) return std::nullopt;
  return IndexBlock{entry->first_received_us,
                    entry->first_position,
                    {entry->device_first_us, entry->device_last_us}};
}

std::optional<std::uint32_t> IndexFile::first_block_from(WallUs at_us) {
  std::uint32_t low = 0;
  std::uint32_t high = blocks_;
  while (low < high) {
    const std::uint32_t middle = low + (high - low) / 2;
    const auto found = block(middle);
    if (!found) return std::nullopt;
    if (found->first_received_us < at_us) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

std::optional<IndexFile::Places> IndexFile::places(std::uint64_t device_hash) {
  const auto bytes = directory_.places(device_hash);
  if (!bytes) return std::nullopt;
  Places out;
  if (bytes->empty()) return out;
  Bytes rest(*bytes);
  std::uint64_t head = 0;
  if (!take_varint(rest, head) || head >> 1 > rest.size()) return std::nullopt;
  if ((head & 1) != 0) {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    const auto from = block(0);
    if (!from || !take_varint(rest, first) || !take_varint(rest, last)) return std::nullopt;
    const std::int64_t from_s = floor_seconds(from->first_received_us);
    constexpr std::int64_t bound_s = 2 * time_bound / us_per_s;
    const std::int64_t first_s = std::clamp(unzigzag(first), -bound_s, bound_s) + from_s;
    const std::int64_t last_s = std::clamp(unzigzag(last), -bound_s, bound_s) + from_s;
    out.device_times = {first_s * us_per_s, last_s * us_per_s};
  }
  out.positions.reserve(head >> 1);
  Position position = base_;
  for (std::uint64_t i = 0; i < head >> 1; ++i) {
    std::uint64_t step = 0;
    if (!take_varint(rest, step) || step > (end_ - position) / 8 || (step == 0 && i > 0)) {
      return std::nullopt;
    }
    position += step * 8;
    out.positions.push_back(position);
  }
  return out;
}

}  // namespace ringgate::log
