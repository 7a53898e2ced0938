// The blobs of a shard on the simulated machine: uploads in pieces of any size and order, owners
// that go and come back, disks that fail and fill up, and a power cut anywhere. What was reported
// as stored must be there after each cut, whole and listed in the log; whatever bears a final name
// must have the content of some upload; and what a note says is there must be there. In every other
// seed files expire, and uploads are written over what they leave.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/base/crc32c.hpp"
#include "engine/io/sim.hpp"
#include "engine/io/sim_disk.hpp"
#include "engine/observe/logger.hpp"
#include "engine/shard/shard.hpp"
#include "storage/blob/shard_store.hpp"
#include "storage/log/data_dir.hpp"
#include "storage/log/reader.hpp"
#include "storage/log/recovery.hpp"
#include "storage/log/supply.hpp"
#include "storage/log/writer.hpp"
#include "tests/sim/seeds.hpp"

using namespace ringgate;

namespace {

constexpr int lives_per_seed = 3;
constexpr std::size_t uploads_at_once = 5;
constexpr std::int64_t expires_after_s = 1;
const std::string data_dir = "/data";

// The content of upload `number`: recognisable by its first eight bytes.
std::vector<std::uint8_t> content(std::uint64_t number, std::size_t size) {
  std::vector<std::uint8_t> bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::uint8_t>(number * 131 + i * 7 + (i >> 8));
  }
  return bytes;
}

log::LogOptions log_options() {
  log::LogOptions options;
  options.data_dir = data_dir;
  options.segment_size = 64 * 1024;
  options.batch_size = 8 * 1024;
  return options;
}

bool expires(std::uint64_t seed) { return seed % 2 == 0; }

blob::BlobOptions blob_options(std::uint64_t seed, io::SimRandom& random) {
  blob::BlobOptions options;
  options.data_dir = data_dir;
  options.buffers_bytes = (4 + random.below(8)) * blob::buffer_bytes;
  options.min_free = 1 << 20;
  if (expires(seed)) options.retention_age_s = expires_after_s;
  options.direct = random.below(4) != 0;
  return options;
}

struct Life {
  Life(io::World& world, const blob::BlobOptions& options)
      : sys(world.sys()),
        logger({.delivery = observe::Delivery::immediate,
                .sink = [this](std::string_view line) { lines.emplace_back(line); },
                .clock = [this] { return sys.wall_now(); }}),
        logs(logger.add_source("shard-0")),
        group("shard", "0") {
    auto opened = log::DataDir::open(sys, data_dir);
    REQUIRE_MESSAGE(opened.ok(), (opened.ok() ? std::string() : opened.error().message));
    dir = std::move(*opened);
    auto recovered = log::recover(sys, *dir);
    REQUIRE(recovered.ok());
    for (const std::string& problem : recovered->problems) FAIL_CHECK(problem);
    supply = std::make_unique<log::SegmentSupply>(sys, log_options(), dir->log_path(), dir->node(),
                                                  dir->run(),
                                                  log::SegmentSupply::Mode::inline_now);
    auto kept = blob::Keeper::open(sys, options, dir->run(), blob::Keeper::Mode::inline_now);
    REQUIRE_MESSAGE(kept.ok(), (kept.ok() ? std::string() : kept.error().message));
    keeper = std::move(*kept);
    auto ring = io::Ring::open(world.make_backend(), {.sq_entries = 64, .cq_entries = 256});
    REQUIRE(ring.ok());
    shard = std::make_unique<shard::Shard>(shard::ShardOptions{}, std::move(*ring), sys);
    auto made = log::Writer::open(*shard, log_options(), *supply);
    REQUIRE(made.ok());
    writer = std::move(*made);
    store = std::make_unique<blob::Store>(*shard, *writer, *keeper, group, logs);
  }

  io::Sys& sys;
  std::vector<std::string> lines;
  observe::Logger logger;
  observe::LogSource& logs;
  observe::CounterGroup group;
  std::unique_ptr<log::DataDir> dir;
  std::unique_ptr<log::SegmentSupply> supply;
  std::unique_ptr<blob::Keeper> keeper;
  std::unique_ptr<shard::Shard> shard;
  std::unique_ptr<log::Writer> writer;
  std::unique_ptr<blob::Store> store;
};

struct Job {
  std::uint64_t number = 0;
  std::vector<std::uint8_t> bytes;
  blob::UploadId id;
  bool committed = false;
};

struct Totals {
  std::uint64_t stored = 0;
  std::uint64_t failed = 0;
  std::uint64_t resumed = 0;
  std::uint64_t after_restart = 0;
  std::uint64_t reused = 0;
};

// The devices: what they send, what they were told.
class Fleet final : public blob::UploadOwner {
 public:
  Fleet(io::SimRandom& random, Totals& totals, bool expires)
      : random_(random), totals_(totals), expires_(expires) {}

  void on_room(blob::UploadId) override {}
  void on_stored(blob::UploadId id, const blob::Stored& stored) override {
    Job& job = job_of(id);
    CHECK(stored.size_bytes == job.bytes.size());
    CHECK(stored.crc32c == crc32c(0, job.bytes));
    promised_[stored.path] = job.number;
    ++totals_.stored;
    forget(job);
  }
  void on_failed(blob::UploadId id, blob::Failure) override {
    ++totals_.failed;
    Job& job = job_of(id);
    job.id = {};
    job.committed = false;
  }

  void step(Life& life, bool fresh_life) {
    while (jobs_.size() < uploads_at_once) {
      const std::size_t size = random_.below(4) == 0 ? random_.below(3000) : random_.below(400'000);
      jobs_.push_back({next_, content(next_, size), {}, false});
      sizes_[next_] = size;
      ++next_;
    }
    Job& job = jobs_[random_.below(jobs_.size())];
    if (!job.id.valid()) return begin(life, job, fresh_life);
    if (job.committed) return;
    if (random_.below(60) == 0) {
      life.store->suspend(job.id);
      job.id = {};
      return;
    }
    if (random_.below(200) == 0) {
      life.store->discard(job.id);
      job.id = {};
      return;
    }
    send_some(life, job);
  }

  // A power cut: nobody is told anything.
  void crashed() {
    for (Job& job : jobs_) job.id = {}, job.committed = false;
  }
  bool idle() const {
    return std::ranges::none_of(jobs_, [](const Job& job) { return job.id.valid(); });
  }
  void finish_all(Life& life) {
    for (Job& job : jobs_) {
      if (!job.id.valid()) begin(life, job, false);
      if (job.id.valid() && !job.committed) send_some(life, job);
    }
  }
  bool all_done() const { return jobs_.empty(); }

  // Against what a disk holds and a log lists.
  void check(io::Sys& sys) const {
    std::set<std::string> listed;
    auto reader = log::Reader::open(sys, data_dir, {});
    REQUIRE(reader.ok());
    for (log::Entry entry; (*reader)->next(entry);) {
      if (entry.record.kind() != log::Kind::media) continue;
      const std::string text(as_text(entry.record.payload));
      const std::size_t at = text.find("\"file\":\"") + 8;
      listed.insert(text.substr(at, text.find('"', at) - at));
    }
    for (const auto& promise : promised_) {
      const std::string& path = promise.first;
      CHECK_MESSAGE(listed.contains(path), path, " was reported and is not in the log");
      CHECK_MESSAGE(there(sys, path), path, " was reported and is not there");
    }
    for (const std::string& path : listed) {
      CHECK_MESSAGE(there(sys, path), path, " is listed and not there");
    }
    check_finals(sys);
  }

 private:
  static std::vector<std::uint8_t> read(io::Sys& sys, const std::string& path, bool& there) {
    const int fd = sys.open(path, 0, 0);
    there = fd >= 0;
    if (!there) return {};
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(sys.file_size(fd)));
    sys.pread(fd, bytes, 0);
    sys.close(fd);
    return bytes;
  }
  // Or gone because it was time.
  bool there(io::Sys& sys, const std::string& path) const {
    bool there = false;
    read(sys, data_dir + "/blobs/" + path, there);
    const std::int64_t oldest_ms = sys.wall_now() / 1000 - expires_after_s * 1000;
    return there || (expires_ && blob::wall_ms_of(path.substr(path.find('/') + 1)) < oldest_ms);
  }
  // Whatever has a final name is the whole of what was uploaded.
  void check_finals(io::Sys& sys) const {
    std::vector<io::DirectoryEntry> days;
    if (sys.list_directory(data_dir + "/blobs", days) < 0) return;
    for (const io::DirectoryEntry& day : days) {
      if (day.name == "partial") continue;
      std::vector<io::DirectoryEntry> files;
      REQUIRE(sys.list_directory(data_dir + "/blobs/" + day.name, files) >= 0);
      for (const io::DirectoryEntry& file : files) {
        const std::string path = day.name + "/" + file.name;
        bool there = false;
        const auto bytes = read(sys, data_dir + "/blobs/" + path, there);
        const auto promised = promised_.find(path);
        if (promised != promised_.end()) {
          CHECK_MESSAGE(bytes == content(promised->second, sizes_.at(promised->second)), path);
          continue;
        }
        const bool known = std::ranges::any_of(sizes_, [&](const auto& one) {
          return one.second == bytes.size() && content(one.first, one.second) == bytes;
        });
        CHECK_MESSAGE(known, path, " is nobody's content");
      }
    }
  }

  Job& job_of(blob::UploadId id) {
    const auto found = std::ranges::find(jobs_, id, &Job::id);
    REQUIRE(found != jobs_.end());
    return *found;
  }
  void forget(const Job& job) {
    std::erase_if(jobs_, [number = job.number](const Job& one) { return one.number == number; });
  }
  void begin(Life& life, Job& job, bool fresh_life) {
    blob::UploadInfo info;
    info.device = DeviceKey(Namespace::phone, "13800138000");
    info.message = 0x1211;
    info.size_bytes = job.bytes.size();
    info.name = "../../etc/passwd";
    if (job.number % 5 != 0) info.resume_key = "alarm/" + std::to_string(job.number);
    const auto begun = life.store->begin(info, *this);
    job.id = begun.id;
    if (begun.id.valid() && begun.resumed_bytes > 0) {
      ++totals_.resumed;
      if (fresh_life) ++totals_.after_restart;
    }
  }
  void send_some(Life& life, Job& job) {
    const auto gaps = life.store->missing(job.id, 8);
    if (gaps.empty()) {
      job.committed = true;
      life.store->commit(job.id);
      return;
    }
    const blob::Gap& gap = gaps[random_.below(gaps.size())];
    // From somewhere in the gap, or before it; in blocks as terminals send them, or odd ones.
    std::uint64_t from = gap.offset;
    if (random_.below(3) == 0) from += random_.below(gap.size_bytes);
    if (random_.below(6) == 0) from -= std::min(from, random_.below(9000));
    std::uint64_t size = random_.below(2) == 0 ? 65536 : 1 + random_.below(70'000);
    size = std::min<std::uint64_t>(size, job.bytes.size() - from);
    life.store->write(job.id, from, Bytes(job.bytes).subspan(from, size));
  }

  io::SimRandom& random_;
  Totals& totals_;
  bool expires_;
  std::vector<Job> jobs_;
  std::uint64_t next_ = 1;
  std::map<std::uint64_t, std::size_t> sizes_;
  std::map<std::string, std::uint64_t> promised_;
};

void set_trouble(io::SimOptions& options, std::uint64_t trouble, io::SimRandom& random) {
  options.write_error = options.write_no_space = options.write_short = options.sync_error = 0;
  options.capacity_bytes = std::uint64_t{1} << 40;
  if (trouble == 0) return;
  options.write_error = static_cast<std::uint32_t>(random.below(20));
  options.write_short = static_cast<std::uint32_t>(random.below(20));
  options.sync_error = static_cast<std::uint32_t>(random.below(20));
}

void run_seed(std::uint64_t seed, Totals& totals) {
  io::SimRandom random(seed);
  auto world = std::make_unique<io::World>(io::SimOptions::rough(seed));
  Fleet fleet(random, totals, expires(seed));
  for (int number = 0; number < lives_per_seed; ++number) {
    auto life = std::make_unique<Life>(*world, blob_options(seed, random));
    fleet.check(world->sys());
    const std::uint64_t trouble = random.below(3);
    set_trouble(world->options(), trouble, random);
    const std::uint64_t steps = random.below(500);
    for (std::uint64_t step = 0; step < steps; ++step) {
      if (trouble == 2 && random.below(40) == 0) {
        world->options().capacity_bytes = random.below(2'000'000);
      }
      if (trouble == 2 && random.below(10) == 0) {
        world->options().capacity_bytes = std::uint64_t{1} << 40;
      }
      for (std::uint64_t i = random.below(6); i > 0; --i) fleet.step(*life, number > 0);
      life->shard->turn(random.between(0, 2 * ns_per_ms));
      if (random.below(50) == 0) life->keeper->work();
      CHECK(life->store->buffers_in_use() <= life->store->buffer_count());
    }
    if (number + 1 == lives_per_seed) {
      // With the disk well again everything is stored in the end.
      set_trouble(world->options(), 0, random);
      const MonoNs limit = world->now() + 600 * ns_per_s;
      while (!fleet.all_done() && world->now() < limit) {
        fleet.finish_all(*life);
        life->shard->turn(10 * ns_per_ms);
      }
      CHECK(fleet.all_done());
      CHECK(life->store->buffers_in_use() == 0);
    }
    set_trouble(world->options(), 0, random);
    auto next = world->crash();
    totals.reused += life->keeper->counters().spares_used.load();
    life->store->abandon();
    life->writer->abandon();
    life->supply->abandon();
    life.reset();
    world = std::move(next);
    fleet.crashed();
  }
  fleet.check(world->sys());
}

}  // namespace

TEST_CASE("no crash and no failing disk loses a stored blob or leaves a false one") {
  Totals totals;
  sim::for_seeds(120, 5'000, [&](std::uint64_t seed) { run_seed(seed, totals); });
  MESSAGE(totals.stored, " blobs stored, ", totals.failed, " uploads failed, ", totals.resumed,
          " resumed, ", totals.after_restart, " of them after a restart, ", totals.reused,
          " uploads over expired files");
  if (sim::number_from("RG_TEST_SEED", 0) == 0) {
    CHECK(totals.stored > 100);
    CHECK(totals.failed > 10);
    CHECK(totals.after_restart > 10);
    CHECK(totals.reused > 10);
  }
}
