// Recovery and the reader over segments that the input builds: valid records, marks and seals, and
// damage anywhere. Whatever it is, recovery ends, finds the same when it runs again, and what the
// reader shows before and after is the same; without damage everything written is there. (What says
// that a later program wrote it is refused instead, and left alone.)
#include <cstring>
#include <string>
#include <vector>

#include "engine/io/sim.hpp"
#include "engine/io/sim_disk.hpp"
#include "storage/log/data_dir.hpp"
#include "storage/log/format_version.hpp"
#include "storage/log/reader.hpp"
#include "storage/log/recovery.hpp"

using namespace ringgate;
using namespace ringgate::log;

namespace {

constexpr std::uint64_t segment_bytes = 16 * 1024;

struct Builder {
  std::vector<std::uint8_t> file;
  SegmentHeader header;
  Position at = 0;
  Position batch = 0;
  std::uint64_t records = 0;
  bool ended = false;

  void begin(Position base, std::uint64_t epoch) {
    file.assign(segment_bytes, 0);
    header = {};
    header.stream = {1, 0};
    header.epoch = epoch;
    header.base = at = batch = base;
    header.size_bytes = segment_bytes;
    header.committed = base;
    encode_header(header, {file.data(), block_size});
    records = 0;
    ended = false;
  }
  bool put(std::uint16_t mark, std::size_t payload_bytes, std::uint64_t link) {
    RecordHeader record{};
    record.size_bytes = static_cast<std::uint32_t>(record_header_size + payload_bytes);
    const std::uint64_t size = padded_size(record.size_bytes);
    if (ended || at + size + record_header_size > header.next_base()) return false;
    record.position = at;
    record.received_us = 1'000'000;
    record.committed_back = static_cast<std::uint32_t>(at - batch);
    record.link = link;
    record.kind = static_cast<std::uint8_t>(mark != 0 ? Kind::state : Kind::frame_up);
    record.message = mark;
    const std::vector<std::uint8_t> payload(payload_bytes, 0x5a);
    put_record(file.data() + header.offset_of(at), record, {}, payload, crc_seed(header.epoch));
    at += size;
    ended = mark == end_mark;
    if (mark == 0) ++records;
    return true;
  }
};

struct Built {
  io::SimDisk disk;
  std::uint64_t written = 0;
  bool damaged = false;
};

void install(Built& built, const Builder& builder) {
  built.disk.install("/data/log/" + segment_file_name(builder.header.stream, builder.header.base),
                     builder.file);
}

Built build(Bytes input) {
  Built built;
  built.disk.install_directory("/data");
  built.disk.install_directory("/data/log");
  built.disk.install("/data/node", as_bytes("01234567-89ab-4def-8123-456789abcdef\n"));
  built.disk.install("/data/run", as_bytes("1\n"));
  Builder segment;
  segment.begin(0, 1);
  for (std::size_t i = 0; i + 3 <= input.size(); i += 3) {
    const std::uint32_t value = load_be16(input.data() + i + 1);
    switch (input[i] % 8) {
      case 0:
      case 1:
      case 2:
        built.written += segment.put(0, value % 1200, built.written) ? 1U : 0U;
        break;
      case 3:
        segment.batch = segment.at;
        break;
      case 4:
        segment.put(commit_mark, 0, 0);
        break;
      case 5: {  // a full segment and its successor
        if (!segment.put(end_mark, 0, 0)) break;
        install(built, segment);
        const Position next = segment.header.next_base();
        segment.begin(next, segment.header.epoch + 1);
        break;
      }
      case 6: {
        if ((value & 1) == 0) break;
        const Seal seal{SealKind::stopped, segment.at, segment.records, 1'000'000, 1'000'000, 0};
        if (!segment.ended) {
          encode_seal(seal, segment.header.epoch, {segment.file.data() + seal_offset, block_size});
          segment.ended = true;
        }
        break;
      }
      default:
        built.damaged = true;
        segment.file[value % segment.file.size()] ^= static_cast<std::uint8_t>(1 + value % 255);
        break;
    }
  }
  install(built, segment);
  return built;
}

std::vector<std::uint64_t> read_all(io::Sys& sys) {
  auto reader = Reader::open(sys, "/data", {});
  if (!reader) __builtin_trap();
  std::vector<std::uint64_t> links;
  Entry entry;
  while ((*reader)->next(entry)) links.push_back(entry.record.header.link);
  if (!(*reader)->refresh() || (*reader)->next(entry)) __builtin_trap();
  return links;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Built built = build({data, std::min<std::size_t>(size, 600)});
  io::World world(io::SimOptions{}, std::move(built.disk));
  io::Sys& sys = world.sys();
  const std::vector<std::uint64_t> before = read_all(sys);
  for (std::size_t i = 1; i < before.size(); ++i) {
    if (before[i] <= before[i - 1]) __builtin_trap();
  }
  if (!built.damaged && before.size() != built.written) __builtin_trap();
  for (int start = 0; start < 2; ++start) {
    auto dir = DataDir::open(sys, "/data");
    if (!dir) __builtin_trap();
    const auto report = recover(sys, **dir);
    dir->reset();
    if (read_all(sys) != before) __builtin_trap();
    // Damage may look like a later version, which stops the start.
    if (!report && built.damaged && report.error().code == newer_format) return 0;
    if (!report || (start > 0 && report->segments_sealed > 0)) __builtin_trap();
  }
  return 0;
}
