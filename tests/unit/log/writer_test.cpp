#include <doctest/doctest.h>

#include "storage/log/reader.hpp"
#include "tests/unit/log/log_rig.hpp"

using namespace ringgate;
using namespace ringgate::log;

namespace {

struct Found {
  std::vector<std::uint64_t> links;
  std::uint64_t damage = 0;
};

// Every record that the reader shows now, each checked for its content.
Found read_all(Reader& reader) {
  Found found;
  Entry entry;
  WallUs last = 0;
  while (reader.next(entry)) {
    const Record& record = entry.record;
    found.links.push_back(record.header.link);
    CHECK(record.payload.size() == 52 + record.header.link % 400);
    const auto payload = sample_payload(record.header.link, record.payload.size());
    CHECK(std::equal(payload.begin(), payload.end(), record.payload.begin()));
    CHECK(record.header.received_us >= last);
    last = record.header.received_us;
  }
  found.damage = reader.problems().size();
  return found;
}

Found read_back(const std::string& data_dir) {
  auto reader = Reader::open(io::real_sys(), data_dir, {});
  REQUIRE(reader.ok());
  CHECK_FALSE((*reader)->live());
  return read_all(**reader);
}

void write_many(Rig& rig, std::uint64_t count, std::uint64_t per_commit) {
  for (std::uint64_t n = 0; n < count; ++n) {
    const std::size_t size = 52 + n % 400;
    while (!rig.writer->has_room(size + 11)) rig.shard->turn(10 * ns_per_ms);
    const Position position = append_sample(*rig.writer, n, size);
    REQUIRE(position != 0);
    if (n % per_commit == 0) rig.commit();
  }
  rig.commit();
}

}  // namespace

TEST_CASE("what was committed is there after a stop and after a kill, over many segments") {
  for (const bool killed : {false, true}) {
    for (const Direct direct : {Direct::automatic, Direct::off}) {
      CAPTURE(killed);
      const ScratchDir scratch;
      LogOptions options = small_options(scratch.path());
      options.direct = direct;
      Rig rig(options);
      constexpr std::uint64_t count = 6000;
      write_many(rig, count, 17);
      CHECK(rig.writer->stats().segments > 4);
      CHECK(rig.shard->watermark().committed() >= rig.writer->appended());
      if (killed) {
        rig.kill();
      } else {
        rig.stop();
      }
      rig.dir.reset();
      const Found found = read_back(scratch.path());
      CHECK(found.damage == 0);
      REQUIRE(found.links.size() == count);
      for (std::uint64_t n = 0; n < count; ++n) REQUIRE(found.links[n] == n);
    }
  }
}

TEST_CASE("a reader of a live log shows what is committed, and all of it once the log is idle") {
  const ScratchDir scratch;
  Rig rig(small_options(scratch.path()));
  auto reader = Reader::open(io::real_sys(), scratch.path(), {});
  REQUIRE(reader.ok());
  CHECK((*reader)->live());
  std::uint64_t seen = 0;
  std::uint64_t written = 0;
  for (int round = 0; round < 60; ++round) {
    for (int i = 0; i < 40; ++i) {
      while (!rig.writer->has_room(500)) rig.shard->turn(ns_per_ms);
      REQUIRE(append_sample(*rig.writer, written, 52 + written % 400) != 0);
      ++written;
    }
    const std::uint64_t committed_before = rig.writer->stats().records;
    if (round % 2 == 0) rig.commit();
    REQUIRE((*reader)->refresh());
    const Found found = read_all(**reader);
    for (const std::uint64_t link : found.links) REQUIRE(link == seen++);
    CHECK(found.damage == 0);
    CHECK(seen <= std::max(committed_before, rig.writer->stats().records));
  }
  rig.commit();
  // The idle mark is due after two looks of commit_mark_after: turns, not waiting, bring it.
  const std::uint64_t commits = rig.writer->stats().commits;
  while (rig.writer->stats().commits == commits) rig.shard->turn(100 * ns_per_ms);
  rig.commit();
  REQUIRE((*reader)->refresh());
  for (const std::uint64_t link : read_all(**reader).links) REQUIRE(link == seen++);
  CHECK(seen == written);
}

TEST_CASE("a helper thread makes, recycles and seals segments ahead of the writer") {
  const ScratchDir scratch;
  LogOptions options = small_options(scratch.path());
  options.segment_size = 6 << 20;  // more than initialise_first: the rest follows while it is used
  options.batch_size = 256 * 1024;
  options.retention_bytes = 2 * options.segment_size;
  Rig rig(options, io::real_sys(), open_real_ring(), SegmentSupply::Mode::thread);
  std::uint64_t next = 0;
  while (rig.writer->stats().segments < 6) {
    while (rig.writer->has_room(2100)) {
      REQUIRE(append_sample(*rig.writer, next, 52 + next % 400) != 0);
      ++next;
    }
    rig.shard->turn(ns_per_ms);
  }
  rig.stop();
  rig.supply.reset();
  rig.dir.reset();
  const Found found = read_back(scratch.path());
  CHECK(found.damage == 0);
  REQUIRE_FALSE(found.links.empty());
  CHECK(found.links.back() == next - 1);
  for (std::size_t i = 1; i < found.links.size(); ++i) {
    REQUIRE(found.links[i] == found.links[i - 1] + 1);
  }
}
