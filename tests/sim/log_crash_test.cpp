// A log writer on the simulated machine: crashes anywhere, disks that fail and fill up. Whatever
// was acknowledged (the watermark had passed it) must be readable after each crash, in order and
// once. RG_TEST_LONG=1 runs 10,000 seeds; RG_TEST_SEED=n runs only that one.
#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/io/sim.hpp"
#include "engine/io/sim_disk.hpp"
#include "engine/shard/shard.hpp"
#include "storage/log/data_dir.hpp"
#include "storage/log/reader.hpp"
#include "storage/log/recovery.hpp"
#include "storage/log/supply.hpp"
#include "storage/log/writer.hpp"
#include "tests/sim/seeds.hpp"

using namespace ringgate;
using namespace ringgate::log;

namespace {

constexpr std::uint64_t short_seeds = 300;
constexpr std::uint64_t long_seeds = 10'000;
constexpr int lives_per_seed = 3;
constexpr int steps_per_life = 120;
const std::string data_dir = "/data";

enum class Trouble : std::uint8_t { none, errors, full, everything };

// What the gateway would have told the outside.
struct Promise {
  std::uint64_t number;
  std::uint32_t run;
  Position end;
};

std::vector<std::uint8_t> content(std::uint64_t number) {
  std::vector<std::uint8_t> bytes(number * 37 % 700);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::uint8_t>(number * 7 + i);
  }
  return bytes;
}

LogOptions log_options(std::uint64_t seed) {
  LogOptions options;
  options.data_dir = data_dir;
  options.segment_size = 64 * 1024;
  options.batch_size = 8 * 1024;
  options.on_failure = seed % 2 == 0 ? OnFailure::refuse : OnFailure::hold;
  return options;
}

void set_trouble(io::SimOptions& options, Trouble trouble, io::SimRandom& random) {
  options.write_error = options.write_no_space = options.write_short = options.sync_error = 0;
  options.capacity_bytes = std::uint64_t{1} << 40;
  if (trouble == Trouble::none || trouble == Trouble::full) return;
  options.write_error = static_cast<std::uint32_t>(random.below(80));
  options.write_short = static_cast<std::uint32_t>(random.below(40));
  if (trouble == Trouble::errors) return;
  options.write_no_space = static_cast<std::uint32_t>(random.below(60));
  options.sync_error = static_cast<std::uint32_t>(random.below(60));
}

// One run of a gateway's log on a simulated machine.
struct Life {
  Life(io::World& world, const LogOptions& options) : sys(world.sys()) {
    auto opened = DataDir::open(sys, options.data_dir);
    REQUIRE_MESSAGE(opened.ok(), (opened.ok() ? std::string() : opened.error().message));
    dir = std::move(*opened);
    auto recovered = recover(sys, *dir);
    REQUIRE_MESSAGE(recovered.ok(), (recovered.ok() ? std::string() : recovered.error().message));
    for (const std::string& problem : recovered->problems) FAIL_CHECK(problem);
    auto ring = io::Ring::open(world.make_backend(), {.sq_entries = 64, .cq_entries = 128});
    REQUIRE(ring.ok());
    supply = std::make_unique<SegmentSupply>(sys, options, dir->log_path(), dir->node(), dir->run(),
                                             SegmentSupply::Mode::inline_now);
    shard = std::make_unique<shard::Shard>(shard::ShardOptions{}, std::move(*ring), sys);
    auto made = Writer::open(*shard, options, *supply);
    REQUIRE_MESSAGE(made.ok(), (made.ok() ? std::string() : made.error().message));
    writer = std::move(*made);
  }

  Position committed() { return shard->watermark().committed(); }

  io::Sys& sys;
  std::unique_ptr<DataDir> dir;
  std::unique_ptr<SegmentSupply> supply;
  std::unique_ptr<shard::Shard> shard;
  std::unique_ptr<Writer> writer;
};

class History {
 public:
  void append(Life& life) {
    const auto payload = content(next_);
    RecordInfo info;
    info.ns = Namespace::phone;
    info.link = next_;
    info.device = "13800138000";
    if (!life.writer->has_room(payload.size() + info.device.size())) return;
    const Position end = life.writer->append(info, payload);
    REQUIRE(end != 0);
    waiting_.push_back({next_++, life.dir->run(), end});
  }
  void acknowledge(Position committed) {
    std::size_t done = 0;
    while (done < waiting_.size() && waiting_[done].end <= committed) ++done;
    acknowledged_.insert(acknowledged_.end(), waiting_.begin(),
                         waiting_.begin() + static_cast<std::ptrdiff_t>(done));
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(done));
  }
  void crashed() { waiting_.clear(); }
  std::size_t acknowledged() const { return acknowledged_.size(); }
  bool nothing_waits() const { return waiting_.empty(); }

  // Everything acknowledged is there once, in order; nothing is there that never was.
  void check(io::Sys& sys) const {
    auto reader = Reader::open(sys, data_dir, {});
    REQUIRE(reader.ok());
    std::map<std::uint32_t, std::vector<std::uint64_t>> by_run;
    std::set<std::uint64_t> seen;
    Entry entry;
    while ((*reader)->next(entry)) {
      const std::uint64_t number = entry.record.header.link;
      REQUIRE(number < next_);
      CHECK_MESSAGE(seen.insert(number).second, "record ", number, " is there twice");
      const auto payload = content(number);
      CHECK(std::equal(payload.begin(), payload.end(), entry.record.payload.begin(),
                       entry.record.payload.end()));
      auto& run = by_run[entry.stream.run];
      CHECK((run.empty() || run.back() < number));
      run.push_back(number);
    }
    for (const std::string& problem : (*reader)->problems()) FAIL_CHECK(problem);
    for (const Promise& promise : acknowledged_) {
      CHECK_MESSAGE(seen.contains(promise.number), "acknowledged record ", promise.number,
                    " of run ", promise.run, " at ", promise.end, " is lost");
    }
  }

 private:
  std::uint64_t next_ = 0;
  std::vector<Promise> waiting_;
  std::vector<Promise> acknowledged_;
};

struct Totals {
  std::uint64_t acknowledged = 0;
  std::uint64_t failures = 0;
  std::uint64_t refusals = 0;
};

void live(io::World& world, Life& life, History& history, Trouble trouble, io::SimRandom& random) {
  set_trouble(world.options(), trouble, random);
  const std::uint64_t steps = random.below(steps_per_life);
  for (std::uint64_t step = 0; step < steps; ++step) {
    if (trouble == Trouble::full || trouble == Trouble::everything) {
      // Space goes and comes.
      if (random.below(20) == 0) world.options().capacity_bytes = random.below(400'000);
      if (random.below(10) == 0) world.options().capacity_bytes = std::uint64_t{1} << 40;
    }
    for (std::uint64_t i = random.below(30); i > 0; --i) history.append(life);
    life.shard->turn(random.between(0, 2 * ns_per_ms));
    history.acknowledge(life.committed());
  }
}

// With the disk well again the log must take up by itself what was waiting.
void settle(io::World& world, Life& life, History& history, io::SimRandom& random) {
  set_trouble(world.options(), Trouble::none, random);
  const MonoNs limit = world.now() + 60 * ns_per_s;
  const auto settled = [&] {
    return life.writer->all_committed() &&
           life.shard->watermark().state() == flow::LogState::accepting;
  };
  while (!settled() && world.now() < limit) life.shard->turn(10 * ns_per_ms);
  CHECK_MESSAGE(settled(), "state ", static_cast<int>(life.shard->watermark().state()),
                ", committed ", life.committed(), " of ", life.writer->appended(), ", ",
                life.writer->stats().last_error);
  history.acknowledge(life.committed());
  CHECK(history.nothing_waits());
}

Totals run_seed(std::uint64_t seed) {
  io::SimRandom random(seed);
  const auto trouble = static_cast<Trouble>(seed % 4);
  const LogOptions options = log_options(seed);
  auto world = std::make_unique<io::World>(io::SimOptions::rough(seed));
  History history;
  Totals totals;
  for (int number = 0; number < lives_per_seed; ++number) {
    auto life = std::make_unique<Life>(*world, options);
    history.check(world->sys());
    live(*world, *life, history, trouble, random);
    const bool last = number + 1 == lives_per_seed;
    if (last) settle(*world, *life, history, random);
    totals.failures += life->writer->stats().write_failures;
    totals.refusals += life->shard->watermark().state() != flow::LogState::accepting ? 1 : 0;
    set_trouble(world->options(), Trouble::none, random);
    auto next = world->crash();
    life->writer->abandon();
    life->supply->abandon();
    life.reset();
    world = std::move(next);
    history.crashed();
  }
  history.check(world->sys());
  totals.acknowledged = history.acknowledged();
  return totals;
}

}  // namespace

TEST_CASE("no crash and no failing disk loses what was acknowledged") {
  std::uint64_t seeds = 0;
  Totals all;
  sim::for_seeds(short_seeds, long_seeds, [&](std::uint64_t seed) {
    ++seeds;
    const Totals totals = run_seed(seed);
    all.acknowledged += totals.acknowledged;
    all.failures += totals.failures;
    all.refusals += totals.refusals;
  });
  MESSAGE(seeds, " seeds, ", all.acknowledged, " records acknowledged, ", all.failures,
          " failed writes, ", all.refusals, " crashes while refusing; 0 lost");
  if (seeds >= short_seeds) {
    CHECK(all.acknowledged > 1000);
    CHECK(all.failures > 10);
  }
}
