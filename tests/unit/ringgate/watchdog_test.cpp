// The pulse of threads and the watchdog that is fed from it, on a clock of the test.
#include <doctest/doctest.h>
#include <stdlib.h>
#include <unistd.h>

#include <string>

#include "tools/ringgate/notify.hpp"

using namespace ringgate;
using server::Watchdog;
using Verdict = server::Watchdog::Verdict;

namespace {

constexpr MonoNs second = ns_per_s;

void answer_all(shard::Pulse& pulse) {
  for (std::size_t i = 0; i < pulse.size(); ++i) pulse.answer(i);
}

}  // namespace

TEST_CASE("pulse: a member has answered once it turned after the question, or has ended") {
  shard::Pulse pulse({"shard-0", "shard-1"});
  CHECK(pulse.answered(0));  // nobody has asked
  pulse.ask();
  CHECK_FALSE(pulse.answered(0));
  pulse.answer(0);
  CHECK(pulse.answered(0));
  CHECK_FALSE(pulse.answered(1));
  pulse.ask();
  CHECK_FALSE(pulse.answered(0));  // its answer was to the question before
  pulse.leave(0);
  pulse.ask();
  CHECK(pulse.answered(0));
  pulse.answer(0);  // a turn after the end takes nothing back
  CHECK(pulse.answered(0));
  CHECK_FALSE(pulse.answered(1));
}

TEST_CASE("watchdog: fed four times in an interval while all turn") {
  shard::Pulse pulse({"shard-0", "shard-1"});
  Watchdog watchdog(pulse, 8 * second, 0);
  int fed = 0;
  for (MonoNs now = 0; now < 80 * second; now += second / 2) {
    const Verdict verdict = watchdog.look(now);
    CHECK(verdict != Verdict::stuck);
    if (verdict == Verdict::feed) {
      ++fed;
      CHECK(now % (2 * second) == 0);
    }
    answer_all(pulse);
  }
  CHECK(fed == 40);
}

TEST_CASE("watchdog: one member that does not turn starves it, and is named") {
  shard::Pulse pulse({"shard-0", "shard-1", "api"});
  Watchdog watchdog(pulse, 8 * second, 0);
  CHECK(watchdog.look(0) == Verdict::feed);
  MonoNs last_fed = 0;
  int named = 0;
  for (MonoNs now = second; now <= 40 * second; now += second) {
    pulse.answer(0);
    pulse.answer(2);
    const Verdict verdict = watchdog.look(now);
    if (verdict == Verdict::feed) last_fed = now;
    if (verdict == Verdict::stuck) {
      ++named;
      CHECK(watchdog.stuck_text().starts_with("shard-1: no turn for "));
    }
  }
  CHECK(last_fed == 0);
  CHECK(named >= 10);
  // It turns again: the next look feeds.
  pulse.answer(1);
  CHECK(watchdog.look(42 * second) == Verdict::feed);
  CHECK(watchdog.stuck_text().empty());
}

TEST_CASE("watchdog: a turn of a quarter of the interval alarms nobody") {
  shard::Pulse pulse({"shard-0"});
  Watchdog watchdog(pulse, 8 * second, 0);
  CHECK(watchdog.look(0) == Verdict::feed);
  CHECK(watchdog.look(2 * second) == Verdict::wait);
  pulse.answer(0);
  CHECK(watchdog.look(4 * second) == Verdict::feed);
  // What it answers is the newest question only: half an interval later it is stuck.
  CHECK(watchdog.look(6 * second) == Verdict::wait);
  CHECK(watchdog.look(8 * second) == Verdict::stuck);
  CHECK(watchdog.stuck_text() == "shard-0: no turn for 4.0 s");
}

TEST_CASE("watchdog: none without an interval, or when it is another process's") {
  shard::Pulse pulse({"shard-0"});
  Watchdog none(pulse, 0, 0);
  CHECK(none.look(1000 * second) == Verdict::wait);
  CHECK(none.next() > 1'000'000 * second);
  const auto set = [](const char* us, const std::string& pid) {
    ::setenv("WATCHDOG_USEC", us, 1);
    ::setenv("WATCHDOG_PID", pid.c_str(), 1);
    return server::watchdog_interval();
  };
  CHECK(set("30000000", std::to_string(::getpid())) == 30 * second);
  CHECK(set("30000000", std::to_string(::getppid())) == 0);
  for (const char* bad : {"", "0", "-5", "x", "99999999999999999999"}) {
    INFO(bad);
    CHECK(set(bad, std::to_string(::getpid())) == 0);
  }
  ::unsetenv("WATCHDOG_PID");
  CHECK(server::watchdog_interval() == 0);  // of the last bad text
  ::setenv("WATCHDOG_USEC", "2000000", 1);
  CHECK(server::watchdog_interval() == 2 * second);
  ::unsetenv("WATCHDOG_USEC");
  CHECK(server::watchdog_interval() == 0);
}
