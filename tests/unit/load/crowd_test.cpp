// Crowds on the simulated ring against a server whose stalls are scripted: what is measured must be
// what the script says, to the precision of the histogram's steps and of a turn.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/unit/load/crowd_rig.hpp"
#include "tools/load/crowd/terminal_crowd.hpp"

using namespace ringgate;
using unit::CrowdRig;

namespace {

constexpr std::uint32_t devices = 16;
constexpr MonoNs interval_ns = 100 * ns_per_ms;
constexpr MonoNs answer_ns = 2 * ns_per_ms;  // what the server takes when it does not stall
constexpr MonoNs net_ns = 50'000;            // each way
constexpr MonoNs run_ns = 6 * ns_per_s;
// Turns, and the wake-ups of both sides.
constexpr MonoNs slack_ns = 300'000;

io::SimOptions steady() {
  io::SimOptions options;
  options.net_delay_min_ns = options.net_delay_max_ns = net_ns;
  options.wake_delay_max_ns = 1'000;
  return options;
}

struct Stall {
  MonoNs from_ns, until_ns;  // since the aim; what would leave meanwhile leaves at its end
};

MonoNs leaves_at(MonoNs arrived, const std::vector<Stall>& stalls, MonoNs base) {
  MonoNs at = arrived + answer_ns;
  for (const Stall& stall : stalls) {
    if (at >= base + stall.from_ns && at < base + stall.until_ns) at = base + stall.until_ns;
  }
  return at;
}

struct Expected {
  std::vector<MonoNs> response, service, lag;
};

// One report of a device at a time, each due at its own moments: what the script makes of that.
Expected expect(const std::vector<Stall>& stalls, MonoNs base, std::uint32_t in_flight) {
  Expected out;
  for (std::uint32_t i = 0; i < devices; ++i) {
    const double turns = i * 0.6180339887498949;
    const double phase = turns - std::floor(turns);
    std::vector<MonoNs> done;
    for (std::uint32_t j = 0;; ++j) {
      const MonoNs due = base + static_cast<MonoNs>((j + phase) * interval_ns);
      if (due > base + run_ns) break;
      const bool waits = done.size() >= in_flight;
      const MonoNs sent = waits ? std::max(due, done[done.size() - in_flight]) : due;
      MonoNs answered = leaves_at(sent + net_ns, stalls, base) + net_ns;
      if (!done.empty()) answered = std::max(answered, done.back());
      done.push_back(answered);
      out.response.push_back(answered - due);
      out.service.push_back(answered - sent);
      out.lag.push_back(sent - due);
    }
  }
  return out;
}

MonoNs percentile(std::vector<MonoNs> values, double percent) {
  std::sort(values.begin(), values.end());
  const auto rank = static_cast<std::size_t>(
      std::ceil(percent / 100 * static_cast<double>(values.size())));
  return values[std::max<std::size_t>(rank, 1) - 1];
}

void check_same(const char* name, const load::Latency& measured,
                const std::vector<MonoNs>& expected) {
  for (const double percent : {10.0, 50.0, 90.0, 99.0, 100.0}) {
    const auto wanted = static_cast<double>(percentile(expected, percent));
    const auto got = static_cast<double>(measured.percentile(percent));
    CAPTURE(name);
    CAPTURE(percent);
    CAPTURE(wanted);
    CAPTURE(got);
    CHECK(std::abs(got - wanted) <= wanted * 0.01 + slack_ns);
  }
}

struct Run {
  load::Tally tally;
  Expected expected;
};

Run run(const std::vector<Stall>& stalls, std::uint32_t in_flight) {
  MonoNs base = 0;
  CrowdRig rig(steady(), [&](MonoNs now) {
    return base == 0 ? now : leaves_at(now, stalls, base);
  });
  load::TerminalCrowdOptions options;
  options.terminals.target = rig.target.address;
  options.terminals.target_bytes = rig.target.bytes;
  options.terminals.devices = devices;
  options.terminals.window = in_flight;
  options.terminals.frames_per_send = 4;
  options.terminals.closed = false;
  options.terminals.due_max = 64;
  options.interval_ns = interval_ns;
  load::TerminalCrowd crowd(rig.place(devices), options);
  crowd.set_aim({devices, 0});  // they come, and are silent
  rig.run_until(crowd, rig.world.now() + 500 * ns_per_ms);
  REQUIRE(crowd.take_tally().ready == devices);
  base = rig.world.now();
  crowd.set_aim({devices, 1});
  rig.run_until(crowd, base + run_ns);
  crowd.set_aim({devices, 0});
  rig.run_until(crowd, base + run_ns + 2 * ns_per_s);
  Run out{crowd.take_tally(), expect(stalls, base, in_flight)};
  crowd.stop(false);
  rig.run_until(crowd, rig.world.now() + 10 * ns_per_s);
  CHECK(crowd.finished());
  CHECK(crowd.take_tally().errors.empty());
  return out;
}

}  // namespace

TEST_CASE("stalls of a server are seen from when reports were due, not from when they left") {
  // A hiccup, a long one, and one that meets reports that still wait for the one before.
  const std::vector<Stall> stalls{{800 * ns_per_ms, 850 * ns_per_ms},
                                  {2000 * ns_per_ms, 2800 * ns_per_ms},
                                  {2850 * ns_per_ms, 3000 * ns_per_ms}};
  const Run got = run(stalls, 1);
  const std::size_t count = got.expected.response.size();
  CHECK(got.tally.errors.empty());
  CHECK(got.tally.dropped == 0);
  CHECK(got.tally.due == count);
  CHECK(got.tally.acknowledged == count);
  check_same("response", got.tally.response, got.expected.response);
  check_same("service", got.tally.service, got.expected.service);
  check_same("lag", got.tally.lag, got.expected.lag);
  // A closed loop would have called this an 800 ms stall of 16 reports; it was one of some 150.
  CHECK(got.tally.response.count_above(100 * ns_per_ms) > 5 * devices);
  CHECK(got.tally.service.count_above(100 * ns_per_ms) <= 3 * devices);
}

TEST_CASE("with a window nothing waits here: service and response are one") {
  const Run got = run({{1000 * ns_per_ms, 1600 * ns_per_ms}}, 64);
  check_same("response", got.tally.response, got.expected.response);
  check_same("service", got.tally.service, got.expected.response);
  CHECK(got.tally.lag.max_ns() < slack_ns);
}

TEST_CASE("a window that is full drops what is due, and says so") {
  CrowdRig rig(steady(), [](MonoNs now) { return now < 3 * ns_per_s ? now : now + ns_per_s; });
  load::TerminalCrowdOptions options;
  options.terminals.target = rig.target.address;
  options.terminals.target_bytes = rig.target.bytes;
  options.terminals.devices = 1;
  options.terminals.window = 2;
  options.terminals.closed = false;
  options.terminals.due_max = 5;
  options.interval_ns = 10 * ns_per_ms;
  load::TerminalCrowd crowd(rig.place(1), options);
  const MonoNs begin = rig.world.now();
  crowd.set_aim({1, 1});
  rig.run_until(crowd, begin + 2 * ns_per_s);
  const load::Tally well = crowd.take_tally();
  CHECK(well.dropped == 0);
  CHECK(well.acknowledged >= 190);
  rig.run_until(crowd, 3 * ns_per_s + begin);
  static_cast<void>(crowd.take_tally());
  rig.run_until(crowd, begin + 8 * ns_per_s);
  const load::Tally full = crowd.take_tally();
  // Up to three are held back at either end.
  CHECK(full.due <= full.dropped + full.sent + 3);
  CHECK(full.due + 3 >= full.dropped + full.sent);
  CHECK(full.dropped > 400);
  CHECK(full.errors.empty());
}

TEST_CASE("users come and go as the aims say, on a rough network too") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    io::SimOptions rough = io::SimOptions::rough(seed);
    rough.reset = 0;
    CrowdRig rig(rough, [](MonoNs now) { return now; });
    load::TerminalCrowdOptions options;
    options.terminals.target = rig.target.address;
    options.terminals.target_bytes = rig.target.bytes;
    options.terminals.devices = 30;
    options.terminals.window = 64;
    options.terminals.closed = false;
    options.interval_ns = 50 * ns_per_ms;
    load::TerminalCrowd crowd(rig.place(30), options);
    load::Tally all;
    for (const std::uint32_t users : {10U, 30U, 3U, 20U, 0U}) {
      crowd.set_aim({users, 1});
      rig.run_until(crowd, rig.world.now() + 3 * ns_per_s, ns_per_ms);
      const load::Tally step = crowd.take_tally();
      CHECK(step.users_wanted == users);
      CHECK(step.ready == users);
      CHECK(step.users == users);
      all.append(step);
    }
    crowd.stop(false);
    rig.run_until(crowd, rig.world.now() + 11 * ns_per_s, ns_per_ms);
    CHECK(crowd.finished());
    all.append(crowd.take_tally());
    CHECK(all.errors.empty());
    CHECK(all.connected == 10 + 20 + 17);
    CHECK(all.left == 27 + 20);
    CHECK(all.sent == all.acknowledged);
    CHECK(all.due == all.sent + all.dropped);
  }
}

// ---- leaving -----------------------------------------------------------------------------------

namespace {

load::TerminalCrowdOptions leavers(const CrowdRig& rig, std::uint32_t count) {
  load::TerminalCrowdOptions options;
  options.terminals.target = rig.target.address;
  options.terminals.target_bytes = rig.target.bytes;
  options.terminals.devices = count;
  options.terminals.window = 64;
  options.terminals.closed = false;
  options.interval_ns = interval_ns;
  return options;
}

}  // namespace

TEST_CASE("who leaves by plan with reports under way is no error, by whatever way it leaves") {
  constexpr MonoNs late_ns = 800 * ns_per_ms;
  bool late = false;
  CrowdRig rig(steady(), [&](MonoNs now) { return late ? now + late_ns : now; });
  load::TerminalCrowdOptions options = leavers(rig, devices);
  bool hard = false;
  SUBCASE("ramp down") {}
  SUBCASE("flapping") {
    options.flaps = true;
    options.stay = {.min_ns = 300 * ns_per_ms, .max_ns = 900 * ns_per_ms};
    options.away = {.min_ns = 100 * ns_per_ms, .max_ns = 200 * ns_per_ms};
    options.leave = load::Leave::either;
  }
  SUBCASE("the end of the run") { hard = true; }
  load::TerminalCrowd crowd(rig.place(devices), options);
  crowd.set_aim({devices, 1});
  rig.run_until(crowd, rig.world.now() + ns_per_s);
  load::Tally all = crowd.take_tally();
  REQUIRE(all.acknowledged > 0);
  late = true;
  rig.run_until(crowd, rig.world.now() + 3 * ns_per_s);
  if (!hard) {
    crowd.set_aim({2, 1});  // the others have reports that are not answered yet
    rig.run_until(crowd, rig.world.now() + 3 * ns_per_s);
  }
  all.append(crowd.take_tally());
  if (!options.flaps) CHECK(all.outstanding > 0);
  if (!hard) CHECK(all.left >= devices - 2);
  crowd.stop(hard);
  rig.run_until(crowd, rig.world.now() + 11 * ns_per_s);
  CHECK(crowd.finished());
  all.append(crowd.take_tally());
  CHECK(all.errors.empty());
  CHECK(all.sent > all.left);
  const auto cut = all.notes.find("left_unanswered");
  const std::uint64_t cut_off = cut == all.notes.end() ? 0 : cut->second;
  CHECK((cut_off > 0) == hard);
  CHECK(all.sent == all.acknowledged + cut_off);
}

TEST_CASE("what a server owes for as long as a leaver waits is unanswered, what is younger not") {
  bool mute = false;
  CrowdRig rig(steady(), [&](MonoNs now) { return mute ? now + 1000 * ns_per_s : now; });
  load::TerminalCrowd crowd(rig.place(devices), leavers(rig, devices));
  crowd.set_aim({devices, 1});
  rig.run_until(crowd, rig.world.now() + ns_per_s);
  load::Tally all = crowd.take_tally();
  mute = true;
  rig.run_until(crowd, rig.world.now() + ns_per_s);
  crowd.set_aim({devices / 2, 1});  // half of them wait in vain
  rig.run_until(crowd, rig.world.now() + 5 * ns_per_s + 100 * ns_per_ms);
  const load::Tally ramp = crowd.take_tally();
  CHECK(ramp.left == devices / 2);
  const std::uint64_t owed = ramp.count_of("unanswered");
  CHECK(owed >= 9 * devices / 2);
  CHECK(owed <= 11 * devices / 2);
  CHECK(ramp.notes.empty());
  // The others have reports of the last second as well as old ones.
  crowd.stop(true);
  rig.run_until(crowd, rig.world.now() + 11 * ns_per_s);
  CHECK(crowd.finished());
  const load::Tally end = crowd.take_tally();
  CHECK(end.count_of("unanswered") >= 10 * devices / 2);
  CHECK(end.notes.at("left_unanswered") >= 49 * devices / 2);
  all.append(ramp);
  all.append(end);
  CHECK(all.sent == all.acknowledged + all.count_of("unanswered") + all.notes["left_unanswered"]);
}

TEST_CASE("who was there for long enough and never became ready is an error, once") {
  bool mute = true;
  CrowdRig rig(steady(), [&](MonoNs now) { return mute ? now + 1000 * ns_per_s : now; });
  load::TerminalCrowd crowd(rig.place(devices), leavers(rig, devices));
  const auto go_on = [&](MonoNs how_long) {
    rig.run_until(crowd, rig.world.now() + how_long, ns_per_ms);
    return crowd.take_tally();
  };
  SUBCASE("a server that answers nobody") {
    crowd.set_aim({devices, 1});
    load::Tally all = go_on(3 * ns_per_s);
    CHECK(all.ready == 0);
    CHECK(all.errors.empty());
    crowd.set_aim({2, 1});
    all.append(go_on(ns_per_s));
    CHECK(all.count_of("not_ready") == devices - 2);
    crowd.stop(false);
    all.append(go_on(11 * ns_per_s));
    CHECK(crowd.finished());
    CHECK(all.error_count() == devices);
    CHECK(all.count_of("not_ready") == devices);
    CHECK(all.last_error.starts_with("not_ready: no answer to its registration in "));
    CHECK(all.due == 0);
  }
  SUBCASE("one that leaves the later ones alone") {
    mute = false;
    crowd.set_aim({1, 1});
    REQUIRE(go_on(ns_per_s).ready == 1);
    mute = true;
    crowd.set_aim({2, 0});
    static_cast<void>(go_on(3 * ns_per_s));
    crowd.set_aim({1, 0});
    CHECK(go_on(ns_per_s).count_of("not_ready") == 0);  // it has not waited for long
    crowd.set_aim({3, 0});
    static_cast<void>(go_on(6 * ns_per_s));
    crowd.set_aim({1, 0});
    CHECK(go_on(ns_per_s).count_of("not_ready") == 2);
  }
}
