// The loop on a real ring, with a clock that the test moves.
#include "engine/shard/shard.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/limits.hpp"
#include "tests/unit/shard/manual_sys.hpp"

namespace {

using namespace ringgate;
using shard::Shard;

constexpr io::Tag test_tag = io::Tag::first_test;

struct Recorder final : shard::CompletionHandler, shard::Hook, shard::TimerHandler {
  explicit Recorder(Shard& where) : shard(where) {}
  void on_completion(std::uint64_t user_data, std::int32_t, std::uint32_t) override {
    seen.push_back(io::slot_of(user_data));
    in_this_turn += 1;
  }
  void before_wait() override {
    most_in_a_turn = std::max(most_in_a_turn, in_this_turn);
    in_this_turn = 0;
    steps += 'w';
  }
  void before_enter() override { steps += 'e'; }
  bool has_work() const override { return busy; }
  void start_drain() override { steps += 'd'; }
  bool drained() const override { return is_drained; }
  void start_stop() override { steps += 's'; }
  bool stopped() const override { return is_stopped; }
  void on_timer() override { fired_at.push_back(shard.now()); }
  void nop(std::uint32_t slot) {
    io_uring_sqe* sqe = shard.ring().next_sqe();
    io_uring_prep_nop(sqe);
    sqe->user_data = io::user_data(test_tag, 0, slot);
  }

  Shard& shard;
  std::vector<std::uint32_t> seen;
  std::uint32_t in_this_turn = 0;
  std::uint32_t most_in_a_turn = 0;
  std::string steps;
  bool busy = false;
  bool is_drained = false;
  bool is_stopped = false;
  std::vector<MonoNs> fired_at;
};

struct World {
  World() {
    auto opened = io::Ring::open(io::make_uring_backend(), {.sq_entries = 64, .cq_entries = 2048});
    REQUIRE(opened.ok());
    shard.emplace(shard::ShardOptions{}, std::move(*opened), sys);
    recorder.emplace(*shard);
    shard->handle(test_tag, *recorder);
    shard->add_hook(*recorder);
  }
  unit::ManualSys sys;
  std::optional<Shard> shard;
  std::optional<Recorder> recorder;
};

TEST_CASE("completions are handled in order, at most a batch a turn, and none is left") {
  World world;
  constexpr std::uint32_t count = 3 * limits::completions_per_turn + 7;
  for (std::uint32_t i = 0; i < count; ++i) world.recorder->nop(i);
  std::uint32_t turns = 0;
  while (world.recorder->seen.size() < count) {
    REQUIRE(world.shard->turn(0));
    REQUIRE(++turns < 20);
  }
  world.shard->turn(0);
  CHECK(world.recorder->most_in_a_turn == limits::completions_per_turn);
  for (std::uint32_t i = 0; i < count; ++i) REQUIRE(world.recorder->seen[i] == i);
  CHECK(world.shard->completions() == count);
}

TEST_CASE("object timers count from the turn that arms them") {
  World world;
  shard::Timer timer(*world.recorder);
  world.shard->turn(0);
  world.shard->arm(timer, ns_per_s);
  const MonoNs armed = world.shard->now();
  world.sys.advance(ns_per_s - ns_per_ms);
  world.shard->turn(0);
  CHECK(world.recorder->fired_at.empty());
  world.sys.advance(3 * shard::TimerWheel::tick_ns);
  world.shard->turn(0);
  REQUIRE(world.recorder->fired_at.size() == 1);
  CHECK(world.recorder->fired_at[0] - armed >= ns_per_s);
  world.shard->arm(timer, ns_per_s);
  world.shard->cancel(timer);
  world.sys.advance(10 * ns_per_s);
  world.shard->turn(0);
  CHECK(world.recorder->fired_at.size() == 1);
}

TEST_CASE("drain waits for the hooks or the deadline, then stop waits for the hooks") {
  for (const bool late : {false, true}) {
    World world;
    Recorder& recorder = *world.recorder;
    world.shard->request_drain(world.shard->now() + 5 * ns_per_s);
    for (int i = 0; i < 3; ++i) CHECK(world.shard->turn(0));
    CHECK(recorder.steps == "wedwewe");
    CHECK(world.shard->draining());
    if (late) {
      world.sys.advance(6 * ns_per_s);
    } else {
      recorder.is_drained = true;
    }
    CHECK(world.shard->turn(0));
    CHECK(recorder.steps == "wedwewewes");
    CHECK(world.shard->turn(0));
    recorder.is_stopped = true;
    CHECK(!world.shard->turn(0));
    CHECK(!world.shard->turn(0));
    CHECK(recorder.steps == "wedweweweswewe");
  }
}

TEST_CASE("stop skips the drain") {
  World world;
  world.recorder->is_stopped = true;
  world.shard->request_stop();
  CHECK(!world.shard->turn(0));
  CHECK(world.recorder->steps == "wes");
}

// The ring would block for an hour: only a turn that does not sleep returns.
TEST_CASE("the loop does not sleep while a hook has work or asked to stay awake") {
  World world;
  world.recorder->busy = true;
  CHECK(world.shard->turn(3'600 * ns_per_s));
  world.recorder->busy = false;
  world.shard->stay_awake();
  CHECK(world.shard->turn(3'600 * ns_per_s));
  world.recorder->nop(1);
  CHECK(world.shard->turn(3'600 * ns_per_s));
  CHECK(world.recorder->seen.size() == 1);
}

}  // namespace
