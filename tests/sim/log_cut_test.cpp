// A recorded run of the log on the real ring, cut at 1,000 points: for each the worst that a disk
// may legally hold is built, and everything acknowledged by then must be readable. The same run
// with its DSYNC taken away must lose something: else this test would prove nothing.
#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "engine/io/record.hpp"
#include "engine/io/sim.hpp"
#include "engine/shard/shard.hpp"
#include "storage/log/data_dir.hpp"
#include "storage/log/reader.hpp"
#include "storage/log/supply.hpp"
#include "storage/log/writer.hpp"

using namespace ringgate;
using namespace ringgate::log;

namespace {

constexpr std::size_t cut_points = 1000;
constexpr std::uint64_t records = 3000;

// What was acknowledged when the trace had this many events.
struct Acknowledged {
  std::size_t events;
  std::uint64_t count;  // records 0 .. count-1
};

class Witness final : public flow::CommitListener {
 public:
  explicit Witness(io::Recorder& recorder) : recorder_(recorder) {}
  void on_commit(Position committed) override {
    while (count_ < ends.size() && ends[count_] <= committed) ++count_;
    seen.push_back({recorder_.trace().size(), count_});
  }
  std::vector<Position> ends;  // of the records, in order
  std::vector<Acknowledged> seen;

 private:
  io::Recorder& recorder_;
  std::uint64_t count_ = 0;
};

struct Recording {
  Recording() {
    std::string name = std::filesystem::temp_directory_path() / "ringgate-cut-XXXXXX";
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
    recorder = std::make_unique<io::Recorder>(io::real_sys(), path);
    witness = std::make_unique<Witness>(*recorder);
  }
  ~Recording() { std::filesystem::remove_all(path); }

  std::string path;
  std::unique_ptr<io::Recorder> recorder;
  std::unique_ptr<Witness> witness;
};

void run(Recording& recording, Direct direct) {
  io::Sys& sys = recording.recorder->sys();
  LogOptions options;
  options.data_dir = recording.path;
  options.segment_size = 64 * 1024;
  options.batch_size = 8 * 1024;
  options.direct = direct;
  auto dir = DataDir::open(sys, recording.path);
  REQUIRE(dir.ok());
  SegmentSupply supply(sys, options, (*dir)->log_path(), (*dir)->node(), (*dir)->run(),
                       SegmentSupply::Mode::inline_now);
  auto ring = io::Ring::open(recording.recorder->wrap(io::make_uring_backend()),
                             {.sq_entries = 64, .cq_entries = 128});
  REQUIRE(ring.ok());
  shard::Shard shard({}, std::move(*ring), sys);
  shard.watermark().listen(*recording.witness);
  auto writer = Writer::open(shard, options, supply);
  REQUIRE(writer.ok());
  std::mt19937_64 random(3);
  RecordInfo info;
  info.device = "13800138000";
  const std::vector<std::uint8_t> payload(150, 0x5a);
  for (std::uint64_t number = 0; number < records;) {
    for (std::uint64_t burst = random() % 60; burst > 0 && number < records; --burst) {
      if (!(*writer)->has_room(payload.size() + info.device.size())) break;
      info.link = number++;
      recording.witness->ends.push_back((*writer)->append(info, payload));
    }
    shard.turn(ns_per_ms);
  }
  while (!(*writer)->all_committed()) shard.turn(ns_per_ms);
  shard.request_stop();
  while (shard.turn(ns_per_ms)) {
  }
}

// How many acknowledged records a cut loses.
std::uint64_t lost_at(const Recording& recording, std::size_t cut, const io::CutPolicy& policy) {
  std::uint64_t acknowledged = 0;
  for (const Acknowledged& seen : recording.witness->seen) {
    if (seen.events <= cut) acknowledged = seen.count;
  }
  io::World world(io::SimOptions{}, recording.recorder->trace().disk_at(cut, policy));
  auto reader = Reader::open(world.sys(), recording.path, {});
  if (!reader) return acknowledged;  // not even the directory was there
  std::set<std::uint64_t> found;
  Entry entry;
  while ((*reader)->next(entry)) found.insert(entry.record.header.link);
  std::uint64_t lost = 0;
  for (std::uint64_t number = 0; number < acknowledged; ++number) {
    if (!found.contains(number)) ++lost;
  }
  if (!policy.pretend_no_dsync) CHECK((*reader)->problems().empty());
  return lost;
}

constexpr io::Survival survivals[] = {io::Survival::nothing,    io::Survival::last_sector,
                                      io::Survival::any,        io::Survival::first_sector,
                                      io::Survival::everything, io::Survival::chance};

}  // namespace

TEST_CASE("1,000 power cuts lose nothing that was acknowledged; without DSYNC they do") {
  for (const Direct direct : {Direct::automatic, Direct::off}) {
    Recording recording;
    run(recording, direct);
    const std::size_t events = recording.recorder->trace().size();
    REQUIRE(recording.witness->seen.back().count == records);
    std::mt19937_64 random(11);
    std::uint64_t lost = 0;
    std::uint64_t lost_without = 0;
    for (std::size_t i = 0; i < cut_points / 2; ++i) {
      const std::size_t cut = i == 0 ? events : random() % (events + 1);
      const io::CutPolicy policy{.survival = survivals[i % std::size(survivals)], .seed = i + 1};
      const std::uint64_t now = lost_at(recording, cut, policy);
      CHECK_MESSAGE(now == 0, now, " acknowledged records lost by a cut at event ", cut);
      lost += now;
      if (i % 10 == 0) {
        lost_without +=
            lost_at(recording, cut,
                    {.survival = io::Survival::nothing, .seed = i + 1, .pretend_no_dsync = true});
      }
    }
    CHECK(lost == 0);
    // Through the page cache durability comes from fdatasync, which this does not take away.
    if (direct == Direct::automatic) CHECK(lost_without > 0);
    MESSAGE((cut_points / 2), " cuts of ", events, " events: ", lost,
            " lost; with DSYNC taken away ", lost_without, " of ", (cut_points / 20), " cuts");
  }
}
