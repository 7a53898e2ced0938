// Indexes and compressed segments made of any bytes, with their checksums put right so that what
// lies behind them is reached: readers survive, and what they take for records are records.
#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/crc32c.hpp"
#include "engine/io/sim.hpp"
#include "engine/io/sim_disk.hpp"
#include "storage/log/columns.hpp"
#include "storage/log/compressed.hpp"
#include "storage/log/compressor.hpp"
#include "storage/log/device_hash.hpp"
#include "storage/log/index.hpp"
#include "storage/log/index_maker.hpp"
#include "storage/log/segment_records.hpp"

using namespace ringgate;
using namespace ringgate::log;

namespace {

constexpr std::uint64_t segment_bytes = 64 * 1024;
constexpr std::uint64_t epoch = 77;
const std::string name = segment_file_name({1, 0}, 0);
const std::string plain_path = "/log/" + name;
const std::string packed_path = "/log/" + compressed_name_of(name);
const std::string index_path = "/log/" + index_name_of(name);

std::vector<std::uint8_t> sample_segment() {
  std::vector<std::uint8_t> file(segment_bytes);
  SegmentHeader header;
  header.stream = {1, 0};
  header.epoch = epoch;
  header.size_bytes = segment_bytes;
  encode_header(header, {file.data(), block_size});
  Seal seal{SealKind::full, 0, 0, 1'000'000, 1'000'400, 0};
  for (std::uint32_t i = 0; i < 400; ++i) {
    const std::vector<std::uint8_t> payload(20 + i % 3, static_cast<std::uint8_t>(i));
    const std::string device = "device-" + std::to_string(i % 7);
    RecordHeader record{};
    record.size_bytes =
        static_cast<std::uint32_t>(record_header_size + device.size() + payload.size());
    record.position = seal.end;
    record.received_us = 1'000'000 + i;
    record.kind = 1;
    record.ns = 1;
    record.device_size = static_cast<std::uint8_t>(device.size());
    put_record(file.data() + header.offset_of(seal.end), record, device, payload, crc_seed(epoch));
    seal.end += padded_size(record.size_bytes);
    ++seal.records;
  }
  encode_seal(seal, epoch, {file.data() + seal_offset, block_size});
  return file;
}

// The files as they should be.
struct Sample {
  std::vector<std::uint8_t> plain = sample_segment();
  std::vector<std::uint8_t> packed;
  std::vector<std::uint8_t> index;

  Sample() {
    io::SimDisk disk;
    disk.install_directory("/log");
    disk.install(plain_path, plain);
    io::World world(io::SimOptions{}, std::move(disk));
    const event::CatalogSet none;
    CompressOptions options;
    options.chunk_bytes = 16 << 10;
    options.block_bytes = 2 << 10;
    const auto made = compress_segment(world.sys(), "/log", name, none, options);
    const auto indexed = make_index(world.sys(), "/log", name, none, {});
    if (!made || !made->made || !indexed || !indexed->made) __builtin_trap();
    packed = load(world.sys(), packed_path);
    index = load(world.sys(), index_path);
  }
  static std::vector<std::uint8_t> load(io::Sys& sys, const std::string& path) {
    const int fd = sys.open(path, 0, 0);
    std::vector<std::uint8_t> out(static_cast<std::size_t>(sys.file_size(fd)));
    sys.pread(fd, out, 0);
    sys.close(fd);
    return out;
  }
};

// Changes bytes of `file` from `from` on as the input says, three bytes a change.
void change(std::vector<std::uint8_t>& file, std::size_t from, Bytes input) {
  for (; input.size() >= 3 && file.size() > from; input = input.subspan(3)) {
    const std::size_t at = from + load_be16(input.data()) % (file.size() - from);
    file[at] = static_cast<std::uint8_t>(file[at] + input[2]);
  }
}

void mend_pages(std::vector<std::uint8_t>& file, std::size_t from) {
  std::vector<std::uint8_t> content;
  for (std::size_t at = from; at + block_size <= file.size(); at += block_size) {
    content.insert(content.end(), file.begin() + static_cast<std::ptrdiff_t>(at),
                   file.begin() + static_cast<std::ptrdiff_t>(at + page_room));
  }
  const auto pages = pages_of(content, crc_seed(epoch));
  std::copy(pages.begin(), pages.end(), file.begin() + static_cast<std::ptrdiff_t>(from));
}

// Whatever the side files say, records that come are the segment's, in order.
void read(const Sample& sample, const std::string& side_path, const std::string& path,
          const std::vector<std::uint8_t>& side, bool keep_plain) {
  io::SimDisk disk;
  disk.install_directory("/log");
  if (keep_plain) disk.install(plain_path, sample.plain);
  disk.install(side_path, side);
  io::World world(io::SimOptions{}, std::move(disk));
  const DeviceKey device(Namespace::phone, "device-3");
  for (int question = 0; question < 3; ++question) {
    Wanted wanted;
    if (question == 1) wanted.devices = {&device, 1};
    if (question == 2) wanted.received_from_us = 1'000'200;
    auto records = SegmentRecords::open(world.sys(), path, wanted);
    if (!records) return;
    Record record;
    Position next = 0;
    while ((*records)->next(record)) {
      if (record.header.position < next) __builtin_trap();
      next = record.end();
      const std::uint8_t* there = sample.plain.data() + records_offset + record.header.position;
      if (next > segment_bytes || std::memcmp(&record.header, there, sizeof record.header) != 0) {
        __builtin_trap();
      }
      if (question == 1 && record.device != "device-3") __builtin_trap();
    }
  }
}

void columns(Bytes input) {
  constexpr ChunkRange chunk{4096, 4096 + (64 << 10)};
  Timeline timeline;
  if (input.empty()) return;
  const std::size_t cut = std::min<std::size_t>(input[0], input.size());
  if (!timeline.decode(input.subspan(0, cut), chunk.begin, chunk.end)) {
    RecordHeader first{};
    first.position = chunk.begin;
    timeline.clear();
    timeline.add(first);
  }
  std::vector<std::uint8_t> memory(chunk.end - chunk.begin);
  ColumnDecoder decoder;
  for (const bool packed : {false, true}) {
    if (!decoder.decode(input.subspan(cut), chunk, timeline, 7, {memory, packed})) continue;
    std::vector<Record> records;
    for (const ColumnDecoder::Place& place : decoder.records()) {
      if (place.at < memory.data() ||
          place.at + padded_size(place.size_bytes) > memory.data() + memory.size()) {
        __builtin_trap();
      }
      const auto record = parse_record({place.at, place.size_bytes}, place.position, 7);
      if (!packed) continue;  // they may lie over one another
      if (record) records.push_back(*record);
    }
    if (!packed || records.size() != decoder.records().size() || records.empty()) continue;
    const auto again = encode_columns(records, chunk);
    std::vector<std::uint8_t> copy(memory.size());
    ColumnDecoder second;
    const std::uint32_t check = decoder.check(7);
    if (!second.decode(again, chunk, timeline, 7, {copy, true}) || second.check(7) != check) {
      __builtin_trap();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Sample sample;
  if (size < 1) return 0;
  const Bytes input{data + 1, size - 1};
  switch (data[0] % 4) {
    case 0:
      columns(input);
      break;
    case 1: {
      std::vector<std::uint8_t> index = sample.index;
      change(index, 0, input);
      mend_pages(index, 0);
      read(sample, index_path, plain_path, index, true);
      break;
    }
    case 2: {
      std::vector<std::uint8_t> packed = sample.packed;
      const auto directory = load_native<std::uint64_t>(packed.data() + 24);
      change(packed, directory, input);
      mend_pages(packed, directory);
      read(sample, packed_path, packed_path, packed, false);
      break;
    }
    default: {
      std::vector<std::uint8_t> packed = sample.packed;
      change(packed, 0, input);
      store_native(packed.data() + 12,
                   crc32c(crc_seed(epoch), Bytes(packed).subspan(16, block_size - 16)));
      read(sample, packed_path, packed_path, packed, false);
      break;
    }
  }
  return 0;
}
