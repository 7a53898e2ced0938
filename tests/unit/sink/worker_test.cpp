// The worker of a sink against targets that fail in every way, and a log in memory.
#include "storage/sink/worker.hpp"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <thread>

#include "storage/sink/counters.hpp"
#include "storage/sink/cursor_file.hpp"
#include "tests/unit/sink/memory_log.hpp"

using namespace ringgate;
using namespace ringgate::sink;
using Where = query::TailStart::Where;

namespace {

using Id = std::pair<log::StreamId, Position>;

struct Folder {
  Folder() {
    char name[] = "/tmp/ringgate-sink-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    path = name;
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string path;
};

// What lies behind the connection. All targets of a test share it; a lock guards it.
struct OtherSide {
  std::mutex mutex;
  std::condition_variable changed;
  std::mt19937_64 random;
  double failing = 0;       // how often a call fails,
  bool keeps = false;       // keeps the cursor in the batch's transaction
  bool frozen = false;      // calls wait until this or stop() ends it
  bool stopped = false;
  std::uint64_t waiting = 0;
  std::set<std::string> bad;  // payloads that it will never take
  std::map<Id, int> taken;    // how often
  std::set<Id> confirmed;     // of batches whose write() said yes
  std::set<Id> skipped;       // was told bad_record
  std::optional<log::Cursor> cursor;
  std::uint64_t opens = 0, writes = 0, rows = 0;
  std::size_t largest = 0;

  bool chance(double often) { return std::uniform_real_distribution<>(0, 1)(random) < often; }
  Trouble some_trouble() {
    const auto which = static_cast<Failure>(random() % 4);
    return {which, "made up", 0};
  }
};

class TestTarget final : public Target {
 public:
  explicit TestTarget(OtherSide& side) : side_(side) {}

  bool keeps_cursor() const override { return side_.keeps; }
  Result<std::optional<log::Cursor>, Trouble> open() override {
    std::unique_lock lock(side_.mutex);
    if (!passes(lock)) return Trouble{Failure::unreachable, "stopped", 0};
    CHECK(!open_);
    ++side_.opens;
    if (side_.chance(side_.failing)) return side_.some_trouble();
    open_ = true;
    return side_.keeps ? side_.cursor : std::optional<log::Cursor>{};
  }
  Result<void, Trouble> write(const Batch& batch) override {
    std::unique_lock lock(side_.mutex);
    CHECK(open_);
    CHECK(!batch.items.empty());
    if (!passes(lock)) return Trouble{Failure::unreachable, "stopped", 0};
    ++side_.writes;
    side_.largest = std::max(side_.largest, batch.items.size());
    if (side_.chance(side_.failing)) return side_.some_trouble();
    for (std::size_t i = 0; i < batch.items.size(); ++i) {
      const Item& item = batch.items[i];
      const std::string text(item.view.payload.begin(), item.view.payload.end());
      if (side_.bad.contains(text)) {
        side_.skipped.insert({item.stream, item.position});
        return Trouble{Failure::bad_record, "no such thing", i};
      }
      // Without a transaction, what came before a failure is there.
      if (!side_.keeps) ++side_.taken[{item.stream, item.position}];
    }
    if (side_.keeps) {
      for (const Item& item : batch.items) ++side_.taken[{item.stream, item.position}];
      side_.cursor = batch.cursor;
    }
    // It has all, and the answer is lost.
    if (side_.chance(side_.failing)) return Trouble{Failure::unreachable, "answer lost", 0};
    for (const Item& item : batch.items) side_.confirmed.insert({item.stream, item.position});
    side_.rows += batch.items.size();
    return {};
  }
  std::uint64_t rows_written() const override { return side_.rows; }
  void close() override { open_ = false; }
  void stop() override {
    const std::lock_guard lock(side_.mutex);
    side_.stopped = true;
    side_.changed.notify_all();
  }

 private:
  bool passes(std::unique_lock<std::mutex>& lock) {
    ++side_.waiting;
    side_.changed.notify_all();
    side_.changed.wait(lock, [&] { return !side_.frozen || side_.stopped; });
    --side_.waiting;
    return !side_.stopped;
  }
  OtherSide& side_;
  bool open_ = false;
};

struct Rig {
  explicit Rig(std::uint64_t seed = 1)
      : logger({.delivery = observe::Delivery::immediate, .sink = [](std::string_view) {}}),
        logs(logger.add_source("sink")) {
    side.random.seed(seed);
    options.name = "test";
    options.batch_records = 16;
    options.batch_delay_ns = 0;
    options.retry_first_ns = 1;
    options.retry_longest_ns = 50 * ns_per_us;
  }
  ~Rig() { end(); }
  void begin() {
    {
      const std::lock_guard lock(side.mutex);
      side.stopped = false;
    }
    auto& group = registry.add_group("sink", "test");
    auto started = Worker::start(
        {.sys = io::real_sys(), .data_dir = folder.path, .node = {}, .catalogs = catalogs,
         .open_tail = [this](const query::TailStart& start)
             -> Result<std::unique_ptr<query::Tail>> { return memory.tail(start); },
         .holds = holds, .counters = group, .logs = logs},
        options, [this] { return std::make_unique<TestTarget>(side); });
    REQUIRE(started.ok());
    worker = std::move(*started);
  }
  void end() { worker.reset(); }

  void fill(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      const auto shard = static_cast<ShardIndex>(memory.size() % 3);
      memory.append({1, shard}, "d", fmt::format("{}", memory.size()));
    }
  }
  // The condition is asked under the other side's lock; only a hang makes it fail.
  template <class Condition>
  bool until(Condition condition) {
    for (int i = 0; i < 60'000; ++i) {
      {
        std::unique_lock lock(side.mutex);
        if (condition()) return true;
        side.changed.wait_for(lock, std::chrono::milliseconds(1));
      }
    }
    return false;
  }
  // The same of what the worker tells. Not under the other side's lock: the worker asks its target
  // for that one while it holds its own.
  template <class Condition>
  bool until_told(Condition condition) {
    for (int i = 0; i < 60'000; ++i) {
      if (condition(worker->status())) return true;
      std::unique_lock lock(side.mutex);
      side.changed.wait_for(lock, std::chrono::milliseconds(1));
    }
    return false;
  }
  std::optional<log::Cursor> kept() {
    CursorFile file(io::real_sys(), folder.path, "test", {});
    auto loaded = file.load();
    REQUIRE(loaded.ok());
    if (!*loaded) return {};
    return (*loaded)->cursor;
  }
  // No cursor that anybody can see passes a record that is not confirmed.
  void check_cursors() {
    const auto file = kept();
    const std::size_t size = memory.size();
    const std::lock_guard lock(side.mutex);
    for (std::size_t i = 0; i < size; ++i) {
      const MemoryLog::Entry entry = memory.at(i);
      const Id id{entry.stream, entry.position};
      const bool done = side.confirmed.contains(id) || side.skipped.contains(id) ||
                        (side.keeps && side.taken.contains(id));
      if (done) continue;
      if (file) CHECK(file->start_of(entry.stream).value_or(~Position{0}) <= entry.position);
      CHECK(!holds.holders(entry.stream, entry.position + 1).empty());
    }
  }
  bool all_done() {
    return side.confirmed.size() + side.skipped.size() >= memory.size() ||
           (side.keeps && side.taken.size() + side.skipped.size() >= memory.size());
  }

  Folder folder;
  MemoryLog memory;
  log::Holds holds;
  observe::Registry registry;
  observe::Logger logger;
  observe::LogSource& logs;
  event::CatalogSet catalogs;
  OtherSide side;
  WorkerOptions options;
  std::unique_ptr<Worker> worker;
};

}  // namespace

TEST_CASE("records reach the target once, in the order of each stream, in batches") {
  Rig rig;
  rig.fill(100);
  rig.begin();
  REQUIRE(rig.until([&] { return rig.side.confirmed.size() == 100; }));
  rig.fill(7);
  REQUIRE(rig.until([&] { return rig.side.confirmed.size() == 107; }));
  rig.end();
  CHECK(rig.side.largest == 16);
  for (const auto& [id, times] : rig.side.taken) CHECK(times == 1);
  CHECK(rig.kept() == rig.memory.end());
  CHECK(rig.registry.total(sink_records) == 107);
  CHECK(rig.registry.total(sink_rows) == 107);
  CHECK(rig.registry.total(sink_failures) == 0);
}

TEST_CASE("whatever fails, no cursor passes an unconfirmed record, and nothing is lost") {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    Rig rig(seed);
    std::mt19937_64 random(seed);
    rig.side.keeps = seed % 2 == 0;
    rig.side.failing = 0.1 * static_cast<double>(seed % 5);
    if (seed % 3 == 0) rig.side.bad = {"5", "6", "77", "120"};
    rig.begin();
    for (int step = 0; step < 30; ++step) {
      rig.fill(random() % 20);
      switch (random() % 8) {
        case 0: rig.worker->pause(); break;
        case 1: rig.worker->resume(); break;
        case 2:
          rig.end();  // the process ends and starts again,
          if (random() % 2 == 0) std::filesystem::remove_all(rig.folder.path + "/sink");
          rig.begin();
          break;
        default: std::this_thread::yield(); break;
      }
      rig.check_cursors();
    }
    rig.worker->resume();
    REQUIRE(rig.until([&] { return rig.all_done(); }));
    rig.check_cursors();
    rig.end();
    rig.check_cursors();
    CHECK(rig.all_done());
    // Rows and cursor in one transaction: exactly once, whatever the data directory says.
    for (const auto& [id, times] : rig.side.taken) CHECK((!rig.side.keeps || times == 1));
    for (const Id& id : rig.side.skipped) CHECK(!rig.side.confirmed.contains(id));
  }
}

TEST_CASE("a seek wins over the cursor that the target keeps, also over a restart") {
  Rig rig;
  rig.side.keeps = true;
  rig.fill(50);
  rig.begin();
  REQUIRE(rig.until([&] { return rig.side.taken.size() == 50; }));
  {
    const std::lock_guard lock(rig.side.mutex);
    rig.side.frozen = true;
  }
  rig.worker->seek({Where::beginning, {}});
  // In its first call after the seek, before any batch is taken: the gateway ends here.
  REQUIRE(rig.until([&] { return rig.side.waiting == 1; }));
  rig.end();
  for (const auto& [id, times] : rig.side.taken) CHECK(times == 1);
  rig.side.frozen = false;
  rig.begin();
  REQUIRE(rig.until([&] {
    for (const auto& [id, times] : rig.side.taken) {
      if (times != 2) return false;
    }
    return true;
  }));
  rig.end();
  // And now the target's cursor wins again.
  std::filesystem::remove_all(rig.folder.path + "/sink");
  rig.begin();
  rig.fill(1);
  REQUIRE(rig.until([&] { return rig.side.taken.size() == 51; }));
  rig.end();
  int most = 0;
  for (const auto& [id, times] : rig.side.taken) most = std::max(most, times);
  CHECK(most == 2);
}

TEST_CASE("a target that lost everything is filled again from the beginning, or goes on") {
  for (const Where from : {Where::beginning, Where::end}) {
    Rig rig;
    rig.side.keeps = true;
    rig.options.start.where = from;
    if (from == Where::beginning) rig.fill(30);
    rig.begin();
    if (from == Where::end) {
      REQUIRE(rig.until([&] { return rig.kept().has_value(); }));
      rig.fill(30);
    }
    REQUIRE(rig.until([&] { return rig.side.taken.size() == 30; }));
    rig.end();
    rig.side.taken.clear();
    rig.side.confirmed.clear();
    rig.side.cursor.reset();
    rig.fill(5);
    rig.begin();
    const std::size_t wanted = from == Where::beginning ? 35 : 5;
    REQUIRE(rig.until([&] { return rig.side.taken.size() == wanted; }));
    rig.end();
    CHECK(rig.side.taken.size() == wanted);
  }
}

TEST_CASE("stop ends a target that hangs; pause and status wait for nobody") {
  Rig rig;
  rig.side.frozen = true;
  rig.fill(10);
  rig.begin();
  REQUIRE(rig.until([&] { return rig.side.waiting == 1; }));
  rig.worker->pause();
  rig.worker->resume();
  static_cast<void>(rig.worker->status());
  rig.worker->stop();
  rig.end();
  CHECK(rig.side.confirmed.empty());
  CHECK(rig.registry.total(sink_failures) == 0);  // we made it fail
}

TEST_CASE("a cursor of many streams is read as it was kept") {
  Rig rig;
  log::Cursor cursor;
  for (std::uint32_t run = 10; run < 20; ++run) {
    for (ShardIndex shard = 0; shard < 64; ++shard) cursor.set({run, shard}, 123'456'789'000 + run);
  }
  cursor.finish_runs_below(10);
  CursorFile file(io::real_sys(), rig.folder.path, "many", {});
  REQUIRE(file.save({cursor, true}).ok());
  const auto loaded = file.load();
  REQUIRE(loaded.ok());
  REQUIRE(loaded->has_value());
  CHECK((*loaded)->cursor == cursor);
  CHECK((*loaded)->sought);
}

TEST_CASE("paused: nothing goes out, the cursor is kept, the lag is told") {
  Rig rig;
  rig.fill(10);
  rig.begin();
  REQUIRE(rig.until([&] { return rig.side.confirmed.size() == 10; }));
  rig.worker->pause();
  REQUIRE(rig.until_told([](const Status& told) { return told.state == State::paused; }));
  CHECK(rig.kept() == rig.memory.end());
  const std::uint64_t writes = rig.side.writes;
  rig.fill(10);
  REQUIRE(rig.until_told([](const Status& told) { return told.lag_bytes > 0; }));
  CHECK(rig.worker->status().lag_s > 0);
  CHECK(rig.side.writes == writes);
  rig.worker->resume();
  REQUIRE(rig.until([&] { return rig.side.confirmed.size() == 20; }));
}

TEST_CASE("a cursor file that is none, or of another node, is an error that names the file") {
  Rig rig;
  std::filesystem::create_directories(rig.folder.path + "/sink");
  const std::string path = rig.folder.path + "/sink/test.cursor";
  const std::string other = "00000000-0000-0000-0000-000000000001 <0 1-0/64\n";
  for (const std::string& text : {std::string("nonsense\n"), std::string(), other}) {
    std::ofstream(path, std::ios::trunc) << text;
    CursorFile file(io::real_sys(), rig.folder.path, "test", {});
    const auto loaded = file.load();
    REQUIRE(!loaded.ok());
    CHECK(loaded.error().message.find(path) != std::string::npos);
  }
}
