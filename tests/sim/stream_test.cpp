// The live stream on a simulated machine whose gateway writes, fails and crashes: subscribers that
// come and go, are slow, and go on from cursors (also over crashes) are told every record that was
// acknowledged once, each stream in its order, and nothing that was not committed at that moment.
// RG_TEST_LONG=1 plays 3,000 seeds; RG_TEST_SEED=n plays only that one.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "protocols/api/catch_up.hpp"
#include "tests/sim/log_life.hpp"
#include "tests/sim/seeds.hpp"
#include "tests/unit/api/stream_rig.hpp"

using namespace ringgate;
using namespace ringgate::log;
using namespace ringgate::sim;
using Json = nlohmann::json;

namespace {

constexpr std::uint64_t short_seeds = 60;
constexpr std::uint64_t long_seeds = 3'000;
constexpr int lives_per_seed = 3;
constexpr int steps_per_life = 120;
constexpr std::uint32_t clients = 6;
constexpr std::uint64_t devices = 5;
constexpr std::size_t missed_records = 3'000;
const std::string data_dir = "/data";

struct RecordKey {
  StreamId stream;
  Position position = 0;
  friend auto operator<=>(const RecordKey&, const RecordKey&) = default;
};

struct Written {
  RecordKey key;
  Position end = 0;
  std::uint64_t device = 0;
};

// Whoever listens, over lives and connections.
struct Client {
  std::optional<std::uint64_t> only;
  std::string cursor;
  std::set<RecordKey> seen;
  std::map<StreamId, Position> last;
  bool slow = false;
};

struct Totals {
  std::uint64_t acknowledged = 0;
  std::uint64_t told = 0;
  std::uint64_t caught_up = 0;
};

// Readers of old log without a thread: the real ones, stepped when the dice say so.
class Readers final : public api::CatchUps {
 public:
  struct One {
    std::unique_ptr<api::LogReader> reader;
    bool runs = true;
  };
  std::map<std::uint64_t, One> all;

  void begin(std::uint64_t job, std::shared_ptr<const api::Subscription> wanted,
             const Start& start, const api::StreamPlace& until) override {
    all[job].reader = std::make_unique<api::LogReader>(job, std::move(wanted), start, until);
  }
  void go_on(std::uint64_t job, const api::StreamPlace& until) override {
    all.at(job).runs = true;
    all.at(job).reader->read_until(until);
  }
  void cancel(std::uint64_t job) override { all.erase(job); }
};

// What lives as long as a gateway's process.
struct Gateway {
  Gateway(io::World& world, const LogOptions& options)
      : life(world, options),
        parts{world.sys(), data_dir, catalogs, life.board.get()},
        source(catalogs, Namespace::phone, life.dir->node()),
        hub({numbers, nullptr}, life.dir->node(), shards, readers, counters) {
    auto opened = query::Tail::open(parts, {}, {query::TailStart::Where::end, {}});
    REQUIRE_MESSAGE(opened.ok(), (opened.ok() ? std::string() : opened.error().message));
    tail = std::move(*opened);
    hub.begin_at(api::place_of(tail->cursor()));
  }

  Life life;
  event::CatalogSet catalogs;
  query::Scan::Parts parts;
  unit::Numbers numbers;
  observe::Registry registry;
  api::StreamCounters counters{registry.add_group("thread", "test")};
  api::EventSource source;
  Readers readers;
  api::StreamHub hub;
  std::unique_ptr<query::Tail> tail;
};

class Game {
 public:
  explicit Game(std::uint64_t seed)
      : trouble_(seed % 2 == 0), random_(seed),
        world_(std::make_unique<io::World>(io::SimOptions::rough(seed))) {
    options_.data_dir = data_dir;
    options_.segment_size = 64 * 1024;
    options_.batch_size = 8 * 1024;
    for (std::uint32_t slot = 0; slot < clients; ++slot) {
      if (slot % 2 == 1) clients_[slot].only = slot % devices;
    }
  }

  // A whole life that a client did not hear of, more than a reader's step, and then a gateway that
  // writes nothing: what was missed comes before the stream is live.
  void play_silence_after_crash() {
    gateway_ = std::make_unique<Gateway>(*world_, options_);
    for (std::uint32_t slot = 0; slot < clients; ++slot) come(slot);
    while (acknowledged_.size() < missed_records) {
      for (ShardIndex i = 0; i < shards; ++i) {
        for (int n = 0; n < 20; ++n) append(i);
        gateway_->life.places[i].shard->turn(2 * ns_per_ms);
      }
      acknowledge();
    }
    auto next = world_->crash();
    gateway_->life.abandon();
    gateway_.reset();
    world_ = std::move(next);
    waiting_.clear();
    gateway_ = std::make_unique<Gateway>(*world_, options_);
    for (std::uint32_t slot = 0; slot < clients; ++slot) come(slot);
    finish();
  }

  Totals play() {
    for (int number = 0; number < lives_per_seed; ++number) {
      gateway_ = std::make_unique<Gateway>(*world_, options_);
      for (std::uint32_t slot = 0; slot < clients; ++slot) come(slot);
      live();
      if (number + 1 == lives_per_seed || random_.below(2) == 0) finish();
      totals_.caught_up += gateway_->counters.catch_ups.value();
      set_trouble(false);
      auto next = world_->crash();
      gateway_->life.abandon();
      gateway_.reset();
      world_ = std::move(next);
      waiting_.clear();
    }
    totals_.acknowledged = acknowledged_.size();
    return totals_;
  }

 private:
  static api::ClientKey key(std::uint32_t slot) {
    return {static_cast<ShardIndex>(slot % shards), {slot, 1}};
  }
  void come(std::uint32_t slot) {
    Client& client = clients_[slot];
    client.slow = false;
    Json wanted = {{"id", "a"}, {"types", {"message"}}, {"batch_max", 1 + random_.below(9)}};
    if (client.only) wanted["devices"] = {std::to_string(*client.only)};
    // The first is there from the beginning, when the log is empty.
    if (!client.cursor.empty()) wanted["from"] = client.cursor;
    gateway_->hub.open(key(slot), {}, world_->now());
    gateway_->hub.said(key(slot), Json{{"subscribe", wanted}}.dump());
    deliver();
  }
  void append(ShardIndex shard) {
    Writer& writer = *gateway_->life.places[shard].writer;
    const std::vector<std::uint8_t> payload(random_.below(500));
    const std::uint64_t number = random_.below(devices);
    const std::string device = std::to_string(number);
    RecordInfo info;
    info.ns = Namespace::phone;
    info.device = device;
    if (!writer.has_room(payload.size() + device.size())) return;
    const Position end = writer.append(info, payload);
    REQUIRE(end != 0);
    const Position size = padded_size(record_header_size + device.size() + payload.size());
    waiting_.push_back({{writer.stream(), end - size}, end, number});
  }
  void acknowledge() {
    std::erase_if(waiting_, [&](const Written& one) {
      const bool done =
          one.end <= gateway_->life.places[one.key.stream.shard].committed();
      if (done) acknowledged_.push_back(one);
      return done;
    });
  }
  // The Feed's look at the log.
  void look(std::uint64_t most) {
    gateway_->hub.tick(world_->now());
    REQUIRE(gateway_->tail->refresh());
    query::Found found;
    for (; most > 0 && gateway_->tail->next(found); --most) {
      gateway_->hub.begin_record(found.stream, found.record.end());
      gateway_->source.read(found, gateway_->hub);
      gateway_->hub.record_done();
    }
  }
  void step_readers() {
    std::vector<std::uint64_t> jobs;
    for (const auto& [job, one] : gateway_->readers.all) {
      if (one.runs) jobs.push_back(job);
    }
    for (const std::uint64_t job : jobs) {
      const auto found = gateway_->readers.all.find(job);
      if (found == gateway_->readers.all.end()) continue;
      found->second.runs = false;
      if (random_.below(4) == 0) found->second.reader->rest();
      gateway_->hub.caught_up(found->second.reader->step(gateway_->parts, gateway_->source));
    }
  }
  void deliver() {
    for (api::Delivery& delivery : gateway_->hub.out()) {
      for (const api::Delivery::Item& item : delivery.items) {
        REQUIRE(item.what == api::Delivery::What::send);
        for (std::uint32_t i = 0; i < item.refs; ++i) {
          if (delivery.refs[item.first_ref + i].slot == clients) continue;
          const Bytes bytes = Bytes(delivery.bytes).subspan(item.offset, item.size);
          websocket::FrameHead head;
          REQUIRE(websocket::parse_frame_head(bytes, false, head).complete);
          hear(clients_[delivery.refs[item.first_ref + i].slot],
               Json::parse(as_text(bytes.subspan(head.size))));
        }
      }
      const auto jobs = delivery.jobs;
      delivery.clear();
      gateway_->hub.arrived(jobs);
    }
  }
  void hear(Client& client, const Json& message) {
    REQUIRE_MESSAGE(!message.contains("error"), message.dump());
    REQUIRE_MESSAGE(!message.contains("gap"), message.dump());
    for (const Json& event : message.value("events", Json::array())) take(client, event);
    for (const char* with : {"subscribed", "live"}) {
      if (message.contains(with)) client.cursor = message[with]["cursor"];
    }
    client.cursor = message.value("cursor", client.cursor);
  }
  void take(Client& client, const Json& event) {
    const std::string id = event["record"];
    const auto read =
        cursor_from_text(fmt::format("{} <0 {}", id.substr(0, 36), id.substr(37)));
    REQUIRE(read.ok());
    const auto& [stream, position] = *read->cursor.positions().begin();
    CHECK_MESSAGE(client.seen.insert({stream, position}).second, id, " came twice");
    if (client.only) CHECK(event["device"] == std::to_string(*client.only));
    Position& last = client.last[stream];
    CHECK_MESSAGE(position >= last, id, " is out of order");
    last = position;
    ++totals_.told;
    if (stream.run != gateway_->life.dir->run()) return;
    CHECK_MESSAGE(position < gateway_->life.places[stream.shard].committed(), id,
                  " was not committed");
  }
  void live() {
    set_trouble(trouble_);
    for (std::uint64_t step = random_.below(steps_per_life); step > 0; --step) {
      for (ShardIndex i = 0; i < shards; ++i) {
        for (std::uint64_t n = random_.below(20); n > 0; --n) append(i);
        gateway_->life.places[i].shard->turn(random_.between(0, 2 * ns_per_ms));
      }
      acknowledge();
      if (random_.below(2) == 0) look(random_.below(150));
      if (random_.below(3) == 0) step_readers();
      if (random_.below(4) != 0) deliver();
      disturb(static_cast<std::uint32_t>(random_.below(clients)));
    }
  }
  // The first never is; the last are slow, the others come again and again.
  void disturb(std::uint32_t slot) {
    Client& client = clients_[slot];
    if (slot == 0 || random_.below(2) == 0) return;
    if (slot >= clients - 2) {
      client.slow = !client.slow;
      if (client.slow) return gateway_->hub.slow(key(slot), 300'000);
      return gateway_->hub.room(key(slot));
    }
    // Some of what was sent is read before it leaves.
    if (random_.below(2) == 0) deliver();
    gateway_->hub.gone(key(slot), "left", 0);
    for (api::Delivery& delivery : gateway_->hub.out()) {
      for (api::ClientRef& ref : delivery.refs) {
        if (ref.slot == slot) ref.slot = clients;  // never arrives
      }
    }
    come(slot);
  }
  void finish() {
    set_trouble(false);
    for (std::uint32_t slot = 0; slot < clients; ++slot) {
      if (std::exchange(clients_[slot].slow, false)) gateway_->hub.room(key(slot));
    }
    const MonoNs until = world_->now() + 5 * ns_per_s;
    while (world_->now() < until) {
      for (Place& place : gateway_->life.places) place.shard->turn(25 * ns_per_ms);
      acknowledge();
      look(~std::uint64_t{0});
      step_readers();
      deliver();
    }
    CHECK(waiting_.empty());
    CHECK(gateway_->readers.all.empty());
    for (std::uint32_t slot = 0; slot < clients; ++slot) check(slot);
  }
  void check(std::uint32_t slot) const {
    const Client& client = clients_[slot];
    CAPTURE(slot);
    for (const Written& one : acknowledged_) {
      if (client.only && *client.only != one.device) continue;
      CHECK_MESSAGE(client.seen.contains(one.key), one.key.stream.run, "-",
                    one.key.stream.shard, "/", one.key.position, " was missed");
    }
  }
  void set_trouble(bool on) {
    io::SimOptions& options = world_->options();
    options.write_error = on ? static_cast<std::uint32_t>(random_.below(80)) : 0;
    options.write_short = on ? static_cast<std::uint32_t>(random_.below(40)) : 0;
    options.sync_error = on ? static_cast<std::uint32_t>(random_.below(60)) : 0;
    options.write_no_space = on ? static_cast<std::uint32_t>(random_.below(60)) : 0;
  }

  bool trouble_;
  io::SimRandom random_;
  LogOptions options_;
  std::unique_ptr<io::World> world_;
  std::unique_ptr<Gateway> gateway_;
  Client clients_[clients];
  std::vector<Written> waiting_;
  std::vector<Written> acknowledged_;
  Totals totals_;
};

}  // namespace

TEST_CASE("subscribers are told what was acknowledged, once, in order, and nothing above it") {
  std::uint64_t seeds = 0;
  Totals all;
  sim::for_seeds(short_seeds, long_seeds, [&](std::uint64_t seed) {
    ++seeds;
    const Totals totals = Game(seed).play();
    all.acknowledged += totals.acknowledged;
    all.told += totals.told;
    all.caught_up += totals.caught_up;
  });
  MESSAGE(seeds, " seeds, ", all.acknowledged, " records acknowledged, ", all.told, " told, ",
          all.caught_up, " times from a cursor");
  if (seeds >= short_seeds) {
    CHECK(all.acknowledged > 10'000);
    CHECK(all.caught_up > 1'000);
  }
}

TEST_CASE("a resume over a restart is told all of the earlier run, though the new one is silent") {
  sim::for_seeds(10, 100, [](std::uint64_t seed) {
    Game(2 * seed + 1).play_silence_after_crash();  // odd: nothing fails but the process
  });
}
