// The state of a node on the simulated machine: frames and changes on one to three shards,
// snapshots amid them, retention behind them, a process that dies and a machine that loses power
// anywhere, and now and then a newest snapshot that can't be read. After each cut the loaded state
// is what the log has kept: every device, every frame counted once.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/io/sim.hpp"
#include "engine/io/sim_disk.hpp"
#include "engine/shard/shard.hpp"
#include "storage/log/data_dir.hpp"
#include "storage/log/recovery.hpp"
#include "storage/log/segment_list.hpp"
#include "storage/log/segment_records.hpp"
#include "storage/log/supply.hpp"
#include "storage/log/writer.hpp"
#include "storage/state/snapshots.hpp"
#include "tests/sim/mortal_sys.hpp"
#include "tests/sim/seeds.hpp"

using namespace ringgate;
using device::Device;
using device::DeviceTable;

namespace {

constexpr int lives_per_seed = 4;
constexpr int fleet_size = 12;
const std::string data_dir = "/data";

// What is left out on purpose, to show that the test would see it.
enum class Fault : std::uint8_t { none, no_sync, no_wait };

struct Totals {
  std::uint64_t frames = 0;
  std::uint64_t snapshots = 0;
  std::uint64_t failed_snapshots = 0;
  std::uint64_t folded = 0;
  std::uint64_t restored = 0;
  std::uint64_t segments_gone = 0;
  std::uint64_t damaged = 0;
  std::uint64_t wrong = 0;  // lives that began with another state than the log had
};

// What the frames of the test do to their device.
struct Last {
  std::uint64_t number = 0;
  std::uint64_t sum = 0;
};
void hear(Device& device, std::uint64_t number, WallUs wall_us) {
  ++device.frames;
  device.last_heard_us = static_cast<std::uint64_t>(wall_us);
  device.heard_before(static_cast<std::uint32_t>(number * 2654435761U));
  device.last_state<Last>().number = number;
  device.last_state<Last>().sum += number;
}

class Folder final : public event::DeviceFolder {
 public:
  Namespace ns() const override { return Namespace::phone; }
  std::uint16_t layout() const override { return 1; }
  std::size_t last_state_size() const override { return sizeof(Last); }
  void next_run() override {}
  Sight look(const event::RecordView& record) override {
    return record.kind == event::RecordKind::frame_up ? Sight::makes_known : Sight::nothing;
  }
  void fold(const event::RecordView& record, Device& device) override {
    hear(device, load_native<std::uint64_t>(record.payload.data()), record.wall_us);
  }
};

// What is known of a device, as text.
std::string text_of(const Device& device) {
  Device copy = device;
  std::string text = fmt::format("frames {} heard {} last {} sum {} recent", device.frames,
                                 device.last_heard_us, copy.last_state<Last>().number,
                                 copy.last_state<Last>().sum);
  device.for_each_recent([&](std::uint32_t one) { text += fmt::format(" {:x}", one); });
  return text;
}

struct Model {
  std::map<std::string, Device> devices;
  std::map<std::string, std::string> plates;  // of those that are registered
  friend bool operator==(const Model& a, const Model& b) { return a.text() == b.text(); }
  std::string text() const {
    std::string out;
    for (const auto& [id, one] : devices) out += fmt::format("{}: {}\n", id, text_of(one));
    for (const auto& [id, plate] : plates) out += fmt::format("{} is {}\n", id, plate);
    return out;
  }
};

// A record that was appended: what it does, and where it ends in its stream.
struct Op {
  log::StreamId stream;
  Position end = 0;
  std::string id;
  std::uint64_t number = 0;  // of a frame; 0: the plate, empty: no more registered
  std::string plate;
  WallUs wall_us = 0;

  void apply(Model& model) const {
    if (number != 0) return hear(model.devices[id], number, wall_us);
    model.plates.erase(id);
    if (!plate.empty()) model.plates[id] = plate;
  }
};

DeviceKey key_of(const std::string& id) { return {Namespace::phone, id}; }

struct Place {
  std::unique_ptr<shard::Shard> shard;
  std::unique_ptr<log::Writer> writer;
  std::unique_ptr<log::CommitWaits> waits;
  flow::Budget budget{0};
  std::unique_ptr<state::Store> store;
  std::unique_ptr<DeviceTable> devices;
  state::ShardHost host;
};

class Life final : public state::ShardAsk {
 public:
  Life(io::World& world, ShardIndex shards, io::SimRandom& random, Fault fault, Totals& totals)
      : sys(world.sys()), random_(random), fault_(fault), totals_(totals),
        mortal_(world.sys(), random.below(3) == 0 ? 1'000'000 : random.below(60)) {
    auto opened = log::DataDir::open(sys, data_dir);
    REQUIRE(opened.ok());
    dir = std::move(*opened);
    auto recovered = log::recover(sys, *dir);
    REQUIRE(recovered.ok());
    for (const std::string& problem : recovered->problems) FAIL_CHECK(problem);
    folders_.add(std::make_unique<Folder>());
    budgets.assign(shards, flow::Budget(0));
    auto got = state::load(sys, data_dir, dir->node(), budgets, folders_);
    REQUIRE(got.ok());
    loaded = std::move(*got);
    totals.folded += loaded.folded;
    totals.restored += loaded.known_devices;
  }

  // After the check of what was loaded.
  void begin(io::World& world) {
    log::LogOptions options;
    options.data_dir = data_dir;
    options.segment_size = 64 * 1024;
    options.batch_size = 8 * 1024;
    options.retention_bytes = 1;  // all that nobody holds
    holds_.set("state", loaded.held);
    supply = std::make_unique<log::SegmentSupply>(sys, options, dir->log_path(), dir->node(),
                                                  dir->run(),
                                                  log::SegmentSupply::Mode::inline_now,
                                                  log::Retention{&holds_, {}, {}});
    const auto count = static_cast<ShardIndex>(budgets.size());
    for (ShardIndex i = 0; i < count; ++i) {
      auto place = std::make_unique<Place>();
      auto ring = io::Ring::open(world.make_backend(), {.sq_entries = 64, .cq_entries = 256});
      REQUIRE(ring.ok());
      place->shard = std::make_unique<shard::Shard>(
          shard::ShardOptions{.index = i, .count = count, .cpu = -1}, std::move(*ring), sys);
      auto writer = log::Writer::open(*place->shard, options, *supply);
      REQUIRE(writer.ok());
      place->writer = std::move(*writer);
      place->waits = std::make_unique<log::CommitWaits>(place->shard->watermark());
      place->store = std::make_unique<state::Store>(*place->writer, place->budget,
                                                    std::move(loaded.tables[i]));
      place->devices = std::move(loaded.devices[i]);
      place->devices->charge_to(place->budget);
      place->host.use(*place->store, *place->waits, *place->writer, *place->devices);
      places.push_back(std::move(place));
    }
    snapshots = std::make_unique<state::Snapshots>(
        state::SnapshotParts{.sys = mortal_, .data_dir = data_dir, .node = dir->node(),
                             .run = dir->run(), .folders = folders_, .holds = holds_,
                             .sync = fault_ != Fault::no_sync},
        *this, loaded);
  }

  ShardIndex shards() const override { return static_cast<ShardIndex>(places.size()); }
  // Amid traffic, as it is.
  Got ask(ShardIndex shard, Work work) override {
    step(random_.below(4));
    bool done = false;
    // Lives on where the work is not waited for.
    auto flag = std::make_shared<bool>(false);
    work(places[shard]->host, [flag] { *flag = true; });
    const MonoNs limit = sys.mono_now() + 600 * ns_per_s;
    while (!(done = *flag) && fault_ != Fault::no_wait && sys.mono_now() < limit) {
      step(random_.below(3));
      turn();
    }
    CHECK((done || fault_ == Fault::no_wait));
    return Got::ok;
  }

  void turn() {
    for (const auto& place : places) place->shard->turn(random_.between(0, ns_per_ms));
  }
  void step(std::uint64_t records) {
    for (; records > 0; --records) append();
  }
  // `lets_go`: the log for the snapshot before the newest may go, so that the newest must be good.
  void keep(bool lets_go) {
    const auto need = static_cast<state::Snapshots::Need>(random_.below(lets_go ? 3 : 2));
    const auto kept = snapshots->keep(need);
    ++(kept.ok() ? totals_.snapshots : totals_.failed_snapshots);
  }
  bool dead() const { return mortal_.dead(); }
  void abandon() {
    for (const auto& place : places) place->writer->abandon();
    if (supply) supply->abandon();
    totals_.segments_gone += supply ? supply->counters().segments_removed.load() : 0;
  }

  io::Sys& sys;
  std::vector<flow::Budget> budgets;
  std::unique_ptr<log::DataDir> dir;
  std::unique_ptr<log::SegmentSupply> supply;
  state::Loaded loaded;
  std::vector<std::unique_ptr<Place>> places;
  std::unique_ptr<state::Snapshots> snapshots;
  std::vector<Op> ops;  // of this life

 private:
  void append() {
    Op op;
    op.id = fmt::format("1380013{:04}", random_.below(fleet_size));
    const DeviceKey key = key_of(op.id);
    const ShardIndex home = home_shard(key, shards());
    Place& place = *places[home];
    op.stream = {dir->run(), home};
    op.wall_us = place.shard->wall_now();
    if (random_.below(10) == 0) {
      if (random_.below(3) != 0) op.plate = fmt::format("P{}", random_.below(1000));
      state::RegistrationView registration;
      registration.plate = op.plate;
      op.end = op.plate.empty() ? place.store->remove_registration(key)
                                : place.store->put_registration(key, registration);
    } else {
      std::vector<std::uint8_t> payload(8 + random_.below(900));
      op.number = 1 + random_.below(1U << 30);
      store_native(payload.data(), op.number);
      if (!place.writer->has_room(op.id.size() + payload.size())) return;
      op.end = place.writer->append(
          {.kind = log::Kind::frame_up, .ns = Namespace::phone, .device = key.id()}, payload);
      hear(place.devices->at(place.devices->find_or_add(key)), op.number, op.wall_us);
      place.devices->note_change();
      ++totals_.frames;
    }
    if (op.end != 0) ops.push_back(std::move(op));
  }

  io::SimRandom& random_;
  Fault fault_;
  Totals& totals_;
  sim::MortalSys mortal_;  // the thread that writes snapshots
  event::DeviceFolders folders_;
  log::Holds holds_;
};

// How far each stream of a run is in the log.
std::map<log::StreamId, Position> ends_of(io::Sys& sys, std::uint32_t run) {
  std::map<log::StreamId, Position> ends;
  std::vector<log::SegmentEntry> segments;
  if (log::list_segments(sys, data_dir + "/log", segments) < 0) return ends;
  for (const log::SegmentEntry& segment : segments) {
    if (segment.id.stream.run != run) continue;
    Position& end = ends[segment.id.stream];
    end = std::max(end, segment.id.base);
    auto records = log::SegmentRecords::open(sys, data_dir + "/log/" + segment.name, {});
    REQUIRE(records.ok());
    for (log::Record record; (*records)->next(record);) end = std::max(end, record.end());
  }
  return ends;
}

Model model_of(const state::Loaded& loaded) {
  Model model;
  for (const auto& table : loaded.devices) {
    table->for_each([&](Device& device) {
      CHECK(!device.link.valid());
      model.devices[std::string(device.key.id())] = device;
    });
  }
  for (const auto& table : loaded.tables) {
    for (std::uint64_t at = 0;;) {
      at = table->list(at, 1000, [&](const state::Table::Entry& entry) {
        if (entry.registration) {
          model.plates[std::string(entry.device.id())] = entry.registration->plate;
        }
      });
      if (at == 0) break;
    }
  }
  return model;
}

// The newest ones that can't be read.
std::size_t bad_ones(io::Sys& sys, const std::set<std::string>& damaged) {
  std::size_t count = 0;
  for (const std::string& name : state::list_snapshots(sys, data_dir + "/state")) {
    if (!damaged.contains(name)) break;
    ++count;
  }
  return count;
}

// Turns a byte of the newest snapshot round, unless one can't be read already: the other has to do.
void damage_newest(io::Sys& sys, io::SimRandom& random, std::set<std::string>& damaged) {
  const auto names = state::list_snapshots(sys, data_dir + "/state");
  for (const std::string& name : names) {
    if (damaged.contains(name)) return;
  }
  if (names.empty()) return;
  const int fd = sys.open(data_dir + "/state/" + names.front(), O_RDWR, 0);
  REQUIRE(fd >= 0);
  // In the content of the first block, which is behind the file's head and its own.
  std::uint8_t size[4];
  REQUIRE(sys.pread(fd, size, 24) == 4);
  const std::uint64_t at = 24 + 16 + random.below(load_native<std::uint32_t>(size));
  std::uint8_t byte = 0;
  REQUIRE(sys.pread(fd, {&byte, 1}, at) == 1);
  byte ^= 0x10;
  REQUIRE(sys.pwrite(fd, {&byte, 1}, at) == 1);
  REQUIRE(sys.data_sync(fd) >= 0);
  sys.close(fd);
  damaged.insert(names.front());
}

void check_loaded(const Life& life, const Model& expected, std::size_t bad, Fault fault,
                  Totals& totals) {
  const Model found = model_of(life.loaded);
  const bool right = found == expected && life.loaded.missing_bytes == 0 &&
                     life.loaded.not_understood == 0 &&
                     life.loaded.problems.size() == bad;
  totals.wrong += right ? 0 : 1;
  if (fault != Fault::none) return;
  std::string problems;
  for (const std::string& problem : life.loaded.problems) problems += problem + "\n";
  CAPTURE(problems);
  CHECK(found.text() == expected.text());
  CHECK(right);
}

void run_seed(std::uint64_t seed, Fault fault, Totals& totals) {
  io::SimRandom random(seed);
  auto world = std::make_unique<io::World>(io::SimOptions::rough(seed));
  const bool rots = fault == Fault::none && seed % 2 == 0;  // snapshots go bad
  Model model;
  std::vector<Op> ops;
  std::uint32_t run = 0;
  std::set<std::string> damaged;
  for (int number = 0; number <= lives_per_seed; ++number) {
    const auto shards = static_cast<ShardIndex>(1 + random.below(3));
    auto life = std::make_unique<Life>(*world, shards, random, fault, totals);
    // Of the records that were under way at the cut, those that the log has kept have happened.
    const auto ends = ends_of(world->sys(), run);
    for (const Op& op : ops) {
      const auto end = ends.find(op.stream);
      if (end != ends.end() && op.end <= end->second) op.apply(model);
    }
    check_loaded(*life, model, bad_ones(world->sys(), damaged), fault, totals);
    if (number == lives_per_seed) break;
    life->begin(*world);
    world->options().sync_error = random.below(3) == 0 ? 30 : 0;
    for (std::uint64_t left = random.below(400); left > 0 && !life->dead(); --left) {
      life->step(random.below(12));
      life->turn();
      if (random.below(30) == 0) life->keep(!rots);
      if (random.below(20) == 0) life->supply->look_at_retention();
    }
    world->options().sync_error = 0;
    run = life->dir->run();
    ops = std::move(life->ops);
    auto next = world->crash();
    life->abandon();
    life.reset();
    world = std::move(next);
    if (rots && random.below(2) == 0) damage_newest(world->sys(), random, damaged);
  }
  totals.damaged += damaged.size();
}

}  // namespace

TEST_CASE("no cut anywhere loses or doubles what devices sent and operators changed") {
  Totals totals;
  sim::for_seeds(150, 5'000, [&](std::uint64_t seed) { run_seed(seed, Fault::none, totals); });
  MESSAGE(totals.frames, " frames, ", totals.snapshots, " snapshots, ", totals.failed_snapshots,
          " that failed, ", totals.restored, " devices restored, ", totals.folded,
          " frames folded in, ", totals.segments_gone, " segments gone, ", totals.damaged,
          " snapshots damaged");
  if (sim::number_from("RG_TEST_SEED", 0) != 0) return;
  CHECK(totals.snapshots > 100);
  CHECK(totals.failed_snapshots > 20);
  CHECK(totals.segments_gone > 20);
  CHECK(totals.damaged > 20);
}

TEST_CASE("snapshots that are not synced, or do not wait for the log, are found out") {
  for (const Fault fault : {Fault::no_sync, Fault::no_wait}) {
    Totals totals;
    for (std::uint64_t seed = 1; seed <= 60; ++seed) run_seed(seed, fault, totals);
    CAPTURE(static_cast<int>(fault));
    CHECK(totals.wrong > 0);
  }
}
