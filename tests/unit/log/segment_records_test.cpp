// The records of one segment that are wanted: what a full scan finds, whatever way they are found.
#include "storage/log/segment_records.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <random>

#include "storage/log/index.hpp"
#include "storage/log/index_maker.hpp"
#include "storage/log/reader.hpp"
#include "tests/unit/log/log_rig.hpp"

using namespace ringgate;
using namespace ringgate::log;

namespace {

struct Seen {
  std::vector<Position> positions;
  std::vector<std::uint64_t> links;
  bool gone = false;
  bool lied = false;
  IndexState state = IndexState::none;
  std::uint64_t bytes_read = 0;
  std::string problem;
  friend bool operator==(const Seen& a, const Seen& b) { return a.positions == b.positions; }
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
  seen.state = (*records)->index_state();
  seen.lied = seen.state == IndexState::lied;
  seen.bytes_read = (*records)->bytes_read();
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

  const DeviceKey devices[] = {{Namespace::phone, "13800000003"},
                               {Namespace::phone, "13800000005"}};
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

namespace {

// Says that the payload begins with the device's time.
class TimeCatalog final : public event::MessageCatalog {
 public:
  std::string_view protocol() const override { return "test"; }
  Namespace ns() const override { return Namespace::phone; }
  std::vector<event::MessageInfo> list() const override { return {}; }
  std::string message_id_text(std::uint16_t) const override { return {}; }
  void json(Bytes, JsonWriter&, bool) const override {}
  Result<std::vector<std::uint8_t>> encode(std::string_view) const override { return Error{}; }
  std::vector<std::uint8_t> redact(Bytes) const override { return {}; }
  std::optional<event::DeviceTimes> device_times(const event::RecordView& record) const override {
    if (record.payload.size() < 8) return {};
    const auto time = load_native<std::int64_t>(record.payload.data());
    return event::DeviceTimes{time, time};
  }
};

constexpr WallUs device_epoch = 1'700'000'000'000'000;

// Records of 40 devices, some long, some without a time; every 50th was 2 hours late.
void fill_varied(const std::string& data_dir, std::uint64_t count) {
  Rig rig(small_options(data_dir));
  std::mt19937_64 random(3);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t drawn = random() % 100;
    std::vector<std::uint8_t> payload(drawn == 0 ? 5000 : drawn < 5 ? 4 : 20 + random() % 40, 7);
    if (payload.size() >= 8) {
      const WallUs late = i % 50 == 0 ? 7200 * us_per_s : 0;
      store_native(payload.data(), device_epoch + static_cast<WallUs>(i) * us_per_s - late);
    }
    RecordInfo info;
    info.ns = Namespace::phone;
    info.message = 0x0200;
    info.link = i;
    const std::string device = std::to_string(13900000000ULL + random() % 40);
    if (i % 97 != 0) info.device = device;
    REQUIRE(rig.writer->append(info, payload) != 0);
    if (i % 30 == 29) rig.commit();
  }
}

Wanted draw_wanted(std::mt19937_64& random, const Seen& all, std::vector<DeviceKey>& devices) {
  devices.clear();
  for (std::uint64_t i = random() % 4; i > 0; --i) {
    devices.emplace_back(Namespace::phone, std::to_string(13900000000ULL + random() % 44));
  }
  Wanted wanted;
  wanted.devices = devices;
  if (random() % 2 == 0) wanted.from = all.positions[random() % all.positions.size()];
  if (random() % 2 == 0) wanted.to = all.positions[random() % all.positions.size()];
  return wanted;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
void write_file(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

}  // namespace

TEST_CASE("an index changes what is read, never what is found") {
  const ScratchDir scratch;
  fill_varied(scratch.path(), 1800);
  const std::string path = first_segment(scratch.path());
  const std::string log = scratch.path() + "/log";
  const std::string name = segment_file_name({1, 0}, 0);
  const Seen all = collect(path, {});
  REQUIRE(all.positions.size() > 1000);
  TimeCatalog catalog;
  event::CatalogSet catalogs;
  catalogs.add(catalog);
  std::mt19937_64 random(11);
  std::vector<std::vector<DeviceKey>> devices(60);
  std::vector<Wanted> wanted;
  std::vector<Seen> scanned;
  for (auto& list : devices) {
    wanted.push_back(draw_wanted(random, all, list));
    scanned.push_back(collect(path, wanted.back()));
  }
  CHECK_FALSE(index_is_good(io::real_sys(), log, name));
  const auto made = make_index(io::real_sys(), log, name, catalogs, {});
  REQUIRE(made.ok());
  REQUIRE(made->made);
  CHECK(index_is_good(io::real_sys(), log, name));
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const Seen seen = collect(path, wanted[i]);
    CHECK(seen == scanned[i]);
    CHECK(seen.problem.empty());
    CHECK_FALSE(seen.lied);
  }

  // Times: by received time exactly, by device time at least what fits.
  auto reader = Reader::open(io::real_sys(), scratch.path(), {});
  REQUIRE(reader.ok());
  std::vector<std::pair<WallUs, std::uint64_t>> received;
  std::vector<std::pair<WallUs, std::uint64_t>> timed;
  Entry entry;
  while ((*reader)->next(entry)) {
    if (entry.record.header.position >= all.positions.back()) break;
    received.emplace_back(entry.record.header.received_us, entry.record.header.link);
    if (const auto times = catalog.device_times(entry.record.view())) {
      timed.emplace_back(times->first_us, entry.record.header.link);
    }
  }
  for (int round = 0; round < 40; ++round) {
    Wanted when;
    when.received_from_us = received[random() % received.size()].first;
    when.received_to_us = received[random() % received.size()].first;
    std::vector<std::uint64_t> expected;
    for (const auto& [at, link] : received) {
      if (at >= when.received_from_us && at < when.received_to_us) expected.push_back(link);
    }
    CHECK(collect(path, when).links == expected);

    Wanted device_time;
    device_time.device_from_us = timed[random() % timed.size()].first;
    device_time.device_to_us = device_time.device_from_us + 60 * us_per_s;
    const Seen seen = collect(path, device_time);
    for (const auto& [at, link] : timed) {
      if (at < device_time.device_from_us || at >= device_time.device_to_us) continue;
      CHECK(std::find(seen.links.begin(), seen.links.end(), link) != seen.links.end());
    }
  }
}

TEST_CASE("a damaged, short or foreign index is not used; one that lies is found out") {
  const ScratchDir scratch;
  fill_varied(scratch.path(), 1800);
  const std::string path = first_segment(scratch.path());
  const std::string log = scratch.path() + "/log";
  const std::string name = segment_file_name({1, 0}, 0);
  const std::string index = log + "/" + index_name_of(name);
  const DeviceKey devices[] = {{Namespace::phone, "13900000007"}};
  Wanted wanted;
  wanted.devices = devices;
  const Seen expected = collect(path, wanted);
  REQUIRE(expected.links.size() > 10);
  const event::CatalogSet catalogs;
  REQUIRE(make_index(io::real_sys(), log, name, catalogs, {}).ok());
  CHECK(collect(path, wanted).bytes_read < expected.bytes_read);
  const std::string good = read_file(index);
  std::mt19937_64 random(5);
  for (int round = 0; round < 300; ++round) {
    std::string bad = good;
    if (round % 3 == 0) {
      bad.resize(random() % bad.size());
    } else {
      bad[random() % bad.size()] ^= static_cast<char>(1 + random() % 255);
    }
    write_file(index, bad);
    CHECK_FALSE(index_is_good(io::real_sys(), log, name));
    const Seen seen = collect(path, wanted);
    CHECK(seen == expected);
    // A page that was not needed may be the damaged one.
    CHECK((seen.state == IndexState::damaged || seen.state == IndexState::good));
  }

  // An index that is sound in itself but was made of other records.
  const auto file = SegmentFile::open(io::real_sys(), path);
  REQUIRE(file.ok());
  const SegmentHeader& header = (*file)->header();
  for (const std::uint64_t shift : {8ULL, 0ULL}) {
    IndexBuilder builder(header);
    for (Position at = header.base; at < (*file)->seal()->end;) {
      auto record = (*file)->record_at(at);
      REQUIRE(record);
      at = record->end();
      if (record->is_own()) continue;
      // Places that are none, or records that are another device's.
      record->header.position += shift;
      const std::string other = "13900000008";
      if (shift == 0 && record->device == "13900000007") continue;
      if (shift == 0 && record->device == other) record->device = "13900000007";
      builder.add(*record, {});
    }
    const auto bytes = builder.finish((*file)->seal()->end);
    write_file(index, std::string(bytes.begin(), bytes.end()));
    const Seen seen = collect(path, wanted);
    CHECK(seen == expected);
    CHECK(seen.lied);
    CHECK(seen.problem.find("index") != std::string::npos);
    Wanted part;
    part.from = expected.positions[5];
    part.to = expected.positions[9];
    const Seen ranged = collect(path, part);
    CHECK(ranged.lied);  // of other places, or of fewer records than there are
    CHECK(ranged.positions.front() == part.from);
    CHECK(ranged.positions.back() < part.to);
  }
}
