// The records of one segment that are wanted: what a full scan finds, whatever way they are found.
#include "storage/log/segment_records.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <set>

#include "storage/log/reader.hpp"
#include "tests/unit/log/log_rig.hpp"

using namespace ringgate;
using namespace ringgate::log;

namespace {

struct Seen {
  std::vector<Position> positions;
  std::vector<std::uint64_t> links;
  bool gone = false;
  std::string problem;
};

Seen collect(const std::string& path, const Wanted& wanted) {
  auto records = SegmentRecords::open(io::real_sys(), path, wanted);
  REQUIRE_MESSAGE(records.ok(), (records.ok() ? std::string() : records.error().message));
  Seen seen;
  Record record;
  while ((*records)->next(record)) {
    seen.positions.push_back(record.header.position);
    seen.links.push_back(record.header.link);
  }
  seen.gone = (*records)->gone();
  seen.problem = (*records)->problem();
  return seen;
}

std::string first_segment(const std::string& data_dir) {
  return data_dir + "/log/" + segment_file_name({1, 0}, 0);
}

void fill(const std::string& data_dir, std::uint64_t count) {
  Rig rig(small_options(data_dir));
  for (std::uint64_t i = 0; i < count; ++i) {
    REQUIRE(append_sample(*rig.writer, i) != 0);
    if (i % 50 == 49) rig.commit();
  }
  rig.commit();
}

}  // namespace

TEST_CASE("a segment's records by device, position and time") {
  const ScratchDir scratch;
  fill(scratch.path(), 1000);
  const std::string path = first_segment(scratch.path());
  const Seen all = collect(path, {});
  REQUIRE(all.links.size() == 1000);
  CHECK(all.problem.empty());

  const DeviceKey devices[] = {{Namespace::phone, "13800000003"}, {Namespace::phone, "13800000005"}};
  Wanted wanted;
  wanted.devices = devices;
  const Seen two = collect(path, wanted);
  std::vector<std::uint64_t> expected;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    if (i % 7 == 3 || i % 7 == 5) expected.push_back(i);
  }
  CHECK(two.links == expected);

  const DeviceKey other_space[] = {{Namespace::json, "13800000003"}};
  wanted.devices = other_space;
  CHECK(collect(path, wanted).links.empty());

  wanted = {};
  wanted.from = all.positions[100];
  wanted.to = all.positions[200];
  const Seen part = collect(path, wanted);
  REQUIRE(part.links.size() == 100);
  CHECK(part.links.front() == 100);
  CHECK(part.links.back() == 199);

  wanted = {};
  wanted.received_to_us = 1;
  CHECK(collect(path, wanted).links.empty());
  CHECK(SegmentRecords::open(io::real_sys(), path + "x", {}).error().code == ENOENT);
}

TEST_CASE("damage in a segment is passed and told") {
  const ScratchDir scratch;
  fill(scratch.path(), 300);
  const std::string path = first_segment(scratch.path());
  const Seen before = collect(path, {});
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(records_offset + before.positions[100] + 70));
  file.put('\xff');
  file.close();
  const Seen after = collect(path, {});
  CHECK(after.links.size() == 299);
  CHECK(after.problem.find(path) != std::string::npos);
  CHECK(after.problem.find(std::to_string(records_offset + before.positions[100])) !=
        std::string::npos);
}
