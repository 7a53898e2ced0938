#include "storage/log/compressor.hpp"

#include <fmt/format.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "engine/base/crc32c.hpp"
#include "storage/log/columns.hpp"
#include "storage/log/compressed.hpp"
#include "storage/log/device_hash.hpp"
#include "storage/log/segment_file.hpp"
#include "storage/log/segz.hpp"
#include "storage/log/side_file.hpp"

namespace ringgate::log {

namespace {

struct FreeCompressor {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};

template <class T>
void put(std::vector<std::uint8_t>& out, const T* values, std::size_t count) {
  const std::size_t at = out.size();
  out.resize(at + count * sizeof(T));
  if (count > 0) std::memcpy(out.data() + at, values, count * sizeof(T));
}

// Where a segment's records lie by device: block numbers of each hash.
struct DevicePlaces {
  std::vector<std::uint8_t> bytes;
  std::uint32_t last = 0;
};

class Compressor {
 public:
  Compressor(io::Sys& sys, SegmentFile& plain, SideFile& out, const event::CatalogSet& catalogs,
             const CompressOptions& options)
      : plain_(plain),
        out_(out),
        catalogs_(catalogs),
        options_(options),
        seed_(plain.seed()),
        chunk_bytes_(options.chunk_bytes == 0 ? chunk_bytes_max : options.chunk_bytes),
        block_bytes_(options.block_bytes == 0 ? column_block_bytes : options.block_bytes),
        context_(ZSTD_createCCtx()) {
    static_cast<void>(sys);
    RG_CHECK(context_ != nullptr);
    ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel,
                           options.level == 0 ? compress_level : options.level);
  }

  // Nothing: what could not be read is said in why().
  Result<bool> run() {
    const Position end = plain_.seal()->end;
    for (Position at = plain_.header().base; at < end;) {
      const auto next = load_chunk(at, end);
      if (!next) return false;
      if (options_.pause && !options_.pause()) {
        why_ = "stopped";
        return false;
      }
      if (auto put = put_chunk({at, *next}); !put) return put.error();
      at = *next;
    }
    if (auto put = put_directory(); !put) return put.error();
    return true;
  }
  const std::string& why() const { return why_; }
  std::uint64_t file_bytes() const { return at_; }

 private:
  std::optional<Position> load_chunk(Position begin, Position end) {
    image_.clear();
    image_.reserve(chunk_bytes_ + record_size_max);
    records_.clear();
    Position at = begin;
    while (at < end && at - begin < chunk_bytes_) {
      const auto record = plain_.record_at(at);
      if (!record || record->end() > end) {
        why_ = fmt::format("no valid record at position {}", at);
        return std::nullopt;
      }
      const std::uint64_t size = padded_size(record->header.size_bytes);
      const Bytes bytes = plain_.at(plain_.header().offset_of(at), size);
      if (bytes.size() < size) {
        why_ = "the file is short";
        return std::nullopt;
      }
      image_.insert(image_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
      at = record->end();
      records_.push_back(*record);
    }
    // What they point to lay in the file's window.
    for (Record& record : records_) {
      const std::uint8_t* from = image_.data() + (record.header.position - begin);
      record.device = {reinterpret_cast<const char*>(from) + record_header_size,
                       record.device.size()};
      record.payload = {from + record_header_size + record.device.size(), record.payload.size()};
    }
    return at;
  }

  Result<std::uint32_t> put_packed(const std::vector<std::uint8_t>& raw, std::uint32_t& bytes) {
    packed_.resize(ZSTD_compressBound(raw.size()));
    const std::size_t size = ZSTD_compress2(context_.get(), packed_.data(), packed_.size(),
                                            raw.data(), raw.size());
    if (ZSTD_isError(size) != 0) return Error{0, ZSTD_getErrorName(size)};
    packed_.resize(size);
    if (auto written = out_.write(at_, packed_); !written) return written.error();
    at_ += size;
    bytes = static_cast<std::uint32_t>(size);
    return crc32c(seed_, packed_);
  }

  Result<void> put_chunk(ChunkRange range) {
    ChunkEntry chunk{};
    chunk.begin = range.begin;
    chunk.end = range.end;
    chunk.first_received_us = records_.front().header.received_us;
    chunk.last_received_us = records_.back().header.received_us;
    chunk.first_block = static_cast<std::uint32_t>(blocks_.size());
    Timeline timeline;
    TimeSpan times;
    for (const Record& record : records_) {
      timeline.add(record.header);
      const event::MessageCatalog* catalog = catalogs_.find(record.ns());
      if (catalog == nullptr) continue;
      if (const auto found = catalog->device_times(record.view())) times.add(*found);
    }
    chunk.device_first_us = times.first_us;
    chunk.device_last_us = times.last_us;
    const std::vector<std::uint8_t> steps = timeline.encode(range.begin);
    chunk.timeline_at = at_;
    chunk.timeline_raw = static_cast<std::uint32_t>(steps.size());
    auto crc = put_packed(steps, chunk.timeline_bytes);
    if (!crc) return crc.error();
    chunk.timeline_crc = *crc;
    if (auto put = put_blocks(range); !put) return put;
    chunk.blocks = static_cast<std::uint32_t>(blocks_.size()) - chunk.first_block;
    chunks_.push_back(chunk);
    return {};
  }

  static bool same_device(const Record& a, const Record& b) {
    return a.header.ns == b.header.ns && a.device == b.device;
  }

  Result<void> put_blocks(ChunkRange range) {
    std::stable_sort(records_.begin(), records_.end(), [](const Record& a, const Record& b) {
      if (a.header.ns != b.header.ns) return a.header.ns < b.header.ns;
      return a.device < b.device;
    });
    std::size_t begin = 0;
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < records_.size(); ++i) {
      bytes += padded_size(records_[i].header.size_bytes);
      const bool last = i + 1 == records_.size();
      // A device's records stay together, except where they alone are several blocks.
      const bool whole = last || !same_device(records_[i], records_[i + 1]);
      if (!last && (bytes < block_bytes_ || (!whole && bytes < 4 * block_bytes_))) continue;
      const std::span<const Record> records(records_.data() + begin, i + 1 - begin);
      if (auto put = put_block(records, range, static_cast<std::uint32_t>(bytes)); !put) return put;
      if (options_.pause) static_cast<void>(options_.pause());  // asked again after the chunk
      begin = i + 1;
      bytes = 0;
    }
    return {};
  }

  Result<void> put_block(std::span<const Record> records, ChunkRange range, std::uint32_t bytes) {
    const std::vector<std::uint8_t> raw = encode_columns(records, range);
    BlockEntry block{};
    block.at = at_;
    block.raw = static_cast<std::uint32_t>(raw.size());
    block.check = check_of(records, seed_);
    block.records = static_cast<std::uint32_t>(records.size());
    block.record_bytes = bytes;
    auto crc = put_packed(raw, block.bytes);
    if (!crc) return crc.error();
    block.crc = *crc;
    const auto number = static_cast<std::uint32_t>(blocks_.size());
    const Record* before = nullptr;
    for (const Record& record : records) {
      if (before == nullptr || !same_device(*before, record)) add_place(record, number);
      before = &record;
    }
    blocks_.push_back(block);
    return {};
  }

  void add_place(const Record& record, std::uint32_t block) {
    if (record.device.empty()) return;
    DevicePlaces& places = places_[device_hash(record.header.ns, record.device)];
    if (!places.bytes.empty() && places.last == block) return;  // two devices of one hash
    put_varint(places.bytes, block - places.last);
    places.last = block;
  }

  Result<void> put_directory() {
    std::vector<std::uint8_t> content;
    put(content, chunks_.data(), chunks_.size());
    put(content, blocks_.data(), blocks_.size());
    std::vector<std::uint8_t> all;
    for (const auto& [hash, places] : places_) {
      const HashEntry entry{hash, all.size()};
      put(content, &entry, 1);
      all.insert(all.end(), places.bytes.begin(), places.bytes.end());
    }
    const HashEntry last{~std::uint64_t{0}, all.size()};
    put(content, &last, 1);
    put(content, all.data(), all.size());
    CompressedHead head{};
    head.magic = compressed_magic;
    head.version = compressed_version;
    head.epoch = plain_.header().epoch;
    head.directory_at = at_ = align_up(at_, block_size);
    head.directory_bytes = content.size();
    head.chunks = static_cast<std::uint32_t>(chunks_.size());
    head.blocks = static_cast<std::uint32_t>(blocks_.size());
    head.devices = static_cast<std::uint32_t>(places_.size());
    head.plain_bytes = plain_.file_bytes();
    const std::vector<std::uint8_t> pages = pages_of(content, seed_);
    if (auto written = out_.write(at_, pages); !written) return written;
    at_ += pages.size();
    std::vector<std::uint8_t> blocks(compressed_data_offset);
    std::memcpy(blocks.data(), &head, sizeof head);
    store_native(blocks.data() + 12,
                 crc32c(seed_, Bytes(blocks).subspan(16, block_size - 16)));
    encode_header(plain_.header(), {blocks.data() + block_size, block_size});
    encode_seal(*plain_.seal(), head.epoch, {blocks.data() + 2 * block_size, block_size});
    return out_.write(0, blocks);
  }

  SegmentFile& plain_;
  SideFile& out_;
  const event::CatalogSet& catalogs_;
  const CompressOptions& options_;
  std::uint32_t seed_;
  std::uint32_t chunk_bytes_;
  std::uint32_t block_bytes_;
  std::unique_ptr<ZSTD_CCtx, FreeCompressor> context_;
  std::uint64_t at_ = compressed_data_offset;
  std::vector<std::uint8_t> image_;
  std::vector<Record> records_;
  std::vector<std::uint8_t> packed_;
  std::vector<ChunkEntry> chunks_;
  std::vector<BlockEntry> blocks_;
  std::map<std::uint64_t, DevicePlaces> places_;  // by hash, as the directory is
  std::string why_;
};

}  // namespace

Result<void> compare_compressed(io::Sys& sys, const std::string& plain, const std::string& packed,
                                const std::function<bool()>& pause) {
  const auto left = SegmentFile::open(sys, plain);
  if (!left) return left.error();
  auto right = CompressedSegment::open(sys, packed);
  if (!right) return right.error();
  const SegmentHeader& header = (*left)->header();
  std::vector<std::uint8_t> expected(2 * block_size);
  encode_header(header, {expected.data(), block_size});
  if (!(*left)->seal() || !(*right)->check_directory()) {
    return Error{0, packed + ": its directory is damaged"};
  }
  encode_seal(*(*left)->seal(), header.epoch, {expected.data() + block_size, block_size});
  if (std::memcmp((*right)->header_block().data(), expected.data(), block_size) != 0 ||
      std::memcmp((*right)->seal_block().data(), expected.data() + block_size, block_size) != 0) {
    return Error{0, packed + ": is of another segment than " + plain};
  }
  std::vector<std::uint8_t> image;
  for (std::size_t i = 0; i < (*right)->chunks().size(); ++i) {
    const ChunkEntry& chunk = (*right)->chunks()[i];
    image.resize(chunk.end - chunk.begin);
    bool same = (*right)->inflate(i, image);
    for (std::uint64_t at = 0; same && at < image.size();) {
      const std::uint64_t size = std::min<std::uint64_t>(image.size() - at, scan_window);
      const Bytes there = (*left)->at(header.offset_of(chunk.begin + at), size);
      same = there.size() >= size && std::memcmp(there.data(), image.data() + at, size) == 0;
      at += size;
    }
    if (!same) {
      return Error{0, fmt::format("{}: positions {} to {} are not those of {}", packed, chunk.begin,
                                  chunk.end, plain)};
    }
    if (pause && !pause()) return Error{EINTR, "stopped"};
  }
  return {};
}

Result<Compressed> compress_segment(io::Sys& sys, const std::string& directory,
                                    const std::string& name, const event::CatalogSet& catalogs,
                                    const CompressOptions& options) {
  Compressed result;
  const std::string path = directory + "/" + name;
  const auto plain = SegmentFile::open(sys, path);
  if (!plain || !(*plain)->seal() || (*plain)->seal()->damaged > 0) {
    result.why = !plain ? plain.error().message : "not sealed, or damaged";
    return result;
  }
  const std::string packed = compressed_name_of(name);
  SideFile out(sys, directory, "new-" + packed);
  if (auto opened = out.open(); !opened) return opened.error();
  Compressor compressor(sys, **plain, out, catalogs, options);
  auto done = compressor.run();
  if (!done) return done.error();
  if (!*done) {
    result.why = compressor.why();
    return result;
  }
  if (auto synced = out.sync(); !synced) return synced.error();
  const auto same = compare_compressed(sys, path, out.path(), options.pause);
  if (!same && same.error().code == EINTR) {
    result.why = same.error().message;
    return result;
  }
  if (!same) return same.error();
  if (auto named = out.name_as(packed); !named) return named.error();
  result.made = true;
  result.log_bytes = (*plain)->seal()->end - (*plain)->header().base;
  result.compressed_bytes = compressor.file_bytes();
  return result;
}

}  // namespace ringgate::log
