// What tools read of a running gateway.
#include <doctest/doctest.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "tools/common/gateway.hpp"

using namespace ringgate;

TEST_CASE("settings are read where they are, and nothing else is") {
  const auto settings = tool::settings_of(
      R"({"keys":[{"key":"a.b","value":"1s"},{"key":7,"value":"x"},{"key":"c"},3,)"
      R"({"key":"d","value":"***"}]})");
  REQUIRE(settings.size() == 2);
  CHECK(settings[0] == std::pair<std::string, std::string>("a.b", "1s"));
  CHECK(settings[1].second == "***");
  for (const char* other : {"", "[]", "{}", R"({"keys":7})", "not JSON"}) {
    CHECK(tool::settings_of(other).empty());
  }
}

TEST_CASE("threads count as shards by their names, in their order") {
  CHECK(tool::shard_waits(getpid()).empty());
  std::atomic<int> named{0};
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (const char* name : {"shard-10", "shard-2", "sharp-1"}) {
    threads.emplace_back([&named, &over, name] {
      pthread_setname_np(pthread_self(), name);
      ++named;
      over.wait(false);
    });
  }
  while (named < 3) std::this_thread::yield();
  const auto waits = tool::shard_waits(getpid());
  over = true;
  over.notify_all();
  for (std::thread& thread : threads) thread.join();
  if (access("/proc/self/schedstat", R_OK) != 0) return;
  REQUIRE(waits.size() == 2);
  CHECK(waits.begin()->first == 2);
  CHECK(waits.rbegin()->first == 10);
  CHECK(waits.at(2).slices > 0);
  CHECK(tool::shard_waits(-1).empty());
}
