// Rates: so many a second, a burst, and a table that does not grow.
#include "engine/flow/rates.hpp"

#include <doctest/doctest.h>

#include <thread>
#include <vector>

using namespace ringgate;
using flow::Rate;
using flow::RateTable;

namespace {

std::uint64_t mixed(std::uint64_t i) {
  i = (i + 1) * 0x9e3779b97f4a7c15ULL;
  i ^= i >> 29;
  return (i * 0xbf58476d1ce4e5b9ULL) ^ (i >> 32);
}

}  // namespace

TEST_CASE("a burst, then the rate, then what was promised") {
  RateTable table(64);
  const Rate rate = Rate::per_second(10, 5);
  MonoNs now = 1000 * ns_per_s;
  for (int i = 0; i < 5; ++i) CHECK(table.take(mixed(1), rate, now) == 0);
  const MonoNs wait = table.take(mixed(1), rate, now);
  CHECK(wait > 99 * ns_per_ms);
  CHECK(wait <= 100 * ns_per_ms);
  CHECK(table.take(mixed(2), rate, now) == 0);
  now += wait + 1024;  // the table's unit
  CHECK(table.take(mixed(1), rate, now) == 0);
  CHECK(table.take(mixed(1), rate, now) > 0);
  int taken = 0;
  for (int ms = 0; ms < 10'000; ++ms) {
    now += ns_per_ms;
    taken += table.take(mixed(1), rate, now) == 0 ? 1 : 0;
  }
  CHECK(taken >= 99);
  CHECK(taken <= 101);
  now += 10 * ns_per_s;
  for (int i = 0; i < 5; ++i) CHECK(table.take(mixed(1), rate, now) == 0);
  CHECK(table.take(mixed(1), rate, now) > 0);
}

TEST_CASE("no rate, no bound") {
  RateTable table(4);
  for (int i = 0; i < 1000; ++i) CHECK(table.take(mixed(1), Rate::per_second(0, 0), 5) == 0);
}

TEST_CASE("a flood of keys takes no place from one that is at its bound") {
  RateTable table(1024);
  const Rate rate = Rate::per_second(1, 10);
  const MonoNs now = 77 * ns_per_s;
  for (int i = 0; i < 10; ++i) CHECK(table.take(mixed(0), rate, now) == 0);
  for (std::uint64_t i = 1; i <= 1000; ++i) static_cast<void>(table.take(mixed(i), rate, now));
  CHECK(table.take(mixed(0), rate, now) > 0);
}

TEST_CASE("several threads together take no more than there is") {
  RateTable table(64);
  const Rate rate = Rate::per_second(1000, 100);
  std::atomic<int> taken{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 1000; ++n) taken += table.take(mixed(9), rate, ns_per_s) == 0 ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  // Times are kept in units of 1.024 us, rounded down: some few more fit.
  CHECK(taken >= 100);
  CHECK(taken <= 101);
}
