// Tails on a simulated machine whose gateway writes, fails, recycles segments and crashes: whatever
// was acknowledged is handed out once, in order, across crashes and restarts of the tail, and
// nothing is handed out that was not committed at that moment. RG_TEST_LONG=1 runs 5,000 seeds;
// RG_TEST_SEED=n runs only that one.
#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "storage/query/tail.hpp"
#include "tests/sim/log_life.hpp"
#include "tests/sim/seeds.hpp"

using namespace ringgate;
using namespace ringgate::log;
using namespace ringgate::sim;

namespace {

constexpr std::uint64_t short_seeds = 300;
constexpr std::uint64_t long_seeds = 5'000;
constexpr int lives_per_seed = 3;
constexpr int steps_per_life = 150;
const std::string data_dir = "/data";

// What varies from seed to seed.
struct Case {
  std::uint64_t seed;
  bool board() const { return seed % 2 == 0; }
  bool trouble() const { return seed / 2 % 2 == 0; }
  bool retention() const { return seed / 4 % 3 == 0; }
  bool lazy() const { return seed / 12 % 2 == 0; }  // the tail looks seldom
};

LogOptions log_options(const Case& c) {
  LogOptions options;
  options.data_dir = data_dir;
  options.segment_size = 64 * 1024;
  options.batch_size = 8 * 1024;
  if (c.retention()) options.retention_bytes = 600 * 1024;
  return options;
}

std::vector<std::uint8_t> content(std::uint64_t number) {
  std::vector<std::uint8_t> bytes(number * 37 % 700);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::uint8_t>(number * 7 + i);
  }
  return bytes;
}

struct Written {
  std::uint64_t number;
  StreamId stream;
  Position end;
};

class History {
 public:
  void append(Life& life, ShardIndex shard) {
    Writer& writer = *life.places[shard].writer;
    const auto payload = content(next_);
    RecordInfo info;
    info.ns = Namespace::phone;
    info.link = next_;
    info.device = "13800138000";
    if (!writer.has_room(payload.size() + info.device.size())) return;
    const Position end = writer.append(info, payload);
    REQUIRE(end != 0);
    waiting_.push_back({next_++, writer.stream(), end});
  }
  void acknowledge(const Life& life) {
    std::erase_if(waiting_, [&](const Written& one) {
      const bool done = one.end <= life.places[one.stream.shard].committed();
      if (done) acknowledged_.push_back(one);
      return done;
    });
  }
  void crashed() { waiting_.clear(); }

  // A tail handed this out.
  void take(const query::Found& found, const Life& life) {
    const std::uint64_t number = found.record.header.link;
    REQUIRE(number < next_);
    CHECK_MESSAGE(seen_.insert(number).second, "record ", number, " is handed out twice");
    const auto payload = content(number);
    CHECK(std::equal(payload.begin(), payload.end(), found.record.payload.begin(),
                     found.record.payload.end()));
    Position& last = last_[found.stream];
    CHECK_MESSAGE(last <= found.record.header.position, "out of order");
    taken_ = {number, found.stream, found.record.header.position};
    last = found.record.end();
    if (found.stream.run != life.dir->run()) return;
    CHECK_MESSAGE(found.record.end() <= life.places[found.stream.shard].committed(), "record ",
                  number, " was not committed");
  }
  void untake() {
    seen_.erase(taken_.number);
    last_[taken_.stream] = taken_.end;
  }
  // Everything acknowledged was handed out, but for what retention took: what it took of runs below
  // `run` while no tail ran is not known to any.
  void check(std::uint64_t lost_bytes, std::uint32_t run) const {
    std::uint64_t missing_bytes = 0;
    for (const Written& one : acknowledged_) {
      if (seen_.contains(one.number) || one.stream.run < run) continue;
      missing_bytes += content(one.number).size();
    }
    CHECK_MESSAGE(missing_bytes <= lost_bytes, missing_bytes, " bytes were not handed out");
  }
  std::size_t acknowledged() const { return acknowledged_.size(); }
  std::size_t seen() const { return seen_.size(); }

 private:
  std::uint64_t next_ = 0;
  Written taken_{};
  std::vector<Written> waiting_;
  std::vector<Written> acknowledged_;
  std::set<std::uint64_t> seen_;
  std::map<StreamId, Position> last_;
};

struct Totals {
  std::uint64_t acknowledged = 0;
  std::uint64_t handed_out = 0;
  std::uint64_t lost_bytes = 0;
  std::uint64_t failures = 0;
};

class Game {
 public:
  explicit Game(std::uint64_t seed)
      : case_{seed},
        random_(seed),
        options_(log_options(case_)),
        world_(std::make_unique<io::World>(io::SimOptions::rough(seed))) {}

  Totals play() {
    for (int number = 0; number < lives_per_seed; ++number) {
      auto life = std::make_unique<Life>(*world_, options_);
      lost_in_life_ = 0;
      open_tail(*life);
      live(*life);
      const bool last = number + 1 == lives_per_seed;
      if (last || random_.below(2) == 0) {
        settle(*life);
        read_all(*life);
        history_.check(tail_->lost_bytes() + lost_in_life_,
                       case_.retention() ? life->dir->run() : 0);
      }
      for (const Place& place : life->places) {
        totals_.failures += place.writer->stats().write_failures;
      }
      close_tail();
      set_trouble(false);
      auto next = world_->crash();
      life->abandon();
      life.reset();
      world_ = std::move(next);
      history_.crashed();
    }
    totals_.acknowledged = history_.acknowledged();
    totals_.handed_out = history_.seen();
    return totals_;
  }

 private:
  void open_tail(const Life& life) {
    const query::Scan::Parts parts{world_->sys(), data_dir, catalogs_,
                                   case_.board() ? life.board.get() : nullptr};
    query::TailStart start;
    if (begun_) {
      const auto kept = cursor_from_text(kept_);
      REQUIRE(kept.ok());
      start = {query::TailStart::Where::cursor, kept->cursor};
    }
    begun_ = true;
    auto tail = query::Tail::open(parts, selection_, start);
    REQUIRE_MESSAGE(tail.ok(), (tail.ok() ? std::string() : tail.error().message));
    tail_ = std::move(*tail);
  }
  void close_tail() {
    kept_ = to_text(tail_->node(), tail_->cursor());
    // What was handed out last is not behind the cursor: it comes again.
    if (held_) history_.untake();
    held_ = false;
    for (const std::string& problem : tail_->problems()) {
      if (!case_.retention()) FAIL_CHECK(problem);
    }
    totals_.lost_bytes += tail_->lost_bytes();
    lost_in_life_ += tail_->lost_bytes();
    tail_.reset();
  }
  void read(Life& life, std::uint64_t most) {
    query::Found found;
    for (std::uint64_t i = 0; i < most; ++i) {
      held_ = tail_->next(found);
      if (!held_) return;
      history_.take(found, life);
    }
  }
  void read_all(Life& life) {
    // An idle stream proves its last batch within two mark intervals; listings come each second.
    const MonoNs until = world_->now() + 4 * ns_per_s;
    while (world_->now() < until) {
      for (Place& place : life.places) place.shard->turn(50 * ns_per_ms);
      history_.acknowledge(life);
      REQUIRE(tail_->refresh());
      read(life, ~std::uint64_t{0});
    }
    CHECK(tail_->lag().oldest_us == 0);
    CHECK(tail_->lag().bytes <= 2 * shards * record_header_size);
  }
  void live(Life& life) {
    set_trouble(case_.trouble());
    for (std::uint64_t step = random_.below(steps_per_life); step > 0; --step) {
      for (ShardIndex i = 0; i < shards; ++i) {
        for (std::uint64_t n = random_.below(30); n > 0; --n) history_.append(life, i);
        life.places[i].shard->turn(random_.between(0, 2 * ns_per_ms));
      }
      history_.acknowledge(life);
      if (random_.below(case_.lazy() ? 40 : 3) != 0) continue;
      REQUIRE(tail_->refresh());
      read(life, random_.below(100));
      if (random_.below(10) != 0) continue;
      close_tail();
      open_tail(life);
    }
  }
  void settle(Life& life) {
    set_trouble(false);
    const MonoNs limit = world_->now() + 60 * ns_per_s;
    const auto settled = [&] {
      for (const Place& place : life.places) {
        if (!place.writer->all_committed()) return false;
      }
      return true;
    };
    while (!settled() && world_->now() < limit) {
      for (Place& place : life.places) place.shard->turn(10 * ns_per_ms);
    }
    CHECK(settled());
    history_.acknowledge(life);
  }
  void set_trouble(bool on) {
    io::SimOptions& options = world_->options();
    options.write_error = on ? static_cast<std::uint32_t>(random_.below(80)) : 0;
    options.write_short = on ? static_cast<std::uint32_t>(random_.below(40)) : 0;
    options.sync_error = on ? static_cast<std::uint32_t>(random_.below(60)) : 0;
    options.write_no_space = on ? static_cast<std::uint32_t>(random_.below(60)) : 0;
  }

  Case case_;
  io::SimRandom random_;
  LogOptions options_;
  std::unique_ptr<io::World> world_;
  event::CatalogSet catalogs_;
  query::Selection selection_;
  std::unique_ptr<query::Tail> tail_;
  bool begun_ = false;
  bool held_ = false;  // next() has handed out a record and was not called again
  std::string kept_;
  History history_;
  Totals totals_;
  std::uint64_t lost_in_life_ = 0;
};

}  // namespace

TEST_CASE("a tail hands out what was acknowledged, once and in order, and nothing else") {
  std::uint64_t seeds = 0;
  Totals all;
  sim::for_seeds(short_seeds, long_seeds, [&](std::uint64_t seed) {
    ++seeds;
    const Totals totals = Game(seed).play();
    all.acknowledged += totals.acknowledged;
    all.handed_out += totals.handed_out;
    all.lost_bytes += totals.lost_bytes;
    all.failures += totals.failures;
  });
  MESSAGE(seeds, " seeds, ", all.acknowledged, " records acknowledged, ",
          all.handed_out, " handed out, ", all.lost_bytes, " bytes taken by retention, ",
          all.failures, " failed writes");
  if (seeds >= short_seeds) {
    CHECK(all.acknowledged > 10'000);
    CHECK(all.failures > 10);
    CHECK(all.lost_bytes > 0);
  }
}
