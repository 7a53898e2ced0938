#include <doctest/doctest.h>

#include <cmath>
#include <deque>
#include <random>

#include "tools/load/scenario/shape.hpp"

using namespace ringgate;
using namespace ringgate::load;

namespace {

constexpr MonoNs s = ns_per_s;

// What a server makes of a load: in proportion until it is full, with noise, some intervals late.
struct Server {
  double per_load = 1;
  double full = 1e18;
  double noise = 0;  // relative
  std::size_t late = 0;
  double steep = 1;  // power
  std::mt19937_64 random{42};
  std::deque<double> loads{};

  double measure(double load) {
    loads.push_back(load);
    const double then = loads.front();
    if (loads.size() > late) loads.pop_front();
    const double shake = 1 + noise * (static_cast<double>(random() % 2001) / 1000 - 1);
    return std::min(std::pow(then, steep) * per_load, full) * shake;
  }
};

ControlState drive(Server server, ControllerOptions options, int seconds, double* worst = nullptr) {
  Controller controller(options);
  for (int i = 1; i <= seconds; ++i) {
    const double value = server.measure(controller.load());
    controller.next(value, 1, i * s);
    CHECK(controller.load() >= options.load_min);
    CHECK(controller.load() <= options.load_max);
    if (worst != nullptr && i > seconds / 2) {
      *worst = std::max(*worst, std::abs(value / options.goal - 1));
    }
  }
  return controller.state();
}

}  // namespace

TEST_CASE("a held load settles at the goal, from below and above, at any size, without overshoot") {
  for (const double per_load : {0.01, 0.1, 1.0, 20.0}) {
    for (const double goal : {10.0, 900.0, 100'000.0}) {
      for (const double start : {0.05, 3.0}) {
        const double right = goal / per_load;
        const ControlState state =
            drive({.per_load = per_load},
                  {.goal = goal, .start = start * right, .load_min = right / 1e3,
                   .load_max = right * 1e3}, 60);
        CHECK(state.settled);
        CHECK(state.settled_ns <= 30 * s);
        CHECK(state.load == doctest::Approx(right).epsilon(0.02));
        CHECK_FALSE(state.out_of_reach);
      }
    }
  }
}

TEST_CASE("it stays stable with noise, answers that come late, and a server that is steeper") {
  for (const std::size_t late : {0U, 1U, 2U, 3U}) {
    for (const double steep : {0.5, 1.0, 1.5}) {
      CAPTURE(late);
      CAPTURE(steep);
      double worst = 0;
      const ControlState state = drive({.noise = 0.03, .late = late, .steep = steep},
                                       {.goal = 900, .start = 100, .load_max = 1e7}, 120, &worst);
      CHECK(worst < 0.12);
      CHECK(state.settled_ns > 0);
    }
  }
}

TEST_CASE("a goal that the server never reaches: the load stands at its bound and says so") {
  Controller controller({.goal = 1000, .start = 10, .load_max = 400});
  Server server{.full = 300};
  for (int i = 1; i <= 60; ++i) controller.next(server.measure(controller.load()), 1, i * s);
  CHECK(controller.load() == 400);
  CHECK(controller.state().out_of_reach);
  // It has not wound up: once the server can do more than is wanted, the load falls at once.
  server.full = 1e9;
  server.per_load = 10;
  controller.next(server.measure(controller.load()), 1, 61 * s);
  CHECK(controller.load() < 400);
  for (int i = 62; i <= 100; ++i) controller.next(server.measure(controller.load()), 1, i * s);
  CHECK(controller.load() == doctest::Approx(100).epsilon(0.03));
  CHECK_FALSE(controller.state().out_of_reach);
}

TEST_CASE("no step of the load is larger than was said; short intervals change nothing") {
  Controller controller({.goal = 1e6, .start = 1, .load_max = 1e9});
  double before = controller.load();
  for (int i = 1; i <= 20; ++i) {
    controller.next(i % 3 == 0 ? 0 : 1, 1, i * s);
    CHECK(controller.load() <= before * 2.0001);
    CHECK(controller.load() >= before / 2.0001);
    before = controller.load();
  }
  CHECK(controller.next(1, 0.1, 21 * s) == before);
}

namespace {

Stage search_stage() {
  Stage stage;
  stage.kind = StageKind::stress;
  stage.from = 100;
  stage.to = 2000;
  stage.growth = 1.5;
  stage.every_ns = 5 * s;
  stage.patience_ns = 3 * s;
  stage.recover_ns = 20 * s;
  stage.duration_ns = 300 * s;
  stage.bounds = {parse_condition("p99 < 50ms").value(), parse_condition("errors < 1%").value()};
  return stage;
}

// A second of a server that bears `knee` users, then queues: its latency grows while it is
// overloaded, and falls again when it is not.
struct Queueing {
  double knee = 700;
  double backlog_s = 0;
  double fail_above = 1e18;

  Measured second(double users) {
    Measured out;
    out.seconds = 1;
    backlog_s = std::max(0.0, backlog_s + users / knee - 1);
    out.tally.acknowledged = static_cast<std::uint64_t>(std::min(users, knee));
    if (users > fail_above) out.tally.errors["link_closed"] = out.tally.acknowledged / 20;
    LatencyRecorder recorder;
    const auto each = static_cast<std::int64_t>(2e6 + backlog_s * 1e9);
    for (int i = 0; i < 100; ++i) recorder.record(each);
    out.tally.response = recorder.take();
    return out;
  }
};

const StressResult& run(Shape& shape, Queueing& server, int seconds) {
  for (int i = 1; i <= seconds; ++i) {
    const Aim aim = shape.at((i - 1) * s);
    const Measured measured = server.second(aim.classes[0].users);
    shape.observe({(i - 1) * s, i * s, measured});
  }
  shape.at(seconds * s);
  return *shape.stress(0);
}

Scenario searching(Stage stage) {
  Scenario scenario;
  scenario.classes.emplace_back();
  scenario.stages.push_back(std::move(stage));
  return scenario;
}

}  // namespace

TEST_CASE("the search finds the knee on both sides, names the bound, and watches the recovery") {
  Stage stage = search_stage();
  stage.growth = 3;
  const Scenario scenario = searching(stage);
  Shape shape(scenario);
  Queueing server;
  const StressResult& result = run(shape, server, 120);
  CHECK(result.state == StressResult::State::done);
  REQUIRE(result.last_good);
  REQUIRE(result.first_bad);
  const double good = result.levels[*result.last_good].level;
  const double bad = result.levels[*result.first_bad].level;
  CHECK(good <= 700);
  CHECK(bad > 700);
  CHECK(bad == good * 3);
  CHECK(*result.first_bad == *result.last_good + 1);
  CHECK(result.broken == "p99 < 50ms");
  CHECK(*result.broken_value > 50e6);
  CHECK(result.back_level == good);
  CHECK(result.recovered_after_ns > 0);
  CHECK(result.recovered_after_ns < 10 * s);
  CHECK(result.levels[*result.last_good].acked_per_s == doctest::Approx(good));
  CHECK(result.levels[*result.last_good].p99_ns == doctest::Approx(2e6).epsilon(0.01));
  // The stage ended with the search: the run did not wait for the five minutes.
  CHECK(shape.at(121 * s).over);
  CHECK(shape.spans()[0].until_ns < 120 * s);
  const std::string text = result.text(scenario.stages[0]);
  CAPTURE(text);
  CHECK(text.find("\"p99 < 50ms\" was broken") != std::string::npos);
  CHECK(text.find("it recovered within") != std::string::npos);
}

TEST_CASE("errors break a bound, too; one bad second alone does not") {
  const Scenario scenario = searching(search_stage());
  Shape shape(scenario);
  Queueing server{.knee = 1e9, .fail_above = 400};
  const StressResult& result = run(shape, server, 120);
  REQUIRE(result.first_bad);
  CHECK(result.broken == "errors < 1%");
  CHECK(*result.broken_value > 0.04);
  CHECK(result.levels[*result.first_bad].level > 400);
  CHECK(result.levels[*result.last_good].level <= 400);
  CHECK(result.recovered_after_ns == 0);

  StressSearch search(scenario.stages[0], 0);
  Queueing fine{.knee = 1e9};
  for (int i = 0; i < 5; ++i) {
    Measured second = fine.second(100);
    if (i == 2) second.tally.errors["link_closed"] = 50;
    search.observe(i * s, (i + 1) * s, second);
  }
  CHECK(search.level() == 150);
  CHECK(search.result().last_good == std::optional<std::size_t>(0));
}

TEST_CASE("a server that bears everything, one that bears nothing, one that falls silent") {
  const Scenario scenario = searching(search_stage());
  {
    Shape shape(scenario);
    Queueing server{.knee = 1e9};
    const StressResult& result = run(shape, server, 120);
    CHECK(result.state == StressResult::State::done);
    CHECK_FALSE(result.first_bad);
    CHECK(result.levels.back().level == 2000);
    CHECK(result.text(scenario.stages[0]).find("no bound was ever broken") != std::string::npos);
  }
  {
    Shape shape(scenario);
    Queueing server{.knee = 10};
    const StressResult& result = run(shape, server, 120);
    CHECK_FALSE(result.last_good);
    CHECK(result.first_bad == std::optional<std::size_t>(0));
    CHECK(result.back_level == 50);
    CHECK(result.recovered_after_ns == -1);
    CHECK(result.text(scenario.stages[0]).find("did not recover within 20s") != std::string::npos);
  }
  {
    StressSearch search(scenario.stages[0], 0);
    Measured nothing;
    nothing.seconds = 1;
    nothing.tally.outstanding = 100;
    for (int i = 0; i < 3; ++i) search.observe(i * s, (i + 1) * s, nothing);
    CHECK(search.result().state == StressResult::State::recovering);
    CHECK_FALSE(search.result().broken_value);
    search.end(10 * s);
    CHECK(search.finished());
    CHECK(search.result().text(scenario.stages[0]).find("nothing was answered") !=
          std::string::npos);
  }
}

TEST_CASE("users that do not come break a level, however well the others are served") {
  const Scenario scenario = searching(search_stage());
  Shape shape(scenario);
  Queueing server{.knee = 1e9};
  for (int i = 1; i <= 60; ++i) {
    const Aim aim = shape.at((i - 1) * s);
    if (aim.over) break;
    // Of all users a tenth flaps; of the others no more than 300 are let in.
    const std::uint32_t wanted = aim.classes[0].users;
    Measured measured = server.second(std::min(wanted * 0.9, 300.0));
    measured.tally.users_wanted = wanted;
    measured.tally.ready = std::min<std::uint64_t>(wanted * 9 / 10, 300);
    shape.observe({(i - 1) * s, i * s, measured});
  }
  const StressResult& result = *shape.stress(0);
  REQUIRE(result.first_bad);
  CHECK(result.broken == StressResult::users_do_not_come);
  CHECK(result.levels[*result.last_good].level == 337);  // 300 of 337 are near enough
  CHECK(result.levels[*result.first_bad].level == 505);
  CHECK(result.recovered_after_ns == 0);
  // They had their time: five seconds and the patience.
  CHECK(result.levels[*result.first_bad].until_ns - result.levels[*result.first_bad].from_ns ==
        8 * s);
  CHECK(result.text(scenario.stages[0]).find("300 of 505 are ready") != std::string::npos);
}

TEST_CASE("the stage's time ends a search that has found nothing") {
  Stage stage = search_stage();
  stage.duration_ns = 12 * s;
  const Scenario scenario = searching(stage);
  Shape shape(scenario);
  Queueing server{.knee = 1e9};
  const StressResult& result = run(shape, server, 12);
  CHECK(result.state == StressResult::State::done);
  CHECK(result.out_of_time);
  CHECK_FALSE(result.first_bad);
  CHECK(result.text(stage).find("time ended") != std::string::npos);
}

TEST_CASE("a sustained stage drives the users until the acknowledged rate is what was wanted") {
  Stage stage;
  stage.kind = StageKind::sustained;
  stage.goal = parse_goal("acked_rate 900/s").value();
  stage.from = 50;
  stage.to = 5000;
  stage.duration_ns = 60 * s;
  const Scenario scenario = searching(stage);
  Shape shape(scenario);
  std::uint64_t last = 0;
  for (int i = 1; i <= 59; ++i) {
    const Aim aim = shape.at((i - 1) * s);
    Measured measured;
    measured.seconds = 1;
    last = measured.tally.acknowledged = aim.classes[0].users * 2;
    shape.observe({(i - 1) * s, i * s, measured});
  }
  CHECK(static_cast<double>(last) == doctest::Approx(900).epsilon(0.02));
  CHECK(shape.control(0)->settled);
  CHECK(shape.doing().find("settled") != std::string::npos);
  // Nothing was measured: the load stays where it is.
  const double load = shape.control(0)->load;
  shape.observe({59 * s, 60 * s, Measured{}});
  CHECK(shape.control(0)->load == load);
}
