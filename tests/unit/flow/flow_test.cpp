#include <doctest/doctest.h>

#include <random>
#include <vector>

#include "engine/flow/budget.hpp"
#include "engine/flow/watermark.hpp"

namespace {

using namespace ringgate;
using flow::Budget;
using flow::LogState;
using flow::MemoryLevel;
using flow::Watermark;

TEST_CASE("levels are entered at their thresholds and left 5 % below") {
  Budget budget(1'000'000);
  const auto at = [&](std::uint64_t bytes) {
    budget.release(budget.used_bytes());
    budget.charge(bytes);
    return budget.update();
  };
  CHECK(at(699'999) == MemoryLevel::normal);
  CHECK(at(700'000) == MemoryLevel::trim);
  CHECK(at(650'000) == MemoryLevel::trim);
  CHECK(at(649'999) == MemoryLevel::normal);
  CHECK(at(699'999) == MemoryLevel::normal);
  CHECK(at(850'000) == MemoryLevel::pause);
  CHECK(at(800'000) == MemoryLevel::pause);
  CHECK(at(799'999) == MemoryLevel::trim);
  CHECK(at(1'000'000) == MemoryLevel::refuse);
  CHECK(at(949'999) == MemoryLevel::shed);
  CHECK(at(899'999) == MemoryLevel::pause);
  CHECK(at(0) == MemoryLevel::normal);
  CHECK(at(5'000'000) == MemoryLevel::refuse);  // the budget counts, it does not refuse
}

TEST_CASE("no level flaps when the use swings by less than 5 %") {
  std::mt19937_64 random(3);
  for (std::uint64_t base = 600'000; base < 1'100'000; base += 7'919) {
    Budget budget(1'000'000);
    std::uint32_t changes = 0;
    MemoryLevel before = MemoryLevel::normal;
    for (int i = 0; i < 200; ++i) {
      budget.release(budget.used_bytes());
      budget.charge(base + random() % 49'000);
      const MemoryLevel level = budget.update();
      changes += level != before ? 1 : 0;
      REQUIRE(level >= before);  // a swing that small never goes back
      before = level;
    }
    CHECK(changes <= 2);
  }
}

TEST_CASE("without a limit there is no level") {
  Budget budget(0);
  budget.charge(std::uint64_t{1} << 50);
  CHECK(budget.update() == MemoryLevel::normal);
}

struct Listener final : flow::CommitListener {
  void on_commit(Position committed) override { commits.push_back(committed); }
  void on_log_state(LogState state) override { states.push_back(state); }
  std::vector<Position> commits;
  std::vector<LogState> states;
};

TEST_CASE("the watermark tells everyone each commit, and a state only when it changes") {
  Watermark watermark;
  Listener one;
  Listener two;
  watermark.listen(one);
  watermark.listen(two);
  watermark.advance(10);
  watermark.advance(10);
  watermark.advance(12);
  CHECK(watermark.committed() == 12);
  CHECK(one.commits == std::vector<Position>{10, 10, 12});
  CHECK(two.commits == one.commits);
  watermark.set_state(LogState::accepting);
  watermark.set_state(LogState::holding);
  watermark.set_state(LogState::holding);
  watermark.set_state(LogState::accepting);
  CHECK(one.states == std::vector<LogState>{LogState::holding, LogState::accepting});
}

}  // namespace
