#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "protocols/api/stream_hub.hpp"
#include "tests/unit/api/stream_rig.hpp"

using namespace ringgate;
using namespace ringgate::api;
using namespace ringgate::unit;
using Json = nlohmann::json;

namespace {

constexpr log::NodeId node{0x4f, 0x1c, 0x09, 0xab};
constexpr ShardIndex shards = 2;
constexpr std::uint32_t nobody = 1000;

struct Written {
  ShardIndex shard;
  Position position;
  std::uint64_t device;
  EventType type;
  std::uint64_t number;
};

// A log in memory, and readers of it that take some records at a time.
class Log final : public CatchUps {
 public:
  struct Reader {
    std::shared_ptr<const Subscription> wanted;
    StreamPlace place;
    StreamPlace until;
    bool runs = true;
  };
  std::vector<Written> written;
  std::map<std::uint64_t, Reader> readers;

  const Written& append(ShardIndex shard, std::uint64_t device, EventType type) {
    ends_[shard] += 8;
    written.push_back({shard, ends_[shard] - 8, device, type, written.size()});
    return written.back();
  }
  void begin(std::uint64_t job, std::shared_ptr<const Subscription> wanted,
             const Start& start, const StreamPlace& until) override {
    readers[job] = {std::move(wanted), start.place, until, true};
  }
  void go_on(std::uint64_t job, const StreamPlace& until) override {
    REQUIRE(readers.contains(job));
    CHECK(!readers[job].runs);
    readers[job].runs = true;
    readers[job].until = until;
  }
  void cancel(std::uint64_t job) override { CHECK(readers.erase(job) == 1); }

 private:
  Position ends_[shards] = {0, 0};
};

EventFacts facts_of(const Written& one) {
  EventFacts facts;
  facts.type = one.type;
  facts.device = device(one.device);
  facts.has_place = true;
  facts.latitude_deg = static_cast<double>(one.device);
  facts.alarm = "overspeed";
  return facts;
}
std::string json_of(const Written& one) {
  return fmt::format(R"({{"device":"{}","n":{}}})", one.device, one.number);
}

struct Rig {
  Log log;
  Numbers numbers;
  observe::Registry registry;
  observe::CounterGroup& group = registry.add_group("thread", "test");
  StreamCounters counters{group};
  StreamHub hub{{numbers, nullptr}, node, shards, log, counters};
  MonoNs now = ns_per_s;
  std::size_t read = 0;
  std::map<std::uint32_t, std::vector<Json>> heard;  // by slot
  std::map<std::uint32_t, int> closed;
  std::size_t items = 0;

  Rig() {
    StreamPlace place;
    place.run = 3;
    hub.begin_at(place);
  }
  static ClientKey key(std::uint32_t slot) {
    return {static_cast<ShardIndex>(slot % shards), {slot, 1}};
  }
  void open(std::uint32_t slot, const std::string& subscription) {
    hub.open(key(slot), {}, now);
    say(slot, subscription);
  }
  void say(std::uint32_t slot, const std::string& subscription) {
    hub.said(key(slot), fmt::format(R"({{"subscribe":{}}})", subscription));
  }
  void write(std::uint64_t device, EventType type = EventType::position, ShardIndex shard = 0) {
    log.append(shard, device, type);
  }
  // The Feed's look: up to `most` records.
  void look(std::size_t most = ~std::size_t{0}) {
    hub.tick(now);
    for (; read < log.written.size() && most > 0; ++read, --most) {
      const Written& one = log.written[read];
      MadeEvent event(facts_of(one), json_of(one));
      hub.begin_record({3, one.shard}, one.position + 8);
      if (hub.wants(device(one.device))) hub.take(event);
      hub.record_done();
    }
  }
  // A step of one reader of old log.
  void step(std::uint64_t job, std::size_t most) {
    Log::Reader& reader = log.readers.at(job);
    if (!reader.runs) return;
    reader.runs = false;
    CaughtUp chunk;
    chunk.job = job;
    std::string events;
    bool more = false;
    for (const Written& one : log.written) {
      if (one.position < reader.place.of(one.shard)) continue;
      if (one.position >= reader.until.of(one.shard)) continue;
      if (most-- == 0) {
        more = true;
        break;
      }
      if (reader.wanted->wants(facts_of(one))) {
        if (!events.empty()) events += ',';
        events += json_of(one);
        ++chunk.events;
      }
      reader.place.pass({3, one.shard}, one.position + 8);
    }
    if (!events.empty()) {
      const std::string cursor = to_text(node, reader.place);
      chunk.messages.push_back(
          events_message(json_text(reader.wanted->id), events, 0, cursor));
      chunk.cursors.push_back(cursor);
    }
    chunk.done = !more;
    hub.caught_up(chunk);
  }
  void deliver() {
    for (Delivery& delivery : hub.out()) {
      for (const Delivery::Item& item : delivery.items) {
        ++items;
        for (std::uint32_t i = 0; i < item.refs; ++i) {
          const std::uint32_t slot = delivery.refs[item.first_ref + i].slot;
          const Bytes bytes = Bytes(delivery.bytes).subspan(item.offset, item.size);
          if (slot == nobody) continue;
          if (item.what == Delivery::What::close) {
            closed[slot] = static_cast<int>(item.code);
            continue;
          }
          websocket::FrameHead head;
          REQUIRE(websocket::parse_frame_head(bytes, false, head).complete);
          REQUIRE(bytes.size() == head.size + head.payload_bytes);
          heard[slot].push_back(Json::parse(as_text(bytes.subspan(head.size))));
        }
      }
      const auto jobs = delivery.jobs;
      delivery.clear();
      hub.arrived(jobs);
    }
  }
  // What is on its way to it then never arrives.
  void leave(std::uint32_t slot) {
    hub.gone(key(slot), "left", 0);
    for (Delivery& delivery : hub.out()) {
      for (ClientRef& ref : delivery.refs) {
        if (ref.slot == slot) ref.slot = nobody;
      }
    }
  }
  void pass(MonoNs time) {
    now += time;
    hub.tick(now);
    deliver();
  }
  // Numbers of the events that came, with what came forgotten.
  std::vector<std::uint64_t> take(std::uint32_t slot) {
    std::vector<std::uint64_t> out;
    for (const Json& message : heard[slot]) {
      if (!message.contains("events")) continue;
      for (const Json& event : message["events"]) out.push_back(event["n"]);
    }
    heard[slot].clear();
    return out;
  }
};

using Numbers64 = std::vector<std::uint64_t>;

}  // namespace

TEST_CASE("events of one subscription come in batches: when they are full, or have waited") {
  Rig rig;
  rig.open(0, R"({"id":"a","batch_max":3,"batch_delay":"20ms"})");
  rig.deliver();
  CHECK(rig.heard[0][0]["subscribed"]["cursor"] == "4f1c09ab-3");
  for (int i = 0; i < 4; ++i) rig.write(7);
  rig.look();
  rig.deliver();
  CHECK(rig.take(0) == Numbers64{0, 1, 2});
  rig.pass(14 * ns_per_ms);
  CHECK(rig.take(0).empty());
  rig.pass(6 * ns_per_ms);
  REQUIRE(rig.heard[0].size() == 1);
  CHECK(rig.heard[0][0]["cursor"] == "4f1c09ab-3-4");
  CHECK(rig.take(0) == Numbers64{3});
  CHECK(rig.hub.next_ns() > rig.now);
}

TEST_CASE("an alarm does not wait, and what was before it comes with it") {
  Rig rig;
  rig.open(0, R"({"id":"a","batch_delay":"40ms"})");
  rig.write(7);
  rig.write(8, EventType::alarm);
  rig.write(9);
  rig.look();
  rig.deliver();
  CHECK(rig.take(0) == Numbers64{0, 1});
  rig.pass(40 * ns_per_ms);
  CHECK(rig.take(0) == Numbers64{2});
}

TEST_CASE("who wants the same shares a message; who comes later gets what is later") {
  Rig rig;
  for (std::uint32_t slot = 0; slot < 6; ++slot) rig.open(slot, R"({"id":"a"})");
  rig.deliver();
  rig.items = 0;
  rig.write(1);
  rig.look();
  rig.open(6, R"({"id":"a"})");
  rig.write(2);
  rig.look();
  rig.pass(20 * ns_per_ms);
  CHECK(rig.items == 2 + 1 + 2);  // a message for each shard, twice, and one answer
  for (std::uint32_t slot = 0; slot < 6; ++slot) CHECK(rig.take(slot) == Numbers64{0, 1});
  CHECK(rig.take(6) == Numbers64{1});
  CHECK(rig.counters.groups.value() == 1);
  for (std::uint32_t slot = 0; slot < 7; ++slot) rig.hub.gone(Rig::key(slot), "left", 0);
  CHECK(rig.counters.groups.value() == 0);
  CHECK(!rig.hub.wants(device(1)));
}

TEST_CASE("a subscription with the same id replaces the one before") {
  Rig rig;
  rig.open(0, R"({"id":"map","area":"0,-1,5,1"})");
  rig.write(3);
  rig.look();
  rig.say(0, R"({"id":"map","area":"6,-1,9,1"})");
  rig.write(3);
  rig.write(8);
  rig.look();
  rig.pass(20 * ns_per_ms);
  CHECK(rig.take(0) == Numbers64{0, 2});
}

TEST_CASE("positions of a slow client coalesce to the newest of each device; nothing else does") {
  Rig rig;
  rig.open(0, R"({"id":"a"})");
  rig.open(2, R"({"id":"a"})");
  rig.deliver();
  rig.hub.slow(Rig::key(0), 300'000);
  for (int i = 0; i < 30; ++i) rig.write(static_cast<std::uint64_t>(i % 3));
  rig.write(1, EventType::session);
  rig.write(2);
  rig.look();
  rig.pass(20 * ns_per_ms);
  CHECK(rig.take(0).empty());
  CHECK(rig.take(2).size() == 32);
  CHECK(rig.counters.coalesced.value() == 28);  // counted as it happens: it may never read again
  rig.hub.room(Rig::key(0));
  rig.deliver();
  REQUIRE(rig.heard[0].size() == 1);
  CHECK(rig.heard[0][0]["coalesced"] == 28);
  CHECK(rig.take(0) == Numbers64{27, 28, 30, 31});
  // Then it goes on as before.
  rig.write(5);
  rig.look();
  rig.pass(20 * ns_per_ms);
  CHECK(rig.take(0) == Numbers64{32});
  CHECK(rig.take(2) == Numbers64{32});
  CHECK(rig.closed.empty());
}

TEST_CASE("a client that stays slow is told and closed, and others go on") {
  for (const bool by_time : {true, false}) {
    CAPTURE(by_time);
    Rig rig;
    rig.open(0, R"({"id":"a"})");
    rig.open(1, R"({"id":"a"})");
    rig.deliver();
    rig.hub.slow(Rig::key(0), 300'000);
    if (by_time) {
      for (int i = 0; i < 300; ++i) rig.pass(100 * ns_per_ms);
    } else {
      for (std::uint64_t i = 0; i < 30'000; ++i) rig.write(1'000'000 + i);
      rig.look();
    }
    rig.pass(100 * ns_per_ms);
    REQUIRE(!rig.heard[0].empty());
    CHECK(rig.heard[0].back().contains("slow"));
    CHECK(rig.closed == std::map<std::uint32_t, int>{{0, 1013}});
    rig.take(1);
    rig.write(1);
    rig.look();
    rig.pass(20 * ns_per_ms);
    CHECK(rig.take(1).size() == 1);
    rig.hub.gone(Rig::key(0), "too slow", 5);
    const auto listed = rig.hub.consumers(0);
    REQUIRE(listed.size() == 2);
    CHECK(listed[1].state == "closed");
    CHECK(listed[1].why == "too slow");
    CHECK(listed[1].queued_bytes >= 300'000);
  }
}

TEST_CASE("what is kept for clients is counted for their shards, and given back") {
  Rig rig;
  const auto kept = [&rig](ShardIndex shard) {
    for (Delivery& delivery : rig.hub.out()) delivery = {};
    return rig.hub.kept_bytes(shard);
  };
  CHECK(kept(0) + kept(1) == 0);
  std::string some = "\"0\"";
  for (int i = 1; i < 1000; ++i) some += fmt::format(",\"{}\"", i);
  rig.open(1, fmt::format(R"({{"id":"a","devices":[{}]}})", some));
  CHECK(kept(1) > 1000 * sizeof(DeviceKey));
  CHECK(kept(0) == 0);
  rig.open(0, R"({"id":"a"})");
  const std::uint64_t idle = kept(0);
  CHECK(idle < 2000);
  // A slow one: what is kept of each device, and where it is.
  rig.hub.slow(Rig::key(0), 300'000);
  std::uint64_t said = 0;
  for (std::uint64_t i = 0; i < 3000; ++i) {
    rig.write(1'000'000 + i % 1000);
    said += i < 1000 ? json_of(rig.log.written.back()).size() : 0;
  }
  rig.look();
  CHECK(kept(0) > idle + said);
  CHECK(kept(0) < idle + 1000 * 400);
  rig.hub.room(Rig::key(0));
  CHECK(kept(0) == idle);
  // A batch is nobody's alone.
  const std::uint64_t before = kept(1);
  for (std::uint64_t i = 0; i < 90; ++i) rig.write(2'000'000 + i);
  rig.look();
  CHECK(kept(0) > idle + 500);
  CHECK(kept(1) - before == kept(0) - idle);
  rig.pass(20 * ns_per_ms);
  // So is a window on old log.
  rig.say(0, R"({"id":"old","from":"4f1c09ab-3-0-0"})");
  REQUIRE(rig.log.readers.size() == 1);
  CHECK(kept(0) > stream_limits::catch_up_window_bytes / shards);
  rig.leave(0);
  rig.leave(1);
  CHECK(kept(0) + kept(1) == 0);
}

TEST_CASE("a gap is said to everybody, between what was before and what is after it") {
  Rig rig;
  rig.open(0, R"({"id":"a"})");
  rig.deliver();
  rig.heard.clear();
  rig.write(1);
  rig.look();
  rig.hub.lost(4096);
  rig.write(1);
  rig.look();
  rig.pass(20 * ns_per_ms);
  REQUIRE(rig.heard[0].size() == 3);
  CHECK(rig.heard[0][1] == Json::parse(R"({"gap":{"lost_bytes":4096},"id":"a"})"));
}

TEST_CASE("who seldom gets anything hears where the log is") {
  Rig rig;
  rig.open(0, R"({"id":"a","devices":["77"]})");
  rig.deliver();
  rig.heard.clear();
  rig.write(1);
  rig.look();
  for (int i = 0; i < 16; ++i) rig.pass(ns_per_s);
  REQUIRE(rig.heard[0].size() == 1);
  CHECK(rig.heard[0][0] == Json::parse(R"({"cursor":"4f1c09ab-3-1","id":"a"})"));
}

TEST_CASE("a record's id goes on only where there is one shard") {
  Rig rig;
  rig.open(0, fmt::format(R"({{"id":"a","from":"{}/3-0/8"}})", log::to_text(node)));
  rig.deliver();
  CHECK(rig.heard[0][0]["error"]["detail"].get<std::string>().find("cursor") !=
        std::string::npos);
}

namespace {

// Clients of all kinds against a log that goes on; each must see what it wants of the log once and
// in order, whatever happens. Slow ones may miss older positions, and must be told how many.
class Crowd {
 public:
  explicit Crowd(std::uint64_t seed) : random_(seed) {
    for (std::uint32_t slot = 0; slot < clients; ++slot) {
      members_[slot].only = slot % 3 == 0 ? std::optional<std::uint64_t>(slot % 4) : std::nullopt;
      come(slot);
    }
  }

  void play() {
    for (int step = 0; step < 600; ++step) act();
    for (std::uint32_t slot = 0; slot < clients; ++slot) set_slow(slot, false);
    for (int i = 0; i < 200; ++i) {
      rig_.look();
      for (const std::uint64_t job : jobs()) rig_.step(job, 1000);
      rig_.pass(5 * ns_per_ms);
    }
    for (std::uint32_t slot = 0; slot < clients; ++slot) {
      listen(slot);
      check(slot);
    }
  }
  std::uint64_t reconnects() const { return reconnects_; }
  std::uint64_t coalesced() const { return coalesced_; }

 private:
  static constexpr std::uint32_t clients = 9;
  struct Member {
    std::optional<std::uint64_t> only;  // device
    std::string cursor;
    std::size_t from = 0;  // record that it began with
    Numbers64 seen;
    std::uint64_t coalesced = 0;
    bool slow = false;
  };

  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }

  Numbers64 jobs() const {
    Numbers64 out;
    for (const auto& [job, reader] : rig_.log.readers) out.push_back(job);
    return out;
  }
  void come(std::uint32_t slot) {
    Member& member = members_[slot];
    std::string text = R"({"id":"a","batch_max":5)";
    if (member.only) text += fmt::format(R"(,"devices":["{}"])", *member.only);
    if (!member.cursor.empty()) text += fmt::format(R"(,"from":"{}")", member.cursor);
    if (member.cursor.empty()) member.from = rig_.read;
    rig_.open(slot, text + "}");
  }
  void listen(std::uint32_t slot) {
    Member& member = members_[slot];
    for (const Json& message : rig_.heard[slot]) {
      REQUIRE(!message.contains("error"));
      if (message.contains("events")) {
        for (const Json& event : message["events"]) member.seen.push_back(event["n"]);
      }
      member.coalesced += message.value("coalesced", std::uint64_t{0});
      if (message.contains("cursor")) member.cursor = message["cursor"];
      if (message.contains("subscribed")) member.cursor = message["subscribed"]["cursor"];
      if (message.contains("live")) member.cursor = message["live"]["cursor"];
    }
    rig_.heard[slot].clear();
  }
  void set_slow(std::uint32_t slot, bool slow) {
    Member& member = members_[slot];
    if (member.slow == slow) return;
    member.slow = slow;
    if (slow) return rig_.hub.slow(Rig::key(slot), 300'000);
    rig_.hub.room(Rig::key(slot));
  }
  void act() {
    const auto slot = static_cast<std::uint32_t>(below(clients));
    switch (below(8)) {
      case 0:
      case 1:
      case 2:
        for (std::uint64_t i = 0; i < below(20); ++i) {
          const auto type = below(10) == 0 ? EventType::alarm : EventType::position;
          rig_.write(below(4), type, static_cast<ShardIndex>(below(shards)));
        }
        return;
      case 3:
        return rig_.look(below(30));
      case 4:
        for (const std::uint64_t job : jobs()) {
          if (rig_.log.readers.contains(job)) rig_.step(job, below(25));
        }
        return;
      case 5:
        return rig_.pass(static_cast<MonoNs>(below(15)) * ns_per_ms);
      case 6:  // every third client is never slow, every third keeps its connection
        if (slot % 3 != 1) set_slow(slot, below(3) == 0);
        return;
      default:
        if (slot % 3 == 2 || members_[slot].slow) return;
        // What was made was sent; what waits in a batch comes again.
        rig_.deliver();
        listen(slot);
        rig_.leave(slot);
        ++reconnects_;
        return come(slot);
    }
  }
  void check(std::uint32_t slot) {
    const Member& member = members_[slot];
    CAPTURE(slot);
    Numbers64 wanted;
    for (std::size_t i = member.from; i < rig_.log.written.size(); ++i) {
      const Written& one = rig_.log.written[i];
      if (!member.only || *member.only == one.device) wanted.push_back(one.number);
    }
    CHECK(member.seen.size() + member.coalesced == wanted.size());
    coalesced_ += member.coalesced;
    if (slot % 3 == 1) {
      CHECK(member.coalesced == 0);
      // Old log is told stream by stream where the live one goes as records come.
      Numbers64 seen = member.seen;
      std::ranges::sort(seen);
      REQUIRE(seen == wanted);
    }
    // Of each stream in its order, and nothing twice.
    for (ShardIndex shard = 0; shard < shards; ++shard) {
      std::optional<std::uint64_t> last;
      for (const std::uint64_t number : member.seen) {
        if (rig_.log.written[number].shard != shard) continue;
        REQUIRE((!last || number > *last));
        last = number;
      }
    }
    // Alarms are never left out.
    for (const std::uint64_t number : wanted) {
      if (rig_.log.written[number].type != EventType::alarm) continue;
      REQUIRE(std::ranges::find(member.seen, number) != member.seen.end());
    }
  }

  std::mt19937_64 random_;
  Rig rig_;
  Member members_[clients];
  std::uint64_t reconnects_ = 0;
  std::uint64_t coalesced_ = 0;
};

}  // namespace

TEST_CASE("over seeds nothing is missed or doubled, with slow clients and ones that come again") {
  std::uint64_t reconnects = 0;
  std::uint64_t coalesced = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    Crowd crowd(seed);
    crowd.play();
    reconnects += crowd.reconnects();
    coalesced += crowd.coalesced();
  }
  CHECK(reconnects > 1000);
  CHECK(coalesced > 1000);
}
