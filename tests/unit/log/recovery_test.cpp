// Recovery by the rules of FORMAT.md, on files that a test damages in each way that they name.
#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <random>

#include "storage/log/compressor.hpp"
#include "storage/log/holds.hpp"
#include "storage/log/reader.hpp"
#include "storage/log/segment_list.hpp"
#include "tests/unit/log/log_rig.hpp"

using namespace ringgate;
using namespace ringgate::log;

namespace {

namespace fs = std::filesystem;
using Content = std::vector<std::uint8_t>;

Content load(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file.good());
  return {std::istreambuf_iterator<char>(file), {}};
}

void store(const std::string& path, const Content& content) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(content.data()),
             static_cast<std::streamsize>(content.size()));
  REQUIRE(file.good());
}

std::string segment_path(const std::string& data_dir, std::uint32_t run, Position base) {
  return data_dir + "/log/" + segment_file_name({run, 0}, base);
}

struct Found {
  std::vector<std::uint64_t> links;
  std::vector<std::string> problems;
};

Found read_all(const std::string& data_dir) {
  auto reader = Reader::open(io::real_sys(), data_dir, {});
  REQUIRE(reader.ok());
  Found found;
  Entry entry;
  while ((*reader)->next(entry)) found.links.push_back(entry.record.header.link);
  found.problems = (*reader)->problems();
  return found;
}

RecoveryReport recover_now(const std::string& data_dir) {
  auto dir = DataDir::open(io::real_sys(), data_dir);
  REQUIRE(dir.ok());
  auto report = recover(io::real_sys(), **dir);
  REQUIRE(report.ok());
  return *report;
}

// Appends `count` records as one batch and commits it.
void write_batch(Rig& rig, std::uint64_t& next, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) REQUIRE(append_sample(*rig.writer, next++, 100) != 0);
  rig.commit();
}

}  // namespace

TEST_CASE("of an unacknowledged batch any subset of sectors may be there: nothing else is lost") {
  const ScratchDir scratch;
  std::uint64_t next = 0;
  Content before;
  Content after;
  const std::string path = segment_path(scratch.path(), 1, 0);
  std::uint64_t acknowledged = 0;
  {
    Rig rig(small_options(scratch.path()));
    for (int i = 0; i < 5; ++i) write_batch(rig, next, 13);
    acknowledged = next;
    before = load(path);
    write_batch(rig, next, 40);
    after = load(path);
    rig.kill();
  }
  std::mt19937_64 random(7);
  for (int round = 0; round < 200; ++round) {
    Content image = before;
    for (std::size_t at = 0; at < image.size(); at += 512) {
      // Round 0: nothing of it; round 1: its last sector only; the others: by chance.
      const bool differs =
          !std::equal(image.begin() + at, image.begin() + at + 512, after.begin() + at);
      const bool last =
          differs && std::equal(image.begin() + at + 512, image.end(), after.begin() + at + 512);
      const bool take = round == 0 ? false : round == 1 ? last : (random() & 1) != 0;
      if (take) std::copy_n(after.begin() + at, 512, image.begin() + at);
    }
    store(path, image);
    const Found unsealed = read_all(scratch.path());
    const RecoveryReport report = recover_now(scratch.path());
    CHECK(report.problems.empty());
    CHECK(report.segments_sealed == 1);
    const Found found = read_all(scratch.path());
    CHECK(found.problems.empty());
    CHECK(found.links == unsealed.links);
    REQUIRE(found.links.size() >= acknowledged);
    CHECK(found.links.size() <= next);
    for (std::size_t i = 0; i < found.links.size(); ++i) CHECK(found.links[i] == i);
    // A second start finds the same.
    CHECK(recover_now(scratch.path()).segments_sealed == 0);
    CHECK(read_all(scratch.path()).links == found.links);
  }
}

TEST_CASE(
    "damage below what is proven is reported with its place; both sides are kept, nothing cut") {
  for (const bool sealed : {false, true}) {
    CAPTURE(sealed);
    const ScratchDir scratch;
    std::uint64_t next = 0;
    const std::string path = segment_path(scratch.path(), 1, 0);
    {
      Rig rig(small_options(scratch.path()));
      for (int i = 0; i < 10; ++i) write_batch(rig, next, 13);
      if (!sealed) rig.kill();
    }
    Content image = load(path);
    const std::size_t size_before = image.size();
    // A record of 48 + 11 + 100 bytes takes 160: change the payload of number 40.
    const std::size_t offset = records_offset + 40 * 160;
    image[offset + 80] ^= 0x10;
    store(path, image);
    const RecoveryReport report = recover_now(scratch.path());
    const Found found = read_all(scratch.path());
    CHECK(found.links.size() == next - 1);
    CHECK(std::find(found.links.begin(), found.links.end(), 40) == found.links.end());
    CHECK(found.links.back() == next - 1);
    REQUIRE(found.problems.size() == 1);
    CHECK(found.problems[0].find("offset " + std::to_string(offset)) != std::string::npos);
    CHECK(found.problems[0].find(path) != std::string::npos);
    CHECK(fs::file_size(path) == size_before);
    // A sealed segment is not scanned at start; verify and dump find it.
    CHECK(report.problems.size() == (sealed ? 0 : 1));
  }
}

TEST_CASE("a later segment proves the one before it whole: a missing end is damage") {
  const ScratchDir scratch;
  std::uint64_t next = 0;
  LogOptions options = small_options(scratch.path());
  Rig rig(options);
  while (rig.writer->stats().segments < 3) write_batch(rig, next, 13);
  write_batch(rig, next, 1);
  rig.kill();
  // The supply sealed the full segments: take the first one's seal and its last records away.
  const std::string path = segment_path(scratch.path(), 1, 0);
  Content image = load(path);
  std::fill_n(image.begin() + seal_offset, block_size, std::uint8_t{0});
  std::fill(image.begin() + static_cast<std::ptrdiff_t>(image.size() - 8192), image.end(),
            std::uint8_t{0});
  store(path, image);
  rig.dir.reset();
  const RecoveryReport report = recover_now(scratch.path());
  REQUIRE(report.problems.size() == 1);
  CHECK(report.problems[0].find(path) != std::string::npos);
  const Found found = read_all(scratch.path());
  CHECK(found.links.size() < next);
  CHECK(found.links.back() == next - 1);
}

TEST_CASE("recycled segments show nothing of their former life") {
  const ScratchDir scratch;
  LogOptions options = small_options(scratch.path());
  options.retention_bytes = 3 * options.segment_size;
  std::uint64_t next = 0;
  std::uint64_t recycled = 0;
  {
    Rig rig(options);
    while (rig.supply->counters().segments_recycled.load() < 6) write_batch(rig, next, 13);
    // Into the beginning of a recycled one, where stale records follow.
    const std::uint64_t segments = rig.writer->stats().segments;
    while (rig.writer->stats().segments == segments) write_batch(rig, next, 13);
    write_batch(rig, next, 13);
    recycled = rig.supply->counters().segments_recycled.load();
    rig.kill();
  }
  CHECK(recycled >= 6);
  const RecoveryReport report = recover_now(scratch.path());
  CHECK(report.problems.empty());
  CHECK(report.dropped_records == 0);
  const Found found = read_all(scratch.path());
  CHECK(found.problems.empty());
  REQUIRE_FALSE(found.links.empty());
  CHECK(found.links.back() == next - 1);
  for (std::size_t i = 1; i < found.links.size(); ++i)
    CHECK(found.links[i] == found.links[i - 1] + 1);
}

TEST_CASE("retention removes whole sealed segments, oldest first, and bounds the directory") {
  const ScratchDir scratch;
  LogOptions options = small_options(scratch.path());
  options.retention_bytes = 4 * options.segment_size;
  std::uint64_t next = 0;
  Rig rig(options);
  while (rig.writer->stats().segments < 12) write_batch(rig, next, 40);
  std::uint64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(rig.dir->log_path())) bytes += entry.file_size();
  // What is kept, the one being written, the one made ahead, and the spares.
  CHECK(bytes <= options.retention_bytes + (2 + spare_max) * options.segment_size);
  CHECK(rig.supply->counters().segments_removed.load() >= 6);
  CHECK_FALSE(fs::exists(segment_path(scratch.path(), 1, 0)));
}

TEST_CASE("retention leaves what is held, up to the hard limit; compressed segments count and go") {
  const ScratchDir scratch;
  LogOptions options = small_options(scratch.path());
  std::uint64_t next = 0;
  {
    Rig rig(options);
    while (rig.writer->stats().segments < 12) write_batch(rig, next, 40);
  }
  const std::string log = scratch.path() + "/log";
  const event::CatalogSet none;
  REQUIRE(compress_segment(io::real_sys(), log, segment_file_name({1, 0}, 0), none, {}).ok());
  fs::remove(segment_path(scratch.path(), 1, 0));
  const auto bytes = [&] {
    std::vector<SegmentEntry> found;
    REQUIRE(list_segments(io::real_sys(), log, found) == 0);
    std::uint64_t total = 0;
    for (const SegmentEntry& segment : found) total += segment.disk_bytes;
    return total;
  };
  const std::uint64_t before = bytes();
  const Found all = read_all(scratch.path());
  Holds holds;
  Cursor cursor;
  cursor.set({1, 0}, 0);
  holds.set("sink.test", cursor);
  options.retention_bytes = 4 * options.segment_size;
  const auto retain = [&](std::uint64_t hard_bytes, std::vector<std::string>& told) {
    options.retention_hard_bytes = hard_bytes;
    auto dir = DataDir::open(io::real_sys(), scratch.path());
    REQUIRE(dir.ok());
    const Retention retention{&holds, [&](const std::string& holder, const std::string&,
                                          bool first) {
                                if (first) told.push_back(holder);
                              }};
    SegmentSupply supply(io::real_sys(), options, (*dir)->log_path(), (*dir)->node(),
                         (*dir)->run(), SegmentSupply::Mode::inline_now, retention);
    supply.look_at_retention();
    return supply.counters().holds_broken.load();
  };
  std::vector<std::string> told;
  CHECK(retain(0, told) == 0);
  CHECK(retain(before, told) == 0);
  CHECK(bytes() == before);
  CHECK(read_all(scratch.path()).links == all.links);

  const std::uint64_t hard = 8 * options.segment_size;
  CHECK(retain(hard, told) > 0);
  CHECK(told == std::vector<std::string>{"sink.test"});
  CHECK(bytes() <= hard);
  CHECK(bytes() > options.retention_bytes);
  CHECK_FALSE(fs::exists(segment_path(scratch.path(), 1, 0) + "z"));

  cursor.set({1, 0}, Position{1} << 40);
  holds.set("sink.test", cursor);
  CHECK(retain(hard, told) == 0);
  CHECK(bytes() <= options.retention_bytes);
}

TEST_CASE("a holder is told that the hard limit is near before its hold is broken") {
  const ScratchDir scratch;
  LogOptions options = small_options(scratch.path());
  std::uint64_t next = 0;
  {
    Rig rig(options);
    while (rig.writer->stats().segments < 12) write_batch(rig, next, 40);
  }
  options.retention_bytes = 4 * options.segment_size;
  options.retention_hard_bytes = 8 * options.segment_size;
  Holds holds;
  holds.set("state", Cursor{});
  std::vector<std::string> near;
  auto dir = DataDir::open(io::real_sys(), scratch.path());
  REQUIRE(dir.ok());
  const Retention retention{&holds, {}, [&](const std::string& holder) { near.push_back(holder); }};
  SegmentSupply supply(io::real_sys(), options, (*dir)->log_path(), (*dir)->node(), (*dir)->run(),
                       SegmentSupply::Mode::inline_now, retention);
  supply.look_at_retention();
  CHECK(near == std::vector<std::string>{"state"});
  CHECK(supply.counters().segments_removed.load() == 0);
  SUBCASE("it lets go: nothing is broken") {
    Cursor done;
    done.finish_runs_below(2);
    holds.set("state", done);
    supply.look_at_retention();
    CHECK(supply.counters().segments_removed.load() > 0);
    CHECK(supply.counters().holds_broken.load() == 0);
  }
  SUBCASE("it does not: its hold is broken at the next look") {
    supply.look_at_retention();
    CHECK(supply.counters().holds_broken.load() > 0);
    CHECK(near.size() == 2);
  }
}

TEST_CASE("a directory is written by one process; the second is told who holds it") {
  const ScratchDir scratch;
  auto first = DataDir::open(io::real_sys(), scratch.path() + "/data");
  REQUIRE(first.ok());
  CHECK(is_held(io::real_sys(), scratch.path() + "/data"));
  auto second = DataDir::open(io::real_sys(), scratch.path() + "/data");
  REQUIRE_FALSE(second.ok());
  CHECK(second.error().message.find(std::to_string(::getpid())) != std::string::npos);
  const NodeId node = (*first)->node();
  CHECK((*first)->run() == 1);
  first = Error{};
  CHECK_FALSE(is_held(io::real_sys(), scratch.path() + "/data"));
  auto third = DataDir::open(io::real_sys(), scratch.path() + "/data");
  REQUIRE(third.ok());
  CHECK((*third)->run() == 2);
  CHECK((*third)->node() == node);
}

TEST_CASE("a lost run counter never repeats a run that has left segments") {
  const ScratchDir scratch;
  std::uint64_t next = 0;
  for (int run = 1; run <= 3; ++run) {
    Rig rig(small_options(scratch.path()));
    write_batch(rig, next, 3);
    CHECK(rig.dir->run() == static_cast<std::uint32_t>(run));
  }
  fs::remove(scratch.path() + "/run");
  auto dir = DataDir::open(io::real_sys(), scratch.path());
  REQUIRE(dir.ok());
  CHECK((*dir)->run() == 4);
}

TEST_CASE("a segment that retention takes while a live log is examined is gone, not damaged") {
  const ScratchDir scratch;
  std::uint64_t next = 0;
  Rig rig(small_options(scratch.path()));
  while (rig.writer->stats().segments < 3) write_batch(rig, next, 40);
  auto inventory = take_inventory(io::real_sys(), scratch.path());
  REQUIRE(inventory.ok());
  Stream& stream = inventory->streams.begin()->second;
  const std::string spare = rig.dir->log_path() + "/spare-9";
  fs::rename(segment_path(scratch.path(), 1, 0), spare);
  examine(stream, true, true, {});
  CHECK(stream.segments[0].gone);
  for (const SegmentState& segment : stream.segments) CHECK(segment.damage.empty());
  CHECK(stream.segments[1].records > 0);
}
