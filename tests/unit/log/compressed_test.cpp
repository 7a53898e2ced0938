// Compressed segments: every record comes back bit for bit, whatever way it is read; what is
// damaged is told and nothing else is lost.
#include "storage/log/compressed.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <random>

#include "storage/log/compressor.hpp"
#include "storage/log/device_hash.hpp"
#include "storage/log/index_maker.hpp"
#include "storage/log/reader.hpp"
#include "storage/log/segment_records.hpp"
#include "tests/unit/log/log_rig.hpp"

using namespace ringgate;
using namespace ringgate::log;

namespace {

namespace fs = std::filesystem;

struct Kept {
  RecordHeader header;
  std::string device;
  std::vector<std::uint8_t> payload;
};

bool operator==(const Kept& a, const Kept& b) {
  return std::memcmp(&a.header, &b.header, sizeof a.header) == 0 && a.device == b.device &&
         a.payload == b.payload;
}

Kept keep(const Record& record) {
  return {record.header, std::string(record.device),
          {record.payload.begin(), record.payload.end()}};
}

std::vector<Kept> read_all(const std::string& data_dir,
                           std::vector<std::string>* problems = nullptr) {
  auto reader = Reader::open(io::real_sys(), data_dir, {});
  REQUIRE(reader.ok());
  std::vector<Kept> out;
  Entry entry;
  while ((*reader)->next(entry)) out.push_back(keep(entry.record));
  if (problems != nullptr) *problems = (*reader)->problems();
  return out;
}

std::vector<Kept> collect(const std::string& path, const Wanted& wanted,
                          std::string* problem = nullptr) {
  auto records = SegmentRecords::open(io::real_sys(), path, wanted);
  REQUIRE_MESSAGE(records.ok(), (records.ok() ? std::string() : records.error().message));
  std::vector<Kept> out;
  Record record;
  while ((*records)->next(record)) out.push_back(keep(record));
  if (problem != nullptr) *problem = (*records)->problem();
  return out;
}

// Records of any kind, size and content, with batches of any length.
void fill_anyhow(const std::string& data_dir, std::uint64_t seed, std::uint64_t count) {
  Rig rig(small_options(data_dir));
  std::mt19937_64 random(seed);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t drawn = random() % 100;
    std::vector<std::uint8_t> payload(drawn < 3 ? random() % 30000 : random() % 90);
    for (std::uint8_t& byte : payload) byte = static_cast<std::uint8_t>(random() >> (drawn % 60));
    RecordInfo info;
    info.kind = static_cast<Kind>(1 + random() % 7);
    info.ns = static_cast<Namespace>(1 + random() % 2);
    info.flags = static_cast<std::uint8_t>(random() % 8);
    info.message = static_cast<std::uint16_t>(random() % 5 * 0x201);
    info.serial = static_cast<std::uint16_t>(random());
    info.link = random() % 3 == 0 ? random() : i;
    const std::string device = "device-" + std::to_string(random() % 23);
    if (drawn != 50) info.device = std::string_view(device).substr(0, drawn == 51 ? 7 : 99);
    REQUIRE(rig.writer->append(info, payload) != 0);
    if (random() % 20 == 0) rig.commit();
  }
}

const event::CatalogSet no_catalogs;

// Compresses all sealed segments of a directory; the plain ones go.
std::uint64_t compress_all(const std::string& data_dir, const CompressOptions& options = {}) {
  const std::string log = data_dir + "/log";
  std::uint64_t saved = 0;
  for (const auto& entry : fs::directory_iterator(log)) {
    const std::string name = entry.path().filename();
    if (!name.ends_with(".seg")) continue;
    const auto done = compress_segment(io::real_sys(), log, name, no_catalogs, options);
    REQUIRE_MESSAGE(done.ok(), (done.ok() ? std::string() : done.error().message));
    CHECK_MESSAGE(done->made, done->why);
    saved += done->log_bytes - done->compressed_bytes;
  }
  for (const auto& entry : fs::directory_iterator(log)) {
    if (entry.path().extension() == ".seg") fs::remove(entry.path());
  }
  return saved;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
void write_file(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

std::string only_file(const std::string& data_dir, std::string_view ending) {
  for (const auto& entry : fs::directory_iterator(data_dir + "/log")) {
    if (entry.path().string().ends_with(ending)) return entry.path();
  }
  return {};
}

CompressOptions small_chunks() {
  CompressOptions options;
  options.chunk_bytes = 64 << 10;
  options.block_bytes = 8 << 10;
  return options;
}

}  // namespace

TEST_CASE("random records come back bit for bit from compressed segments") {
  for (const std::uint64_t seed : {1, 2, 3, 4}) {
    const ScratchDir scratch;
    fill_anyhow(scratch.path(), seed, 1500);
    const std::vector<Kept> before = read_all(scratch.path());
    REQUIRE(before.size() == 1500);
    compress_all(scratch.path(), seed % 2 == 0 ? CompressOptions{} : small_chunks());
    std::vector<std::string> problems;
    CHECK(read_all(scratch.path(), &problems) == before);
    CHECK(problems.empty());
    auto inventory = take_inventory(io::real_sys(), scratch.path());
    REQUIRE(inventory.ok());
    CHECK(inventory->unreadable.empty());
    std::uint64_t records = 0;
    for (auto& [id, stream] : inventory->streams) {
      examine(stream, false, true, {});
      for (const SegmentState& segment : stream.segments) {
        CHECK(segment.file->compressed());
        CHECK(segment.damage.empty());
        CHECK(segment.records == segment.file->seal()->records);
        records += segment.records;
      }
    }
    CHECK(records == 1500);
    // A start after it goes on as ever.
    Rig rig(small_options(scratch.path()));
    CHECK(rig.dir->run() == 2);
    CHECK(rig.report.problems.empty());
  }
}

TEST_CASE("a compressed segment answers as the plain one") {
  const ScratchDir scratch;
  fill_anyhow(scratch.path(), 9, 1200);
  const std::string plain = only_file(scratch.path(), ".seg");
  const std::vector<Kept> all = collect(plain, {});
  std::mt19937_64 random(5);
  std::vector<std::vector<DeviceKey>> devices(80);
  std::vector<Wanted> wanted(devices.size());
  std::vector<std::vector<Kept>> expected;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    for (std::uint64_t n = random() % 4; n > 0; --n) {
      devices[i].emplace_back(static_cast<Namespace>(1 + random() % 2),
                              "device-" + std::to_string(random() % 25));
    }
    wanted[i].devices = devices[i];
    if (random() % 2 == 0) wanted[i].from = all[random() % all.size()].header.position;
    if (random() % 2 == 0) wanted[i].to = all[random() % all.size()].header.position;
    if (random() % 2 == 0) {
      wanted[i].received_from_us = all[random() % all.size()].header.received_us;
    }
    if (random() % 2 == 0) {
      wanted[i].received_to_us = all[random() % all.size()].header.received_us;
    }
    expected.push_back(collect(plain, wanted[i]));
  }
  REQUIRE(compress_segment(io::real_sys(), scratch.path() + "/log",
                           fs::path(plain).filename().string(), no_catalogs, small_chunks())
              .ok());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    std::string problem;
    CHECK(collect(plain + "z", wanted[i], &problem) == expected[i]);
    CHECK(problem.empty());
  }
  // Its plain file went after the caller had listed it.
  fs::remove(plain);
  CHECK(collect(plain, wanted[0]) == expected[0]);
}

TEST_CASE("a plain segment that is compressed while it is read is read to its end") {
  const ScratchDir scratch;
  fill_anyhow(scratch.path(), 21, 3000);
  const std::vector<Kept> before = read_all(scratch.path());
  auto reader = Reader::open(io::real_sys(), scratch.path(), {});
  REQUIRE(reader.ok());
  std::vector<Kept> seen;
  Entry entry;
  while (seen.size() < 700 && (*reader)->next(entry)) seen.push_back(keep(entry.record));
  compress_all(scratch.path());
  REQUIRE((*reader)->refresh());
  while ((*reader)->next(entry)) seen.push_back(keep(entry.record));
  CHECK((*reader)->problems().empty());
  CHECK(seen == before);
}

TEST_CASE("any damage of a compressed segment is told; records are as they were or missing") {
  const ScratchDir scratch;
  {
    Rig rig(small_options(scratch.path()));
    for (std::uint64_t i = 0; i < 1500; ++i) {
      REQUIRE(append_sample(*rig.writer, i) != 0);
      if (i % 40 == 0) rig.commit();
    }
  }
  const std::vector<Kept> before = read_all(scratch.path());
  compress_all(scratch.path(), small_chunks());
  const std::string path = only_file(scratch.path(), ".segz");
  const std::string good = read_file(path);
  std::mt19937_64 random(17);
  std::uint64_t told = 0;
  for (int round = 0; round < 250; ++round) {
    std::string bad = good;
    if (round % 5 == 0) {
      bad.resize(random() % bad.size());
    } else {
      const std::size_t at = random() % bad.size();
      for (std::uint64_t n = 1 + random() % 8; n > 0 && at + n < bad.size(); --n) {
        bad[at + n] ^= static_cast<char>(1 + random() % 255);
      }
    }
    if (bad == good) continue;
    write_file(path, bad);
    std::vector<std::string> problems;
    const std::vector<Kept> after = read_all(scratch.path(), &problems);
    // Pages of the directory and gaps between its parts may be damaged unseen by who reads all.
    if (after == before) continue;
    ++told;
    CHECK_FALSE(problems.empty());
    auto next = before.begin();
    for (const Kept& record : after) {
      next = std::find(next, before.end(), record);
      REQUIRE(next != before.end());
    }
  }
  CHECK(told > 150);
}
