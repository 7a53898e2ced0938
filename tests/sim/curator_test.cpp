// The curator on a simulated disk: it is killed after any of its steps, the machine loses power,
// and what was in the log before is there after, record by record; the next curator ends what the
// first began.
#include "storage/log/curator.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "engine/io/sim.hpp"
#include "engine/io/sim_disk.hpp"
#include "storage/log/index_maker.hpp"
#include "storage/log/reader.hpp"
#include "storage/log/segment_file.hpp"
#include "storage/log/segment_times.hpp"
#include "tests/sim/mortal_sys.hpp"
#include "tests/sim/seeds.hpp"

using namespace ringgate;
using namespace ringgate::log;
using sim::MortalSys;

namespace {

constexpr std::uint64_t segment_bytes = 128 * 1024;
constexpr std::uint32_t segments = 3;

// Three sealed segments of one stream.
io::SimDisk sample_disk(std::uint64_t seed) {
  io::SimDisk disk;
  io::SimRandom random(seed);
  disk.install_directory("/data");
  disk.install_directory("/data/log");
  disk.install("/data/node", as_bytes("01234567-89ab-4def-8123-456789abcdef\n"));
  disk.install("/data/run", as_bytes("1\n"));
  Position base = 0;
  for (std::uint32_t n = 0; n < segments; ++n) {
    std::vector<std::uint8_t> file(segment_bytes);
    SegmentHeader header;
    header.stream = {1, 0};
    header.epoch = random.next();
    header.base = base;
    header.size_bytes = segment_bytes;
    encode_header(header, {file.data(), block_size});
    Seal seal{SealKind::full, base, 0, 1'000'000, 2'000'000, 0};
    Position at = base;
    while (header.next_base() - at > 4096) {
      const std::vector<std::uint8_t> payload(random.below(2000), static_cast<std::uint8_t>(at));
      const std::string device = "1380000000" + std::to_string(random.below(9));
      RecordHeader record{};
      record.size_bytes =
          static_cast<std::uint32_t>(record_header_size + device.size() + payload.size());
      record.position = at;
      record.received_us = 1'000'000 + static_cast<WallUs>(seal.records);
      record.kind = 1;
      record.ns = 1;
      record.device_size = static_cast<std::uint8_t>(device.size());
      put_record(file.data() + header.offset_of(at), record, device, payload,
                 crc_seed(header.epoch));
      at += padded_size(record.size_bytes);
      ++seal.records;
    }
    seal.end = at;
    encode_seal(seal, header.epoch, {file.data() + seal_offset, block_size});
    disk.install("/data/log/" + segment_file_name(header.stream, base), file);
    base = header.next_base();
  }
  return disk;
}

std::vector<std::string> read_all(io::Sys& sys) {
  auto reader = Reader::open(sys, "/data", {});
  REQUIRE(reader.ok());
  std::vector<std::string> out;
  Entry entry;
  while ((*reader)->next(entry)) {
    std::string& text = out.emplace_back(sizeof(RecordHeader), '\0');
    std::memcpy(text.data(), &entry.record.header, sizeof(RecordHeader));
    text += entry.record.device;
    text += as_text(entry.record.payload);
  }
  CHECK((*reader)->problems().empty());
  return out;
}

const event::CatalogSet no_catalogs;

void curate(MortalSys& sys, Compress compress) {
  LogOptions options;
  options.compress = compress;
  Curator curator({sys, "/data/log", no_catalogs}, options, Curator::Mode::inline_now);
  for (int i = 0; i < 40 && !sys.dead(); ++i) {
    if (!curator.look()) sys.skipped_ns += 3 * ns_per_s;
  }
}

// The file of times knows each segment as it is.
void check_times(io::Sys& sys, const std::vector<SegmentEntry>& found) {
  std::uint64_t bytes = 0;
  const auto times = read_times(sys, "/data/log", bytes);
  REQUIRE_MESSAGE(times.ok(), (times.ok() ? std::string() : times.error().message));
  CHECK(times->size() == found.size());
  for (const SegmentEntry& segment : found) {
    const auto one = times->find({segment.id.stream, segment.id.base});
    REQUIRE(one != times->end());
    const auto file = SegmentFile::open(sys, "/data/log/" + segment.name);
    REQUIRE(file.ok());
    CHECK(one->second.fits((*file)->header(), *(*file)->seal()));
  }
}

}  // namespace

TEST_CASE("a curator that dies anywhere leaves every record; the next one ends its work") {
  std::uint64_t interrupted = 0;
  sim::for_seeds(300, 5000, [&](std::uint64_t seed) {
    io::SimOptions options;
    options.seed = seed;
    auto world = std::make_unique<io::World>(options, sample_disk(seed));
    const std::vector<std::string> before = read_all(world->sys());
    REQUIRE(before.size() > 100);
    for (int lives = 0; lives < 3; ++lives) {
      MortalSys sys(world->sys(), world->random(70));
      curate(sys, world->random(4) == 0 ? Compress::off : Compress::zstd);
      CHECK(read_all(world->sys()) == before);
      interrupted += sys.dead() ? 1 : 0;
      world = world->crash();
      CHECK(read_all(world->sys()) == before);
    }
    MortalSys sys(world->sys(), 10'000);
    curate(sys, Compress::zstd);
    world = world->crash();
    CHECK(read_all(world->sys()) == before);
    std::vector<SegmentEntry> found;
    REQUIRE(list_segments(world->sys(), "/data/log", found) == 0);
    REQUIRE(found.size() == segments);
    for (const SegmentEntry& segment : found) {
      CHECK(segment.id.compressed);
      CHECK_FALSE(segment.both);
      CHECK_FALSE(segment.indexed);
    }
    check_times(world->sys(), found);
  });
  CHECK(interrupted > 0);
}

TEST_CASE("a segment that can't be worked on keeps no other one waiting") {
  io::SimOptions options;
  options.seed = 3;
  io::World world(options, sample_disk(3));
  std::vector<SegmentEntry> found;
  REQUIRE(list_segments(world.sys(), "/data/log", found) == 0);
  REQUIRE(found.size() == segments);
  // A folder stands where the newest one's new index would be written: it comes first.
  const std::string index = index_name_of(found.back().name);
  REQUIRE(world.sys().make_directory("/data/log/new-" + index, 0755) == 0);
  const MonoNs began = world.sys().mono_now();
  MortalSys sys(world.sys(), 10'000);
  LogOptions log_options;
  log_options.compress = Compress::off;
  Curator curator({sys, "/data/log", no_catalogs}, log_options, Curator::Mode::inline_now);
  for (int i = 0; i < 40; ++i) curator.look();
  CHECK(sys.mono_now() - began < ns_per_s);
  REQUIRE(list_segments(world.sys(), "/data/log", found) == 0);
  for (const SegmentEntry& segment : found) {
    CHECK(segment.indexed == (index_name_of(segment.name) != index));
  }
}

TEST_CASE("what is wrong with an index or the times is put right, once it is known") {
  io::SimOptions options;
  options.seed = 4;
  io::World world(options, sample_disk(4));
  io::Sys& sys = world.sys();
  LogOptions log_options;
  log_options.compress = Compress::off;
  const auto curate_all = [](Curator& curator) {
    for (int i = 0; i < 40 && curator.look(); ++i) {
    }
  };
  Curator curator({sys, "/data/log", no_catalogs}, log_options, Curator::Mode::inline_now);
  curate_all(curator);
  std::vector<SegmentEntry> found;
  const auto list = [&] { REQUIRE(list_segments(sys, "/data/log", found) == 0); };
  list();
  REQUIRE(found.size() == segments);
  check_times(sys, found);
  const std::string index = "/data/log/" + index_name_of(found[1].name);
  std::vector<std::uint8_t> good(200'000);
  const auto read_index = [&](std::vector<std::uint8_t>& into) {
    const int fd = sys.open(index, O_RDONLY, 0);
    REQUIRE(fd >= 0);
    const std::int64_t got = sys.pread(fd, into, 0);
    sys.close(fd);
    into.resize(static_cast<std::size_t>(got));
  };
  read_index(good);
  // Somebody found that it lies: here it is another segment's.
  sys.rename("/data/log/" + index_name_of(found[0].name), index);
  curator.remake_index(found[1].name);
  curate_all(curator);
  std::vector<std::uint8_t> again(200'000);
  read_index(again);
  CHECK(again == good);
  for (const SegmentEntry& segment : found) {
    CHECK(index_is_good(sys, "/data/log", segment.name));
  }
  // Somebody took it away.
  sys.remove(index);
  curate_all(curator);
  CHECK(index_is_good(sys, "/data/log", found[1].name));
  {
    // A life that makes an index before it has looked at the times of the one before.
    std::uint64_t bytes = 0;
    auto old = read_times(sys, "/data/log", bytes);
    REQUIRE(old.ok());
    old->erase({found[1].id.stream, found[1].id.base});
    REQUIRE(write_times(sys, "/data/log", *old).ok());
    sys.remove(index);
    Curator next({sys, "/data/log", no_catalogs}, log_options, Curator::Mode::inline_now);
    curate_all(next);
    check_times(sys, found);
  }
  // The next life finds times that are wrong, and then none.
  std::uint64_t bytes = 0;
  auto times = read_times(sys, "/data/log", bytes);
  REQUIRE(times.ok());
  times->begin()->second.last_received_us += 1;
  times->begin()->second.device_times = {{1, 2}};
  (*times)[{{7, 7}, 0}] = times->begin()->second;
  REQUIRE(write_times(sys, "/data/log", *times).ok());
  for (int life = 0; life < 2; ++life) {
    Curator next({sys, "/data/log", no_catalogs}, log_options, Curator::Mode::inline_now);
    curate_all(next);
    check_times(sys, found);
    sys.remove("/data/log/times");
  }
}
