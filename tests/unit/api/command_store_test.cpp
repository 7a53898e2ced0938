// What is kept of commands that came by HTTP, how long, and what a repeated request finds.
#include "protocols/api/command_store.hpp"

#include <doctest/doctest.h>

#include <set>

namespace {

using namespace ringgate;
using api::CommandEntry;
using api::CommandStore;
namespace limits = api::command_limits;

TEST_CASE("an id is random, long, and found until an hour after the end") {
  CommandStore store;
  std::set<std::string> ids;
  for (int i = 0; i < 100; ++i) ids.insert(store.add(false, 0)->id);
  CHECK(ids.size() == 100);
  const std::string id = *ids.begin();
  CHECK(id.size() == 32);
  CommandEntry* const entry = store.find(id);
  REQUIRE(entry != nullptr);
  // As long as it is under way it stays.
  store.forget_old(1000 * limits::kept_ns);
  CHECK(store.find(id) == entry);
  store.end(*entry, 5, 10);
  CHECK(entry->ended());
  CHECK(store.under_way() == 99);
  store.forget_old(9 + limits::kept_ns);
  CHECK(store.find(id) == entry);
  store.forget_old(10 + limits::kept_ns);
  CHECK(store.find(id) == nullptr);
  CHECK(store.find("") == nullptr);
  CHECK(store.size() == 99);
}

TEST_CASE("whoever waits is told once, by the end and not by forgetting") {
  CommandStore store;
  CommandEntry* const entry = store.add(false, 0);
  int told = 0;
  entry->waiting.emplace_back([&] { ++told; });
  entry->waiting.emplace_back([&] { ++told; });
  store.end(*entry, 1, 0);
  store.end(*entry, 2, 0);
  CHECK(told == 2);
  CHECK(entry->ended_us == 1);
  store.forget_old(limits::kept_ns);
  CHECK(told == 2);
  store.add(false, 0)->waiting.emplace_back([&] { ++told; });
  store.clear();
  CHECK(told == 2);
}

TEST_CASE("commands under way are bounded, each kind for itself") {
  CommandStore store;
  std::vector<CommandEntry*> all;
  for (std::size_t i = 0; i < limits::single_max; ++i) all.push_back(store.add(false, 0));
  CHECK(store.add(false, 0) == nullptr);
  for (std::size_t i = 0; i < limits::many_max; ++i) REQUIRE(store.add(true, 0) != nullptr);
  CHECK(store.add(true, 0) == nullptr);
  store.end(*all[0], 1, 0);
  CHECK(store.add(false, 0) != nullptr);
  CHECK(store.add(false, 0) == nullptr);
  const std::string id = all[1]->id;
  store.drop(id);
  CHECK(store.find(id) == nullptr);
  CHECK(store.add(false, 0) != nullptr);
}

TEST_CASE("the oldest that has ended makes room for others") {
  CommandStore store;
  CommandEntry* const first = store.add(false, 0);
  const std::string first_id = first->id;
  store.end(*first, 1, 0);
  std::string last;
  for (std::size_t i = 1; i < limits::entries_max; ++i) {
    CommandEntry* const entry = store.add(false, 0);
    last = entry->id;
    store.end(*entry, 1, 0);
  }
  CHECK(store.size() == limits::entries_max);
  CHECK(store.find(first_id) != nullptr);
  store.add(false, 0);
  CHECK(store.size() == limits::entries_max);
  CHECK(store.find(first_id) == nullptr);
  CHECK(store.find(last) != nullptr);
}

TEST_CASE("outcomes have a bound in bytes") {
  CommandStore store;
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) {
    CommandEntry* const entry = store.add(false, 0);
    entry->outcome.assign(limits::bytes_max / 3, 'x');
    ids.push_back(entry->id);
    store.end(*entry, 1, 0);
  }
  CHECK(store.find(ids[2]) == nullptr);
  CHECK(store.find(ids[3]) != nullptr);
  CHECK(store.find(ids[4]) != nullptr);
}

TEST_CASE("a key leads to its command as long as that is known") {
  CommandStore store;
  CommandEntry* const entry = store.add(false, 0);
  CHECK(store.find_repeat("ops\n/path\nkey") == nullptr);
  store.note_repeat("ops\n/path\nkey", *entry, 42);
  const CommandStore::Repeat* const repeat = store.find_repeat("ops\n/path\nkey");
  REQUIRE(repeat != nullptr);
  CHECK(repeat->id == entry->id);
  CHECK(repeat->body_hash == 42);
  CHECK(store.find_repeat("other\n/path\nkey") == nullptr);
  store.end(*entry, 1, 0);
  CHECK(store.find_repeat("ops\n/path\nkey") != nullptr);
  store.forget_old(limits::kept_ns);
  CHECK(store.find_repeat("ops\n/path\nkey") == nullptr);
}

}  // namespace
