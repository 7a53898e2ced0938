// The coordinator with real forked workers that play a script: what they tell is merged, a worker
// that dies is named and the rest stays right, aims are shared out exactly.
#include <doctest/doctest.h>
#include <fmt/core.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ctime>
#include <nlohmann/json.hpp>

#include "tools/load/run/coordinator.hpp"
#include "tools/load/run/view.hpp"

using namespace ringgate;
using load::Coordinator;
using load::Interval;
using load::RunOptions;
using load::RunResult;
using load::Scenario;
namespace wire = load::wire;

namespace {

// Follows aims: a stage is one Interval, in which each user has one operation of 1 ms acknowledged.
class Puppet {
 public:
  Puppet(int fd, wire::Decoder decoder) : fd_(fd), decoder_(std::move(decoder)) {}

  void say(const wire::Message& message) const {
    const std::string frame = wire::encode(message);
    if (send(fd_, frame.data(), frame.size(), MSG_NOSIGNAL) < 0) _exit(9);
  }
  wire::Message hear() {
    char buffer[4096];
    while (true) {
      auto next = decoder_.next();
      if (!next.ok()) _exit(8);
      if (next->has_value()) return std::move(**next);
      const ssize_t got = recv(fd_, buffer, sizeof buffer, 0);
      if (got <= 0) _exit(7);
      decoder_.feed({buffer, static_cast<std::size_t>(got)});
    }
  }
  // `at_aim`: each aim, and the number of this worker.
  int play(const std::function<void(const load::Aim& aim, std::uint32_t worker)>& at_aim) {
    wire::Setup setup;
    MonoNs from = 0;
    load::Aim last;
    while (true) {
      const wire::Message message = hear();
      if (const auto* got = std::get_if<wire::Setup>(&message)) {
        setup = *got;
        say(wire::Ready{});
      } else if (const auto* ping = std::get_if<wire::Ping>(&message)) {
        say(wire::Pong{ping->number, ping->number + 1'000'000'000});
      } else if (const auto* aim = std::get_if<load::Aim>(&message)) {
        at_aim(*aim, setup.worker);
        if (aim->stage != last.stage) from = tell(last, from, aim->at_ns);
        last = *aim;
      } else if (std::get_if<wire::Stop>(&message) != nullptr) {
        tell(last, from, last.at_ns + 1);
        say(wire::End{});
        return 0;
      }
    }
  }

 private:
  MonoNs tell(const load::Aim& aim, MonoNs from, MonoNs to) const {
    Interval interval;
    interval.stage = aim.stage;
    interval.from_ns = from;
    interval.to_ns = to;
    interval.classes.resize(aim.classes.size());
    load::LatencyRecorder recorder;
    for (std::uint32_t i = 0; i < aim.classes[0].users; ++i) recorder.record(1'000'000);
    interval.classes[0].users = aim.classes[0].users;
    interval.classes[0].acknowledged = aim.classes[0].users;
    interval.classes[0].response = recorder.take();
    say(interval);
    return to;
  }

  int fd_;
  wire::Decoder decoder_;
};

class Notices final : public load::View {
 public:
  void on_progress(const load::Progress&) override {}
  void on_row(const load::Row&, const load::Progress&) override { ++rows; }
  void on_notice(const std::string& text) override { notices.push_back(text); }
  void end() override {}
  std::vector<std::string> notices;
  int rows = 0;
};

Scenario scenario_of(const char* text) {
  Result<Scenario, load::Problems> read = load::read_scenario(text, "test.toml");
  if (!read.ok()) {
    for (const load::Problem& problem : read.error()) MESSAGE(problem.text());
  }
  REQUIRE(read.ok());
  return std::move(*read);
}

constexpr const char* five_users = R"(
[target]
jt808 = "127.0.0.1:1"
server_pid = "none"
[[class]]
name = "cars"
kind = "terminal"
[[stage]]
name = "come"
kind = "constant"
users = 5
duration = "200ms"
[[stage]]
name = "work"
kind = "constant"
users = 5
duration = "300ms"
[thresholds]
all = ["p99 < 20ms", "errors == 0"]
)";

}  // namespace

TEST_CASE("two workers share the users; what they did is merged") {
  const Scenario scenario = scenario_of(five_users);
  Notices view;
  RunOptions options;
  options.workers = 2;
  Coordinator coordinator(scenario, options, view, [] { return 0; });
  const Result<void> played = coordinator.run([](int fd, wire::Decoder decoder) {
    return Puppet(fd, std::move(decoder)).play([](const load::Aim&, std::uint32_t) {});
  });
  REQUIRE_MESSAGE(played.ok(), (played.ok() ? "" : played.error().message));
  const RunResult& result = coordinator.result();
  CHECK(view.notices.empty());
  CHECK(view.rows > 0);
  CHECK(result.exit_status() == 0);
  REQUIRE(result.workers.size() == 2);
  CHECK(result.workers[0].users_max == 3);
  CHECK(result.workers[1].users_max == 2);
  CHECK(result.workers[0].clock_offset_ns > 900'000'000);  // as the puppets pretend
  const load::Measured* all = coordinator.timeline().measured({});
  REQUIRE(all != nullptr);
  CHECK(all->tally.users == 5);
  CHECK(all->tally.response.count() == all->tally.acknowledged);
  const auto file = nlohmann::json::parse(load::run_json(result));
  CHECK(file["workers"].size() == 2);
  CHECK(file["totals"]["all"]["acknowledged"] == all->tally.acknowledged);
  CHECK(file["thresholds"][0]["holds"] == true);
  CHECK(load::run_csv(result).find(",work,cars,") != std::string::npos);
  CHECK(load::run_table(result, false).find("ok      p99 < 20ms") != std::string::npos);
}

TEST_CASE("a worker that is killed is named, and the other one stays right") {
  const Scenario scenario = scenario_of(five_users);
  Notices view;
  RunOptions options;
  options.workers = 2;
  Coordinator coordinator(scenario, options, view, [] { return 0; });
  REQUIRE(coordinator.run([](int fd, wire::Decoder decoder) {
    return Puppet(fd, std::move(decoder)).play([](const load::Aim& aim, std::uint32_t worker) {
      if (worker == 1 && aim.at_ns > 300'000'000) kill(getpid(), SIGKILL);
    });
  }).ok());
  const RunResult& result = coordinator.result();
  CHECK(result.exit_status() == 1);
  CHECK(result.workers[0].lost_ns < 0);
  CHECK(result.workers[1].lost_ns > 0);
  CHECK(result.workers[1].lost_why == "killed by signal 9 (Killed)");
  CHECK(result.workers[1].users_lost == 2);
  CHECK(coordinator.timeline().measured({})->tally.users == 3);
  REQUIRE(view.notices.size() == 1);
  CHECK(view.notices[0].find("its 2 users are gone, the others go on") != std::string::npos);
  const std::string table = load::run_table(result, false);
  CHECK(table.find("was lost at") < table.find("class"));
}

TEST_CASE("a worker that cannot begin ends the run before it began") {
  const Scenario scenario = scenario_of(five_users);
  Notices view;
  Coordinator coordinator(scenario, {}, view, [] { return 0; });
  const Result<void> played = coordinator.run([](int fd, wire::Decoder decoder) {
    Puppet puppet(fd, std::move(decoder));
    puppet.hear();
    puppet.say(wire::Problem{"no ring"});
    return 2;
  });
  REQUIRE_FALSE(played.ok());
  CHECK(played.error().message.find("no ring") != std::string::npos);
}

TEST_CASE("Ctrl-C ends the run in order, and the result says so") {
  const Scenario scenario = scenario_of(five_users);
  Notices view;
  int asked = 0;
  Coordinator coordinator(scenario, {}, view, [&] { return ++asked > 3 ? 1 : 0; });
  REQUIRE(coordinator.run([](int fd, wire::Decoder decoder) {
    return Puppet(fd, std::move(decoder)).play([](const load::Aim&, std::uint32_t) {});
  }).ok());
  CHECK(coordinator.result().interrupted);
}

TEST_CASE("on a low screen classes give way to errors and notices") {
  Scenario scenario = scenario_of(five_users);
  while (scenario.classes.size() < 30) scenario.classes.push_back(scenario.classes.front());
  load::ScreenState state;
  load::Row row;
  row.to_ns = ns_per_s;
  row.classes.resize(30);
  state.recent.assign(3, row);
  state.errors["link_closed"] = 7;
  state.notices = {"worker 1 is lost"};
  for (const std::size_t lines : {16U, 24U, 40U, 60U}) {
    CAPTURE(lines);
    const auto drawn = load::draw_screen(scenario, state, 80, lines, false);
    CHECK(drawn.size() == std::min<std::size_t>(lines, 44));
    CHECK(drawn.back() == "worker 1 is lost");
    CHECK(drawn[drawn.size() - 2].find("link_closed 7") != std::string::npos);
    const auto low = std::count_if(drawn.begin(), drawn.end(), [](const std::string& line) {
      return line.find("classes: the screen is low") != std::string::npos;
    });
    CHECK(low == (lines < 44 ? 1 : 0));
  }
}

TEST_CASE("the screen fits what it is given") {
  const Scenario scenario = scenario_of(five_users);
  load::ScreenState state;
  state.progress.workers = 2;
  state.progress.workers_lost = 1;
  state.progress.phase = "running";
  state.progress.planned_ns = 10 * ns_per_s;
  state.progress.now_ns = 5 * ns_per_s;
  state.progress.faults = {"cut"};
  load::Row row;
  row.to_ns = ns_per_s;
  row.classes.resize(1);
  row.classes[0].sent = 12'345;
  row.own_cpu = 0.97;
  state.recent.assign(100, row);
  state.notices = {"worker 1 is lost"};
  for (const std::size_t columns : {20U, 80U, 200U}) {
    for (const std::size_t lines : {5U, 24U, 60U}) {
      const auto drawn = load::draw_screen(scenario, state, columns, lines, false);
      CHECK(drawn.size() <= lines);
      for (const std::string& line : drawn) {
        const auto width = std::count_if(line.begin(), line.end(), [](char c) {
          return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
        });
        // A line that was cut ends by giving the colours back: four characters without width.
        CHECK(static_cast<std::size_t>(width) <= columns + 4);
      }
    }
  }
  std::string all;
  for (const std::string& line : load::draw_screen(scenario, state, 120, 40, false)) {
    all += line;
    all += '\n';
  }
  for (const char* part : {"5 s of 10 s", "1 LOST", "fault cut", "12.3k", "IT IS THE BOTTLENECK",
                           "worker 1 is lost"}) {
    CHECK_MESSAGE(all.find(part) != std::string::npos, part);
  }
  CHECK(load::sparkline({0, 1, 2}, 2) == "▅█");
  CHECK(load::sparkline({0, 0}, 5) == "▁▁");
}
