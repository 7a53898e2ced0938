// What indexes and compression make of a fleet's log: vehicles that drive (those of ringgate-load)
// report every half minute, as JT/T 808 location reports in segments of 64 MiB. Prints one JSON
// object: sizes, and MB of log per second of CPU.
#include <fmt/format.h>
#include <time.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "engine/base/json_writer.hpp"
#include "engine/io/sys.hpp"
#include "protocols/jt808/catalog.hpp"
#include "storage/log/compressor.hpp"
#include "storage/log/index_maker.hpp"
#include "storage/log/record.hpp"
#include "storage/log/segment.hpp"
#include "tools/load/frames.hpp"
#include "tools/load/vehicle.hpp"

using namespace ringgate;
using namespace ringgate::log;

namespace {

constexpr std::uint64_t segment_bytes = 64ULL << 20;
constexpr MonoNs report_every = 30 * ns_per_s;
constexpr WallUs start_us = 1'790'000'000'000'000;

double cpu_s() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

// Header and body of a frame on the wire.
std::size_t unescape(std::uint8_t* out, Bytes wire) {
  std::size_t size = 0;
  for (std::size_t i = 1; i + 1 < wire.size(); ++i) {
    const bool escaped = wire[i] == 0x7d;
    out[size++] = !escaped ? wire[i] : wire[++i] == 1 ? 0x7d : 0x7e;
  }
  return size - 1;  // without the check byte
}

struct Fleet {
  struct Terminal {
    load::Vehicle vehicle;
    load::Phone phone;
    std::string device;
    MonoNs due_ns;
    std::uint16_t serial;
  };
  std::vector<Terminal> terminals;
  load::FrameWriter frames{load::Version::v2013};
  std::size_t next = 0;
  std::uint64_t chance = 88172645463325252ULL;

  explicit Fleet(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t number = 13'800'000'000ULL + i * 7;
      terminals.push_back({load::Vehicle(i), load::phone_from_number(number),
                           std::to_string(number), static_cast<MonoNs>(random() % report_every),
                           static_cast<std::uint16_t>(random())});
    }
    std::sort(terminals.begin(), terminals.end(),
              [](const Terminal& a, const Terminal& b) { return a.due_ns < b.due_ns; });
  }
  std::uint64_t random() {
    chance ^= chance << 13;
    chance ^= chance >> 7;
    return chance ^= chance << 17;
  }
};

// Writes one sealed segment; returns the records in it.
std::uint64_t write_segment(const std::string& path, std::uint32_t number, Fleet& fleet) {
  std::vector<std::uint8_t> file(segment_bytes);
  SegmentHeader header;
  header.stream = {1, 0};
  header.epoch = fleet.random();
  header.size_bytes = segment_bytes;
  header.base = number * (segment_bytes - records_offset);
  encode_header(header, {file.data(), block_size});
  Seal seal{SealKind::full, header.base, 0, 0, 0, 0};
  const std::uint32_t seed = crc_seed(header.epoch);
  WallUs last = 0;
  while (header.next_base() - seal.end > 1024) {
    Fleet::Terminal& terminal = fleet.terminals[fleet.next];
    fleet.next = (fleet.next + 1) % fleet.terminals.size();
    // A report travels for 30 to 90 ms; what the gateway received never goes back.
    const WallUs now = start_us + terminal.due_ns / ns_per_us;
    last = std::max(last, now + 30'000 + static_cast<WallUs>(fleet.random() % 60'000));
    std::uint8_t wire[load::FrameWriter::frame_bytes_max];
    std::uint8_t payload[load::FrameWriter::frame_bytes_max];
    const std::size_t wired =
        fleet.frames.report(wire, terminal.phone, terminal.serial++, load::bcd_time(now),
                            terminal.vehicle.drive_to(terminal.due_ns));
    const std::size_t size = unescape(payload, {wire, wired});
    terminal.due_ns += report_every;
    RecordHeader record{};
    record.size_bytes =
        static_cast<std::uint32_t>(record_header_size + terminal.device.size() + size);
    record.position = seal.end;
    record.received_us = last;
    record.link = static_cast<std::uint64_t>(&terminal - fleet.terminals.data()) | 1ULL << 32;
    record.kind = 1;
    record.ns = static_cast<std::uint8_t>(Namespace::phone);
    record.device_size = static_cast<std::uint8_t>(terminal.device.size());
    record.message = 0x0200;
    record.serial = static_cast<std::uint16_t>(terminal.serial - 1);
    put_record(file.data() + header.offset_of(seal.end), record, terminal.device, {payload, size},
               seed);
    if (seal.records++ == 0) seal.first_received_us = last;
    seal.last_received_us = last;
    seal.end += padded_size(record.size_bytes);
  }
  encode_seal(seal, header.epoch, {file.data() + seal_offset, block_size});
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(file.data()), static_cast<std::streamsize>(file.size()));
  return seal.records;
}

void compress_all(JsonWriter& json, const std::string& folder,
                  const std::vector<std::string>& names, const event::CatalogSet& catalogs,
                  CompressOptions options) {
  const double began = cpu_s();
  std::uint64_t from = 0;
  std::uint64_t to = 0;
  for (const std::string& name : names) {
    const auto made = compress_segment(io::real_sys(), folder, name, catalogs, options);
    if (!made || !made->made) {
      fmt::print(stderr, "{}\n", made ? made->why : made.error().message);
      std::exit(1);
    }
    from += made->log_bytes;
    to += made->compressed_bytes;
    std::filesystem::remove(folder + "/" + compressed_name_of(name));
  }
  json.begin_object();
  json.key("level").integer(options.level);
  json.key("chunk_bytes").unsigned_integer(options.chunk_bytes);
  json.key("ratio").number(static_cast<double>(from) / static_cast<double>(to), 2);
  json.key("mb_per_cpu_s").number(static_cast<double>(from) / 1e6 / (cpu_s() - began), 0);
  json.end_object();
}

}  // namespace

int main(int argc, char** argv) {
  std::string folder;
  std::uint64_t segments = 4;
  std::uint64_t devices = 5000;
  CLI::App app{"Index and compression of a fleet's log"};
  app.add_option("--dir", folder, "An empty directory")->required();
  app.add_option("--segments", segments, "Of 64 MiB");
  app.add_option("--devices", devices, "That report every half minute");
  CLI11_PARSE(app, argc, argv);
  Fleet fleet(devices);
  std::vector<std::string> names;
  std::uint64_t records = 0;
  for (std::uint64_t i = 0; i < segments; ++i) {
    names.push_back(segment_file_name({1, 0}, i * (segment_bytes - records_offset)));
    records += write_segment(folder + "/" + names.back(), static_cast<std::uint32_t>(i), fleet);
  }
  const jt808::Catalog catalog;
  event::CatalogSet catalogs;
  catalogs.add(catalog);
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  json.key("devices").unsigned_integer(devices);
  json.key("segments").unsigned_integer(segments);
  json.key("records").unsigned_integer(records);
  const double began = cpu_s();
  std::uint64_t index_bytes = 0;
  std::uint64_t log_bytes = 0;
  for (const std::string& name : names) {
    const auto made = make_index(io::real_sys(), folder, name, catalogs, {});
    if (!made || !made->made) return 1;
    index_bytes += made->index_bytes;
    log_bytes += made->log_bytes;
  }
  const double spent_s = cpu_s() - began;
  json.key("index_mb_per_cpu_s").number(static_cast<double>(log_bytes) / 1e6 / spent_s, 0);
  json.key("index_share").number(static_cast<double>(index_bytes) /
                                 static_cast<double>(log_bytes), 5);
  json.key("compressed").begin_array();
  for (const int level : {1, 3, 9}) {
    compress_all(json, folder, names, catalogs, {level, chunk_bytes_max, column_block_bytes, {}});
  }
  for (const std::uint32_t chunk : {4U << 20, 8U << 20}) {
    compress_all(json, folder, names, catalogs,
                 {compress_level, chunk, column_block_bytes, {}});
  }
  json.end_array();
  json.end_object();
  fmt::print("{}\n", out);
  return 0;
}
