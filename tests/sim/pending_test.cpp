// Commands that wait for their terminals, on simulated machines that lose their power. What a
// caller was told to wait is never lost: it reaches its terminal, or ends with a reason; never sent
// after its time, nor after its end, and each time noted before.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/base/hex.hpp"
#include "engine/base/json_scan.hpp"
#include "storage/log/reader.hpp"
#include "storage/state/values.hpp"
#include "tests/sim/gateway.hpp"
#include "tests/sim/recruit.hpp"
#include "tests/sim/seeds.hpp"

namespace {

using namespace ringgate;
using event::CommandOutcome;
using event::CommandStatus;
using sim::Gateway;
using sim::Recruit;

constexpr std::uint16_t raw_message = 0x8f01;  // in no table; answered by 0x0001, or not at all

struct Order {
  std::string phone;
  WallUs expires_us = 0;
  std::vector<CommandOutcome> told;
  std::uint64_t id() const { return told.empty() ? 0 : told.front().pending; }
};
class Waiter final : public event::CommandWaiter {
 public:
  explicit Waiter(std::shared_ptr<Order> order) : order_(std::move(order)) {}
  void on_outcome(const DeviceKey&, CommandOutcome outcome) override {
    order_->told.push_back(std::move(outcome));
  }

 private:
  std::shared_ptr<Order> order_;
};

// What the log says of an order, which it names by number.
struct Story {
  std::uint64_t id = 0;  // once it waits
  std::uint32_t tries_noted = 0;
  std::uint32_t intents = 0;
  std::string how;
  std::string detail;
};

std::string text_of(std::string_view json, std::string_view name) {
  const std::string_view value = scan_json_object(json, name).member;
  return std::string(value.size() < 2 ? value : value.substr(1, value.size() - 2));
}
std::uint64_t number_of(std::string_view json, std::string_view name) {
  const std::string text(scan_json_object(json, name).member);
  return text.empty() ? 0 : std::stoull(text);
}

struct Scenario {
  explicit Scenario(std::uint64_t with_seed, bool sync = true)
      : seed(with_seed), world(std::make_unique<io::World>(io::SimOptions::rough(with_seed))) {
    options.pending = true;
    options.sync = sync;
    options.shards = static_cast<ShardIndex>(1 + seed % 2);
    options.idle_timeout_ms = 3'600'000;
    options.commands = {.timeout_ns = 20 * ns_per_ms,
                        .retries = static_cast<std::uint32_t>(seed % 3),
                        .window = static_cast<std::uint32_t>(1 + seed % 5),
                        .queue = static_cast<std::uint32_t>(2 + seed % 7)};
    for (std::uint64_t i = 0; i < 4; ++i) {
      recruits.push_back(std::make_unique<Recruit>(
          *world, 13'900'000'000 + i * 7'919,
          i % 2 == 0 ? jt808::Version::v2013 : jt808::Version::v2019));
    }
    gateway = std::make_unique<Gateway>(*world, options);
  }

  void run(int turns, MonoNs longest) {
    for (int i = 0; i < turns; ++i) {
      gateway->turn(static_cast<MonoNs>(world->random(static_cast<std::uint64_t>(longest))));
      for (auto& recruit : recruits) recruit->step(gateway->authenticator());
      if (!quiet && world->random(12) == 0) give_order();
      if (!quiet && world->random(60) == 0) cancel_one();
    }
  }
  void give_order() {
    const Recruit& to = *recruits[world->random(recruits.size())];
    auto order = std::make_shared<Order>();
    order->phone = to.phone();
    // Some end before the terminal comes, some are there for the next lives.
    const MonoNs lasts = world->random(3) == 0
                             ? static_cast<MonoNs>(world->random(40)) * ns_per_ms
                             : 400 * ns_per_s;
    order->expires_us = world->sys().wall_now() + lasts / ns_per_us;
    const std::uint64_t kind = world->random(3);
    const std::string number = fmt::format("{:08x}", orders.size());
    std::string json = fmt::format(
        R"({{"message":"0x{:04X}","body_hex":"{}"{}}})",
        kind == 0 ? sim::plain_message : kind == 1 ? sim::query_message : raw_message, number,
        kind == 2 && world->random(2) == 0 ? R"(,"answer":"none")" : "");
    orders.push_back(order);
    const DeviceKey key(Namespace::phone, order->phone);
    gateway->pending(home_shard(key, options.shards))
        .submit(key,
                {.json = std::move(json),
                 .by = "test",
                 .expires_us = order->expires_us,
                 .wait_ns = static_cast<MonoNs>(world->random(3)) * 20 * ns_per_ms},
                std::make_unique<Waiter>(order));
  }
  void cancel_one() {
    if (orders.empty()) return;
    const Order& order = *orders[world->random(orders.size())];
    const DeviceKey key(Namespace::phone, order.phone);
    if (order.id() == 0) return;
    gateway->pending(home_shard(key, options.shards)).cancel(key, order.id(), "by test");
  }
  // Power cut; the machine comes up on what its disk kept.
  void crash(std::uint64_t life) {
    gateway->abandon();
    std::unique_ptr<io::World> after = world->crash(io::SimOptions::rough(seed * 8 + life));
    gateway.reset();
    for (auto& recruit : recruits) recruit->move_to(*after);
    world = std::move(after);
    gateway = std::make_unique<Gateway>(*world, options);
  }
  std::size_t waiting() {
    std::size_t count = 0;
    for (ShardIndex i = 0; i < options.shards; ++i) count += gateway->state(i).pending_commands();
    return count;
  }
  // All terminals stay and answer: until nothing waits.
  void settle() {
    quiet = true;
    for (auto& recruit : recruits) recruit->behave();
    for (int i = 0; i < 600 && waiting() > 0; ++i) run(20, 100 * ns_per_ms);
    CHECK(waiting() == 0);
    gateway->drain(world->now() + 60 * ns_per_s);
    for (int i = 0; i < 200'000 && !gateway->stopped(); ++i) run(1, ns_per_ms);
    CHECK(gateway->stopped());
    gateway.reset();
  }
  std::vector<Story> read_log();
  void note(Story& story, const log::Record& record) const;

  std::uint64_t seed;
  sim::GatewayOptions options;
  std::unique_ptr<io::World> world;
  std::vector<std::unique_ptr<Recruit>> recruits;
  std::unique_ptr<Gateway> gateway;
  std::vector<std::shared_ptr<Order>> orders;
  bool quiet = false;
};

// The order that an intent's body names.
std::uint64_t order_of(Bytes frame) {
  jt808::Header header;
  REQUIRE(jt808::parse_stored(frame, header) == jt808::BadReason::none);
  const Bytes body = jt808::body_of(frame, header);
  REQUIRE(body.size() == 4);
  return load_be32(body.data());
}

std::vector<Story> Scenario::read_log() {
  auto reader = log::Reader::open(world->sys(), "/data", {});
  REQUIRE(reader.ok());
  std::vector<Story> stories(orders.size());
  std::map<std::uint64_t, std::size_t> by_id;
  for (log::Entry entry; (*reader)->next(entry);) {
    const log::Record& record = entry.record;
    const std::string_view json = as_text(record.payload);
    if (record.kind() == log::Kind::command && !record.outcome()) {
      const std::uint64_t number = order_of(record.payload);
      REQUIRE(number < stories.size());
      Story& story = stories[number];
      ++story.intents;
      CHECK(story.id != 0);
      // Nothing after its end; only what is cancelled may be with its protocol already.
      CHECK((story.how.empty() || story.how == "cancelled"));
      CHECK(story.intents <= story.tries_noted);
      CHECK(record.wall_us() <= orders[number]->expires_us);
      continue;
    }
    if (record.kind() != log::Kind::state) continue;
    const std::uint64_t id = number_of(json, "id");
    switch (static_cast<state::Change>(record.header.message)) {
      case state::Change::command_pending: {
        const std::string body = text_of(scan_json_object(json, "command").member, "body_hex");
        const std::size_t number = std::stoull(body, nullptr, 16);
        CHECK(by_id.emplace(id, number).second);  // no id is used twice
        stories[number].id = id;
        break;
      }
      case state::Change::command_tried:
        ++stories[by_id.at(id)].tries_noted;
        break;
      case state::Change::command_ended: {
        Story& story = stories[by_id.at(id)];
        CHECK(story.how.empty());
        story.how = text_of(json, "how");
        story.detail = text_of(json, "detail");
        break;
      }
      default:
        break;
    }
  }
  CHECK((*reader)->problems().empty());
  return stories;
}

TEST_CASE("what waits outlives power cuts, and reaches its terminal or ends with a reason") {
  std::map<std::string, int> ends;
  std::uint64_t repeated = 0;
  sim::for_seeds(60, 3'000, [&](std::uint64_t seed) {
    Scenario scenario(seed);
    for (std::uint64_t life = 0; life < 3; ++life) {
      scenario.run(200 + static_cast<int>(scenario.world->random(500)), 500'000);
      scenario.crash(life);
    }
    scenario.run(300, 500'000);
    scenario.settle();
    const std::vector<Story> stories = scenario.read_log();
    for (std::size_t i = 0; i < stories.size(); ++i) {
      const Order& order = *scenario.orders[i];
      const Story& story = stories[i];
      CAPTURE(i);
      CHECK(order.told.size() <= 1);
      if (order.id() != 0) CHECK(story.id == order.id());
      // Whatever stands in the log has an end, also what nobody was told of.
      CHECK(story.how.empty() == (story.id == 0));
      ++ends[story.how];
      repeated += story.intents > 1 ? 1 : 0;
      if (story.how == "answered" || story.how == "refused") CHECK(story.intents > 0);
      if (story.how == "expired" || story.how == "failed" || story.how == "cancelled") {
        CHECK(!story.detail.empty());
      }
    }
    // What a terminal has seen was an intent first: no other bytes reach it.
    for (const auto& recruit : scenario.recruits) {
      for (const sim::Frame& frame : recruit->seen) {
        const auto bytes = from_hex(frame.second);
        REQUIRE(bytes.has_value());
        CHECK(stories[order_of(*bytes)].intents > 0);
      }
    }
  });
  std::string text = fmt::format("repeated {}", repeated);
  for (const auto& [how, count] : ends) text += fmt::format(", {} {}", how, count);
  MESSAGE(text);
  if (sim::number_from("RG_TEST_SEED", 0) != 0) return;
  CHECK(repeated > 0);
  for (const char* how : {"answered", "refused", "sent", "expired", "failed", "cancelled"}) {
    CAPTURE(how);
    CHECK(ends[how] > 0);
  }
}

TEST_CASE("without DSYNC a power cut takes commands whose callers were told that they wait") {
  std::size_t lost = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Scenario scenario(seed, false);
    scenario.run(500, 500'000);
    scenario.crash(0);
    const auto reader = log::Reader::open(scenario.world->sys(), "/data", {});
    REQUIRE(reader.ok());
    std::set<std::uint64_t> kept;
    for (log::Entry entry; (*reader)->next(entry);) {
      if (entry.record.kind() != log::Kind::state) continue;
      kept.insert(number_of(as_text(entry.record.payload), "id"));
    }
    for (const auto& order : scenario.orders) {
      if (order->id() != 0 && !kept.contains(order->id())) ++lost;
    }
  }
  CHECK(lost > 0);
}

}  // namespace
