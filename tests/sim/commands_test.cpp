// Commands on simulated machines: terminals that answer late, twice, never or with other serials,
// links that die, power cuts. Every command gets one outcome at most, and exactly one where the
// gateway lives to tell it; no frame is seen by a terminal whose intent is not in the log.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/hex.hpp"
#include "protocols/jt808/commands.hpp"
#include "storage/log/reader.hpp"
#include "tests/sim/gateway.hpp"
#include "tests/sim/recruit.hpp"
#include "tests/sim/seeds.hpp"

namespace {

using namespace ringgate;
using event::CommandOutcome;
using event::CommandStatus;
using jt808::Answer;
using jt808::PreparedMessage;
using sim::Frame;
using sim::Gateway;
using sim::plain_message;
using sim::query_answer;
using sim::query_message;
using sim::Raw;
using sim::Recruit;

// What one waiter was told.
struct Told {
  int times = 0;
  CommandOutcome outcome;
};
class Waiter final : public event::CommandWaiter {
 public:
  explicit Waiter(std::shared_ptr<Told> told) : told_(std::move(told)) {}
  void on_outcome(const DeviceKey&, CommandOutcome outcome) override {
    ++told_->times;
    told_->outcome = std::move(outcome);
  }

 private:
  std::shared_ptr<Told> told_;
};

// What the log says of commands.
struct Recorded {
  std::set<Frame> intents;
  std::map<std::pair<std::string, Position>, int> outcomes;  // device, position of the intent
  std::set<std::pair<std::string, Position>> intents_at;
  std::size_t problems = 0;
};

Recorded read_log(io::World& world) {
  auto reader = log::Reader::open(world.sys(), "/data", {});
  REQUIRE(reader.ok());
  Recorded out;
  log::Entry entry;
  while ((*reader)->next(entry)) {
    const log::Record& record = entry.record;
    if (record.kind() != log::Kind::command) continue;
    const std::string device(record.device);
    if (!record.outcome()) {
      out.intents.emplace(device, to_hex(record.payload));
      out.intents_at.emplace(device, record.header.position);
      continue;
    }
    const std::string text(as_text(record.payload));
    const std::size_t at = text.find("\"intent\":");
    REQUIRE(at != std::string::npos);
    ++out.outcomes[{device, std::stoull(text.substr(at + 9))}];
  }
  out.problems = (*reader)->problems().size();
  return out;
}

struct Scenario {
  Scenario(std::uint64_t with_seed, const io::SimOptions& machine, bool sync = true)
      : seed(with_seed), world(std::make_unique<io::World>(machine)) {
    options.shards = static_cast<ShardIndex>(1 + seed % 2);
    options.sync = sync;
    options.commands = {.timeout_ns = 20 * ns_per_ms,
                        .retries = static_cast<std::uint32_t>(seed % 4),
                        .window = static_cast<std::uint32_t>(1 + seed % 5),
                        .queue = 8};
    for (std::uint64_t i = 0; i < 4; ++i) {
      recruits.push_back(std::make_unique<Recruit>(
          *world, 13'900'000'000 + i * 7'919,
          i % 2 == 0 ? jt808::Version::v2013 : jt808::Version::v2019));
    }
    gateway = std::make_unique<Gateway>(*world, options);
  }

  void run(int turns) {
    for (int i = 0; i < turns; ++i) {
      gateway->turn(static_cast<MonoNs>(world->random(500'000)));
      for (auto& recruit : recruits) recruit->step(gateway->authenticator());
      if (world->random(6) == 0) give_order();
    }
  }
  void give_order() {
    const Recruit& to = *recruits[world->random(recruits.size())];
    auto message = std::make_shared<PreparedMessage>();
    message->id = world->random(2) == 0 ? plain_message : query_message;
    if (message->id == query_message) {
      message->answer = {.rule = Answer::Rule::own, .id = query_answer};
    }
    const auto body = std::make_shared<const Raw>(1 + world->random(30), std::uint8_t{0x7e});
    for (auto& encoding : message->encodings) encoding.body = body;
    const DeviceKey key(Namespace::phone, to.phone());
    auto told_now = std::make_shared<Told>();
    told.emplace_back(to.phone(), told_now);
    const MonoNs wait = static_cast<MonoNs>(world->random(4)) * 40 * ns_per_ms;
    gateway->session(home_shard(key, options.shards))
        .commands()
        .send(key, std::move(message), wait, std::make_unique<Waiter>(told_now));
  }
  // Power cut; the machine comes up on what its disk kept.
  void crash() {
    gateway->abandon();
    std::unique_ptr<io::World> after = world->crash(io::SimOptions::rough(seed + 1));
    gateway.reset();
    for (auto& recruit : recruits) recruit->move_to(*after);
    world = std::move(after);
  }
  void drain() {
    gateway->drain(world->now() + 60 * ns_per_s);
    for (int i = 0; i < 200'000 && !gateway->stopped(); ++i) {
      gateway->turn(ns_per_ms);
      for (auto& recruit : recruits) recruit->step(gateway->authenticator());
    }
    CHECK(gateway->stopped());
    for (ShardIndex i = 0; i < options.shards; ++i) {
      CHECK(gateway->session(i).commands().count() == 0);
    }
    gateway.reset();
  }
  // Frames that were seen and have no intent in the log.
  std::size_t unrecorded(const Recorded& log) const {
    std::size_t count = 0;
    for (const auto& recruit : recruits) {
      for (const Frame& frame : recruit->seen) count += log.intents.count(frame) == 0 ? 1 : 0;
    }
    return count;
  }
  std::size_t seen() const {
    std::size_t count = 0;
    for (const auto& recruit : recruits) count += recruit->seen.size();
    return count;
  }
  // What was told of commands that had an intent stands in the log, once.
  void check_outcomes(const Recorded& log) const {
    for (const auto& [device, one] : told) {
      CHECK(one->times <= 1);
      if (one->times == 0 || one->outcome.intent == 0) continue;
      const auto at = log.outcomes.find({device, one->outcome.intent});
      CHECK((at != log.outcomes.end() && at->second == 1));
    }
    for (const auto& [which, times] : log.outcomes) {
      CHECK(times == 1);
      CHECK(log.intents_at.count(which) == 1);
    }
  }

  std::uint64_t seed;
  sim::GatewayOptions options;
  std::unique_ptr<io::World> world;
  std::vector<std::unique_ptr<Recruit>> recruits;
  std::unique_ptr<Gateway> gateway;
  std::vector<std::pair<std::string, std::shared_ptr<Told>>> told;
};

TEST_CASE("after a power cut every frame that a terminal saw has its intent in the log") {
  std::size_t seen = 0;
  sim::for_seeds(120, 5'000, [&](std::uint64_t seed) {
    Scenario scenario(seed, io::SimOptions::rough(seed));
    scenario.run(400 + static_cast<int>(scenario.world->random(1'200)));
    scenario.crash();
    const Recorded log = read_log(*scenario.world);
    CHECK(log.problems == 0);
    CHECK(scenario.unrecorded(log) == 0);
    scenario.check_outcomes(log);
    seen += scenario.seen();
  });
  CHECK(seen > 100);
  MESSAGE("frames of commands seen: " << seen);
}

TEST_CASE("without DSYNC a power cut takes intents of frames that were seen") {
  std::size_t unrecorded = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Scenario scenario(seed, io::SimOptions{.seed = seed}, false);
    scenario.run(2'000);
    scenario.crash();
    unrecorded += scenario.unrecorded(read_log(*scenario.world));
  }
  CHECK(unrecorded > 0);
}

TEST_CASE("every command gets exactly one outcome, also through a drain") {
  std::map<CommandStatus, int> outcomes;
  sim::for_seeds(80, 3'000, [&](std::uint64_t seed) {
    io::SimOptions machine = io::SimOptions::rough(seed);
    machine.reset = static_cast<std::uint32_t>(seed % 3);
    Scenario scenario(seed, machine);
    scenario.run(1'500);
    scenario.drain();
    for (const auto& [device, one] : scenario.told) {
      CHECK(one->times == 1);
      ++outcomes[one->outcome.status];
    }
    const Recorded log = read_log(*scenario.world);
    CHECK(log.problems == 0);
    CHECK(scenario.unrecorded(log) == 0);
    scenario.check_outcomes(log);
  });
  std::string text;
  for (const auto& [status, count] : outcomes) {
    text += std::string(event::name_of(status)).append(" ").append(std::to_string(count)) + ", ";
  }
  MESSAGE(text);
  for (const CommandStatus status :
       {CommandStatus::answered, CommandStatus::refused, CommandStatus::sent,
        CommandStatus::timed_out, CommandStatus::offline, CommandStatus::link_lost,
        CommandStatus::busy, CommandStatus::expired}) {
    CAPTURE(event::name_of(status));
    if (sim::number_from("RG_TEST_SEED", 0) == 0) CHECK(outcomes[status] > 0);
  }
}

}  // namespace
