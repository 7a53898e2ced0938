#include "tools/load/scenario/shape.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>
#include <random>

using namespace ringgate;
using namespace ringgate::load;

namespace {

UserClass weighing(double weight, std::uint32_t users = 0) {
  UserClass one;
  one.weight = weight;
  one.users = users;
  return one;
}

Scenario with(std::vector<Stage> stages, std::vector<UserClass> classes = {weighing(1)}) {
  Scenario scenario;
  scenario.stages = std::move(stages);
  scenario.classes = std::move(classes);
  return scenario;
}

Stage constant(double users, MonoNs duration) {
  Stage stage;
  stage.from = stage.to = users;
  stage.users = static_cast<std::uint32_t>(users);
  stage.duration_ns = duration;
  return stage;
}

Stage of(StageKind kind, double from, double to, MonoNs duration) {
  Stage stage;
  stage.kind = kind;
  stage.from = from;
  stage.to = to;
  stage.duration_ns = duration;
  return stage;
}

// User seconds of a stage, by small steps.
double integral(const Stage& stage) {
  constexpr int steps = 20'000;
  double sum = 0;
  for (int i = 0; i < steps; ++i) {
    sum += level_at(stage, stage.duration_ns / steps * i + stage.duration_ns / steps / 2);
  }
  return sum * static_cast<double>(stage.duration_ns) / steps / static_cast<double>(ns_per_s);
}

std::uint32_t total(const Aim& aim) {
  std::uint32_t sum = 0;
  for (const ClassAim& one : aim.classes) sum += one.users;
  return sum;
}

constexpr MonoNs s = ns_per_s;
constexpr MonoNs hour = 3600 * s;

}  // namespace

TEST_CASE("user seconds of each shape are what its formula says") {
  CHECK(integral(of(StageKind::ramp, 10, 30, 10 * s)) == doctest::Approx(200));
  CHECK(integral(of(StageKind::ramp, 30, 0, 10 * s)) == doctest::Approx(150));

  Stage wave = of(StageKind::wave, 100, 300, 60 * s);
  wave.period_ns = 20 * s;  // whole waves: the mean is the middle
  CHECK(integral(wave) == doctest::Approx(60 * 200));
  CHECK(level_at(wave, 0) == doctest::Approx(100));
  CHECK(level_at(wave, 10 * s) == doctest::Approx(300));

  Stage step = of(StageKind::step, 10, 50, 50 * s);
  step.steps = 5;
  CHECK(integral(step) == doctest::Approx(10 * (10 + 20 + 30 + 40 + 50)));
  CHECK(level_at(step, 50 * s) == 50);

  Stage spike = of(StageKind::spike, 10, 110, 60 * s);
  spike.at_ns = 20 * s;
  spike.rise_ns = 4 * s;
  spike.hold_ns = 10 * s;
  spike.fall_ns = 6 * s;
  CHECK(integral(spike) == doctest::Approx(10 * 60 + 100 * (2 + 10 + 3)).epsilon(0.001));
  CHECK(level_at(spike, 19 * s) == 10);
  CHECK(level_at(spike, 22 * s) == doctest::Approx(60));
  CHECK(level_at(spike, 25 * s) == 110);
  CHECK(level_at(spike, 40 * s) == 10);
}

TEST_CASE("a day: straight lines between its times, over midnight too, at any speed") {
  Stage day = of(StageKind::day, 0, 1000, 24 * s);  // an hour a second
  day.day = {{6 * hour, 0.2}, {8 * hour, 1.0}, {20 * hour, 0.4}};
  day.day_from_ns = 0;
  day.day_until_ns = 24 * hour;
  CHECK(level_at(day, 6 * s) == doctest::Approx(200));
  CHECK(level_at(day, 7 * s) == doctest::Approx(600));
  CHECK(level_at(day, 8 * s) == doctest::Approx(1000));
  CHECK(level_at(day, 14 * s) == doctest::Approx(700));
  // From 0.4 at eight in the evening to 0.2 at six: ten hours, midnight is at the fourth.
  CHECK(level_at(day, 24 * s - 1) == doctest::Approx(1000 * (0.4 - 0.2 * 4 / 10)).epsilon(0.001));
  CHECK(level_at(day, 0) == doctest::Approx(level_at(day, 24 * s - 1)).epsilon(0.001));

  Stage slow = day;
  slow.duration_ns = 24 * hour;
  for (int i = 0; i < 24; ++i) {
    CHECK(level_at(slow, i * hour) == doctest::Approx(level_at(day, i * s)));
  }
  Stage night = day;  // from ten at night until four
  night.day_from_ns = 22 * hour;
  night.day_until_ns = 28 * hour;
  night.duration_ns = 6 * s;
  CHECK(level_at(night, 2 * s) == doctest::Approx(level_at(day, 0)));
  CHECK(level_at(night, 5 * s) == doctest::Approx(level_at(day, 3 * s)));
}

TEST_CASE("the shipped working day has two peaks, a pause at noon, and closes") {
  const Result<Scenario, Problems> read =
      read_scenario(scenario_text("day").value(), "day.toml");
  REQUIRE(read.ok());
  const Stage& day = read->stages[0];
  const auto at = [&](double hours) {
    return level_at(day, static_cast<MonoNs>(hours / 24 * static_cast<double>(day.duration_ns)));
  };
  CHECK(at(8) == doctest::Approx(2000));
  CHECK(at(17) == doctest::Approx(2000));
  CHECK(at(12) <= 1000);
  CHECK(at(10) > at(12));
  CHECK(at(15) > at(12.5));
  CHECK(at(22) < 0.1 * at(17));
  for (double hours = 0; hours < 24; hours += 0.1) {
    CHECK(at(hours) >= 0);
    CHECK(at(hours) <= 2000.001);
  }
}

TEST_CASE("users onto classes: the sum is kept, each is near his part, none loses when more come") {
  std::mt19937_64 random(6);
  for (int round = 0; round < 200; ++round) {
    std::vector<UserClass> classes;
    double weights = 0;
    for (std::uint64_t i = 0; i < 1 + random() % 7; ++i) {
      const double weight = round % 2 == 0 ? static_cast<double>(random() % 10)
                                           : static_cast<double>(random() % 1000) / 37;
      const std::uint32_t own = random() % 5 == 0 ? 3 : 0;
      classes.push_back(weighing(weight, own));
      if (own == 0) weights += weight;
    }
    std::vector<std::uint32_t> before(classes.size());
    for (std::uint32_t users = 0; users < 300; ++users) {
      const std::vector<std::uint32_t> now = spread(classes, users);
      std::uint32_t shared = 0;
      for (std::size_t i = 0; i < classes.size(); ++i) {
        if (classes[i].users > 0) {
          CHECK(now[i] == 3);
          continue;
        }
        shared += now[i];
        CHECK(now[i] >= before[i]);
        if (weights > 0) {
          const double part = users * classes[i].weight / weights;
          CHECK(std::abs(now[i] - part) < static_cast<double>(classes.size()) / 2 + 1);
        }
      }
      CHECK(shared == (weights > 0 ? users : 0));
      before = now;
    }
  }
  CHECK(spread({weighing(7), weighing(2), weighing(1)}, 1'000'000) ==
        std::vector<std::uint32_t>{700'000, 200'000, 100'000});
}

TEST_CASE("stages follow each other, whenever one looks; the end is the end") {
  const Scenario scenario = with({constant(5, 10 * s), of(StageKind::ramp, 5, 15, 10 * s),
                                  constant(2, 1 * s)}, {weighing(1), weighing(0, 3)});
  Shape shape(scenario);
  CHECK(shape.planned_end_ns() == 21 * s);
  CHECK(total(shape.at(0)) == 5 + 3);
  CHECK(shape.at(9'999'999'999).stage == 0);
  CHECK(shape.at(10 * s).stage == 1);
  const Aim middle = shape.at(15 * s);
  CHECK(middle.classes[0].users == 10);
  CHECK(middle.classes[1].users == 3);
  CHECK(middle.at_ns == 15 * s);
  CHECK_FALSE(middle.over);
  const Aim end = shape.at(60 * s);  // a look that skips a stage
  CHECK(end.over);
  CHECK(total(end) == 0);
  REQUIRE(shape.spans().size() == 3);
  CHECK(shape.spans()[1].from_ns == 10 * s);
  CHECK(shape.spans()[1].until_ns == 20 * s);
  CHECK(shape.spans()[2].until_ns == 21 * s);
  CHECK(shape.planned_end_ns() == 21 * s);
}

TEST_CASE("the rate varies, and the users stay") {
  Stage stage = of(StageKind::ramp, 1, 3, 10 * s);
  stage.vary = Vary::rate;
  stage.users = 40;
  const Scenario scenario = with({stage});
  Shape shape(scenario);
  CHECK(shape.at(5 * s).classes[0].rate_factor == doctest::Approx(2));
  CHECK(total(shape.at(5 * s)) == 40);
}

TEST_CASE("connect_rate bounds who comes, not who leaves") {
  Stage stage = constant(1000, 20 * s);
  stage.connect_rate = 100;
  const Scenario scenario = with({stage, constant(10, 1 * s)});
  Shape shape(scenario);
  std::uint32_t before = 0;
  for (MonoNs now = 0; now < 20 * s; now += 100'000'000) {
    const std::uint32_t users = total(shape.at(now));
    CHECK(users - before <= 11);
    CHECK(std::abs(users - std::min(1000.0, 100.0 * static_cast<double>(now) / s)) <= 1.0001);
    before = users;
  }
  CHECK(before == 1000);
  CHECK(total(shape.at(20 * s)) == 10);
}

TEST_CASE("any scenario: users never above the most that was said, and the same aims each time") {
  std::mt19937_64 random(3);
  for (int round = 0; round < 100; ++round) {
    std::vector<Stage> stages;
    for (std::uint64_t i = 0; i < 1 + random() % 5; ++i) {
      const auto low = static_cast<double>(random() % 50);
      const double high = low + 1 + static_cast<double>(random() % 500);
      Stage stage = of(static_cast<StageKind>(random() % 8), std::max(low, 1.0), high,
                       static_cast<MonoNs>(1 + random() % 30) * s);
      if (stage.kind == StageKind::constant) stage.from = stage.to;
      stage.steps = 2 + static_cast<std::uint32_t>(random() % 5);
      stage.at_ns = stage.duration_ns / 3;
      stage.hold_ns = stage.rise_ns = stage.duration_ns / 10;
      stage.period_ns = 1 + stage.duration_ns / (1 + random() % 4);
      stage.day = {{3 * hour, 0.1}, {9 * hour, 1}, {18 * hour, 0.3}};
      stage.day_until_ns = 24 * hour;
      stage.goal = parse_goal("acked_rate 500/s").value();
      stage.bounds = {parse_condition("p99 < 1ms").value()};
      stage.every_ns = 2 * s;
      stage.patience_ns = 1 * s;
      stages.push_back(stage);
    }
    const Scenario scenario = with(stages, {weighing(3), weighing(1), weighing(0, 2)});
    const std::vector<std::uint32_t> most = scenario.users_max_by_class();
    std::vector<Aim> first;
    for (int replay = 0; replay < 2; ++replay) {
      Shape shape(scenario);
      std::mt19937_64 noise(99);
      std::size_t number = 0;
      for (MonoNs now = 0; now < 200 * s; now += 250'000'000) {
        const Aim aim = shape.at(now);
        for (std::size_t i = 0; i < most.size(); ++i) CHECK(aim.classes[i].users <= most[i]);
        if (replay == 0) first.push_back(aim);
        CHECK(aim == first[number++]);
        if (now % s != 0 || now == 0) continue;
        Observation seen{now - s, now, {}};
        seen.all.seconds = 1;
        seen.all.tally.acknowledged = noise() % 1000;
        shape.observe(seen);
      }
      CHECK(shape.at(201 * s).over);
    }
  }
}
