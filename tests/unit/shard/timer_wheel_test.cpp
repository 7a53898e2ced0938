// The wheel against a model that looks at every timer on every step.
#include "engine/shard/timer_wheel.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

namespace {

using namespace ringgate;
using shard::TimerNode;
using shard::TimerWheel;

constexpr MonoNs tick = TimerWheel::tick_ns;

struct Node : TimerNode {
  std::int64_t due_tick = -1;  // by the model; < 0: not armed
};

class Model {
 public:
  Model(std::uint64_t seed, MonoNs origin, std::size_t count)
      : random_(seed), origin_(origin), now_(origin), wheel_(origin), nodes_(count) {}

  std::int64_t tick_now() const { return (now_ - origin_) / tick; }

  void arm(Node& node, MonoNs delay) {
    wheel_.arm(node, delay);
    node.due_tick = tick_now() + (delay <= 0 ? 1 : (delay + tick - 1) / tick + 1);
  }
  void cancel(Node& node) {
    wheel_.cancel(node);
    node.due_tick = -1;
  }

  void jump(MonoNs by) { step(by, ~0U); }

  // Moves time, then compares what fired with what had to.
  void step(MonoNs by, std::uint32_t limit) {
    now_ += by;
    const std::int64_t here = tick_now();
    std::int64_t latest = -1;
    const std::uint32_t fired = wheel_.advance(now_, limit, [&](TimerNode& raw) {
      Node& node = static_cast<Node&>(raw);
      REQUIRE(!node.armed());
      REQUIRE(node.due_tick >= 0);
      REQUIRE(node.due_tick <= here);
      REQUIRE(node.due_tick >= latest);  // earlier timers first
      latest = node.due_tick;
      node.due_tick = -1;
    });
    REQUIRE(fired <= limit);
    std::uint32_t late = 0;
    std::uint32_t armed = 0;
    std::int64_t next = -1;
    for (const Node& node : nodes_) {
      REQUIRE(node.armed() == (node.due_tick >= 0));
      if (node.due_tick < 0) continue;
      ++armed;
      if (node.due_tick <= here) ++late;
      if (next < 0 || node.due_tick < next) next = node.due_tick;
    }
    REQUIRE(armed == wheel_.armed_count());
    if (fired < limit) REQUIRE(late == 0);
    check_delay(next, late);
  }

  void check_delay(std::int64_t next, std::uint32_t late) {
    const MonoNs longest = 3'600 * ns_per_s;
    const MonoNs delay = wheel_.next_delay(now_, longest);
    if (late > 0) {
      REQUIRE(delay == 0);
    } else if (next < 0) {
      REQUIRE(delay == longest);
    } else {
      REQUIRE(delay > 0);
      REQUIRE(now_ + delay <= std::max(now_ + 1, origin_ + next * tick));
    }
  }

  void random_steps(std::uint32_t steps) {
    for (std::uint32_t i = 0; i < steps; ++i) {
      for (std::uint64_t changes = pick(4); changes > 0; --changes) {
        Node& node = nodes_[pick(nodes_.size())];
        if (pick(4) == 0) {
          cancel(node);
        } else {
          // From nothing to a month: every level of the wheel.
          arm(node, static_cast<MonoNs>(pick(std::uint64_t{1} << pick(52))));
        }
      }
      const std::uint32_t limit = pick(8) == 0 ? 1 : 1'000;
      step(static_cast<MonoNs>(pick(std::uint64_t{1} << (20 + pick(18)))), limit);
    }
  }
  void cancel_all() {
    for (Node& node : nodes_) cancel(node);
  }
  TimerWheel& wheel() { return wheel_; }
  Node& node(std::size_t i) { return nodes_[i]; }
  MonoNs now() const { return now_; }

 private:
  std::uint64_t pick(std::uint64_t below) { return random_() % below; }

  std::mt19937_64 random_;
  MonoNs origin_;
  MonoNs now_;
  TimerWheel wheel_;
  std::vector<Node> nodes_;
};

TEST_CASE("timers fire when the model says, over hours of random arming, cancelling, moving") {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    CAPTURE(seed);
    Model model(seed, static_cast<MonoNs>(seed * 12'345'678'901ULL), 64);
    model.random_steps(3'000);
  }
}

TEST_CASE("ticks wrap after two years without a timer lost, early or a loop that never sleeps") {
  Model model(77, 5, 64);
  const MonoNs wrap = (MonoNs{1} << 32) * tick;
  // Nothing armed: the wheel jumps.
  for (int i = 0; i < 4; ++i) model.jump(wrap / 4 - 900 * ns_per_s);
  model.arm(model.node(0), 7'200 * ns_per_s);
  model.arm(model.node(1), 3'599 * ns_per_s);
  model.random_steps(3'000);
  model.cancel_all();
  for (int i = 0; i < 5; ++i) model.jump(wrap / 4);
  model.random_steps(1'000);
}

TEST_CASE("a deadline on each side of every level's border") {
  for (const std::int64_t border : {1, 2, 255, 256, 257, 511, 512, 65'535, 65'536, 65'537}) {
    Model model(1, 0, 3);
    model.step(13 * tick, 10);
    for (std::size_t i = 0; i < 3; ++i) {
      model.arm(model.node(i), (border - 1 + static_cast<MonoNs>(i)) * tick);
    }
    for (std::int64_t i = 0; i < border + 4; i += border > 1'000 ? 97 : 1) {
      model.step(border > 1'000 ? 97 * tick : tick, 10);
    }
    CHECK(model.wheel().armed_count() == 0);
  }
}

TEST_CASE("fire may arm and cancel any node") {
  TimerWheel wheel(0);
  Node first, second, third;
  wheel.arm(first, tick);
  wheel.arm(second, tick);
  std::vector<TimerNode*> fired;
  const auto fire = [&](TimerNode& node) {
    fired.push_back(&node);
    if (&node == &first) {
      wheel.cancel(second);
      wheel.arm(third, 0);
      wheel.arm(first, 0);
    }
  };
  wheel.advance(4 * tick, 10, fire);
  CHECK(fired == std::vector<TimerNode*>{&first});
  wheel.advance(5 * tick, 10, fire);
  CHECK(fired == std::vector<TimerNode*>{&first, &third, &first});
  wheel.cancel(first);
  wheel.cancel(third);
  CHECK(wheel.armed_count() == 0);
}

TEST_CASE("what is armed after a sleep counts from then on") {
  TimerWheel wheel(0);
  Node node;
  wheel.move_to(10 * ns_per_s);
  wheel.arm(node, ns_per_s);
  const auto none = [](TimerNode&) {};
  CHECK(wheel.advance(10 * ns_per_s + 999 * ns_per_ms, 10, none) == 0);
  CHECK(wheel.advance(11 * ns_per_s + 2 * tick, 10, none) == 1);
}

TEST_CASE("a million timers touch each node a bounded number of times") {
  constexpr std::uint32_t count = 1'000'000;
  auto nodes = std::make_unique<Node[]>(count);
  std::mt19937_64 random(9);
  TimerWheel wheel(0);
  for (std::uint32_t i = 0; i < count; ++i) {
    wheel.arm(nodes[i], static_cast<MonoNs>(random() % (6 * 3'600 * ns_per_s)));
  }
  CHECK(wheel.placed_count() == count);
  std::uint32_t fired = 0;
  std::uint32_t most = 0;
  for (MonoNs now = 0; wheel.armed_count() > 0; now += 250 * ns_per_ms) {
    const std::uint32_t some = wheel.advance(now, 256, [](TimerNode&) {});
    most = std::max(most, some);
    fired += some;
  }
  CHECK(fired == count);
  CHECK(most <= 256);
  CHECK(wheel.placed_count() <= 4 * std::uint64_t{count});
}

}  // namespace
