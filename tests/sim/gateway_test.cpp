// Whole gateways on simulated machines: random faults and crashes by seed, and the bad inputs of
// strangers.
#include "tests/sim/gateway.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/sim/seeds.hpp"

namespace {

using namespace ringgate;
using sim::Crowd;
using sim::Gateway;
using sim::GatewayOptions;
using sim::Nuisance;
using sim::Vehicle;

io::SimOptions rough_with_resets(std::uint64_t seed) {
  io::SimOptions options = io::SimOptions::rough(seed);
  options.reset = static_cast<std::uint32_t>(seed % 3);
  return options;
}

// A fleet and whoever else is about, on one machine after the other.
struct Scenario {
  Scenario(std::uint64_t with_seed, const io::SimOptions& machine, bool sync = true)
      : seed(with_seed), world(std::make_unique<io::World>(machine)) {
    options.sync = sync;
    options.shards = static_cast<ShardIndex>(1 + seed % 2);
    for (std::uint64_t i = 0; i < 6; ++i) {
      fleet.push_back(std::make_unique<Vehicle>(
          *world, 13'800'000'000 + i * 7'919, i % 2 == 0 ? load::Version::v2013
                                                         : load::Version::v2019,
          static_cast<std::uint32_t>(1 + world->random(12))));
    }
    start();
  }

  void start() {
    gateway = std::make_unique<Gateway>(*world, options);
    crowd = std::make_unique<Crowd>(
        *world, static_cast<Nuisance>(world->random(static_cast<std::uint64_t>(Nuisance::count))),
        world->random(6));
    if (seed % 4 == 0) {
      world->options().write_error = 5;
      world->options().write_short = 5;
    }
  }
  void run(std::uint64_t turns) {
    for (std::uint64_t i = 0; i < turns; ++i) {
      gateway->turn(static_cast<MonoNs>(world->random(500'000)));
      for (auto& vehicle : fleet) vehicle->step(gateway->turns());
      if (i % 8 == 0) crowd->step();
    }
  }
  // Power cut; the machine comes up on what its disk kept.
  void crash() {
    io::SimOptions next = rough_with_resets(world->random(1'000'000) + 1);
    gateway->abandon();
    std::unique_ptr<io::World> after = world->crash(next);
    gateway.reset();
    crowd.reset();
    for (auto& vehicle : fleet) vehicle->move_to(*after);
    world = std::move(after);
    count_lost();
  }
  void count_lost() {
    const auto stored_now = sim::stored_reports(*world, problems);
    stored = stored_now.size();
    for (const auto& vehicle : fleet) {
      for (const std::uint16_t serial : vehicle->acknowledged()) {
        lost += stored_now.count({vehicle->name(), serial}) == 0 ? 1 : 0;
      }
    }
  }
  void drain() {
    gateway->drain(world->now() + 60 * ns_per_s);
    for (int i = 0; i < 200'000 && !gateway->stopped(); ++i) {
      gateway->turn(ns_per_ms);
      for (auto& vehicle : fleet) vehicle->step(gateway->turns());
    }
    CHECK(gateway->stopped());
  }
  // Everybody leaves, then the gateway drains: nothing may be left.
  void end() {
    world->options().write_error = world->options().write_short = 0;
    world->options().reset = 0;
    crowd->leave();
    for (auto& vehicle : fleet) vehicle->finish();
    const auto finished = [&] {
      return std::ranges::all_of(fleet, [](const auto& one) { return one->finished(); });
    };
    for (int i = 0; i < 200'000 && !finished(); ++i) run(1);
    CHECK(finished());
    for (int i = 0; i < 200'000 && gateway->live() > 0; ++i) gateway->turn(10 * ns_per_ms);
    CHECK(gateway->live() == 0);
    drain();
    for (ShardIndex i = 0; i < options.shards; ++i) {
      net::Links& links = gateway->links(i);
      CHECK(links.live_count() == 0);
      CHECK(links.memory_bytes() == links.idle_memory_bytes() + gateway->device_bytes(i));
    }
    CHECK(world->operations_outstanding() == 0);
    gateway.reset();
    CHECK(world->descriptors_open() == 0);
    count_lost();
  }
  std::uint64_t acknowledged() const {
    std::uint64_t all = 0;
    for (const auto& vehicle : fleet) all += vehicle->acknowledged().size();
    return all;
  }

  std::uint64_t seed;
  std::uint64_t lost = 0;      // acknowledged, and not in the log
  std::uint64_t stored = 0;    // reports in it
  std::uint64_t problems = 0;  // that the log's reader met
  GatewayOptions options;
  std::unique_ptr<io::World> world;
  std::vector<std::unique_ptr<Vehicle>> fleet;
  std::unique_ptr<Gateway> gateway;
  std::unique_ptr<Crowd> crowd;
};

TEST_CASE("what is acknowledged survives power cuts at random moments") {
  std::uint64_t acknowledged = 0;
  sim::for_seeds(150, 10'000, [&](std::uint64_t seed) {
    Scenario scenario(seed, rough_with_resets(seed));
    for (int cut = 0; cut < 2; ++cut) {
      scenario.run(200 + scenario.world->random(1'500));
      scenario.crash();
      scenario.start();
    }
    scenario.run(300);
    scenario.end();
    CHECK(scenario.lost == 0);
    CHECK(scenario.problems == 0);
    acknowledged += scenario.acknowledged();
  });
  CHECK(acknowledged > 0);
  MESSAGE("acknowledged reports: " << acknowledged);
}

TEST_CASE("without DSYNC power cuts take what was acknowledged: the test above can fail") {
  std::uint64_t lost = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Scenario scenario(seed, io::SimOptions{.seed = seed}, false);
    scenario.run(2'000);
    scenario.gateway->abandon();
    std::unique_ptr<io::World> after = scenario.world->crash();
    scenario.gateway.reset();
    scenario.crowd.reset();
    scenario.world = std::move(after);
    scenario.count_lost();
    for (auto& vehicle : scenario.fleet) vehicle->move_to(*scenario.world);
    lost += scenario.lost;
  }
  CHECK(lost > 0);
}

TEST_CASE("a drain answers all that it stores, and its FIN comes after the last answer") {
  sim::for_seeds(60, 2'000, [](std::uint64_t seed) {
    Scenario scenario(seed * 4 + 1, io::SimOptions::rough(seed));
    scenario.run(400);
    scenario.drain();
    scenario.gateway.reset();
    scenario.count_lost();
    CHECK(scenario.lost == 0);
    CHECK(scenario.problems == 0);
    CHECK(scenario.stored == scenario.acknowledged());
  });
}

TEST_CASE("the same seed gives the same run") {
  for (const std::uint64_t seed : {3U, 8U}) {
    const auto play = [&] {
      Scenario scenario(seed, rough_with_resets(seed));
      scenario.run(800);
      scenario.crash();
      scenario.start();
      scenario.run(300);
      const std::uint64_t trace = scenario.world->trace_hash();
      scenario.end();
      return trace;
    };
    CHECK(play() == play());
  }
}

// How many turns the longest answer took for a terminal that does everything right.
std::uint64_t longest_wait(Nuisance kind, std::size_t crowd_size, std::uint64_t& live_most) {
  // A turn takes some time even when it sleeps not, as it does with a crowd.
  io::World world(io::SimOptions{.seed = 7, .enter_cost_ns = 20'000});
  Gateway gateway(world, {.shards = 1});
  Vehicle vehicle(world, 13'800'000'001, load::Version::v2019, 1);
  Crowd crowd(world, kind, crowd_size);
  for (int i = 0; i < 4'000; ++i) {
    gateway.turn(100'000);
    vehicle.step(gateway.turns());
    crowd.step();
    live_most = std::max<std::uint64_t>(live_most, gateway.live());
  }
  CHECK(vehicle.acknowledged().size() > 50);
  CHECK(vehicle.refused() == 0);
  vehicle.finish();
  crowd.leave();
  for (int i = 0; i < 50'000 && gateway.live() > 0; ++i) {
    gateway.turn(50 * ns_per_ms);
    vehicle.step(gateway.turns());
  }
  CHECK(gateway.live() == 0);
  CHECK(gateway.links(0).memory_bytes() >= gateway.links(0).idle_memory_bytes());
  gateway.drain(world.now() + ns_per_s);
  for (int i = 0; i < 1'000 && !gateway.stopped(); ++i) gateway.turn(10 * ns_per_ms);
  CHECK(gateway.stopped());
  return vehicle.longest_wait();
}

TEST_CASE("the turns that a good terminal waits stay bounded while bad input goes on") {
  std::uint64_t live = 0;
  const std::uint64_t alone = longest_wait(Nuisance::silence, 0, live);
  for (std::size_t i = 0; i < static_cast<std::size_t>(Nuisance::count); ++i) {
    const auto kind = static_cast<Nuisance>(i);
    const std::size_t crowd = kind == Nuisance::silence ? 3'000 : 60;
    live = 0;
    const std::uint64_t wait = longest_wait(kind, crowd, live);
    MESSAGE(std::string(sim::name_of(kind)) << ": " << crowd << " strangers, " << live
                               << " links at most, longest wait " << wait << " turns (alone "
                               << alone << ")");
    CHECK(wait <= 120);
    if (kind != Nuisance::reset && kind != Nuisance::port_scan) CHECK(live > crowd / 2);
  }
}

}  // namespace
