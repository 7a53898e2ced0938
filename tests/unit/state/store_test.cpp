// Changes are records first: what the log gives back makes the same state again.
#include "storage/state/store.hpp"

#include <doctest/doctest.h>

#include "storage/log/reader.hpp"
#include "storage/state/records.hpp"
#include "tests/unit/log/log_rig.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::state;

DeviceKey key(std::string_view phone) { return {Namespace::phone, phone}; }

TEST_CASE("the log's records make the same state again") {
  const log::ScratchDir scratch;
  flow::Budget budget(0);
  {
    log::Rig rig(log::small_options(scratch.path()));
    Store store(*rig.writer, budget);
    const std::string wide(500, 'w');
    CHECK(store.put_registration(key("1"), {.plate = "A1", .note = wide}) != 0);
    CHECK(store.put_registration(key("2"), {.plate = "A2"}) != 0);
    CHECK(store.remove_registration(key("2")) != 0);
    CHECK(store.ban(key("3"), {.since_us = 1, .why = wide}, 1) != 0);
    CHECK(store.ban(key("4"), {.since_us = 1}, 1) != 0);
    CHECK(store.unban(key("4")) != 0);
    CHECK(store.set_generation(key("3"), 7) != 0);
    CHECK(store.put_pending(key("5"), {.id = 1, .json = R"({"a":1})"}) != 0);
    CHECK(store.put_pending(key("5"), {.id = 2, .json = R"({"a":2})"}) != 0);
    const Position last = store.end_pending(key("5"), 1, {.how = "expired"});
    CHECK(last == rig.writer->appended());
    CHECK(store.put_pending(key("5"), {.id = 3, .json = "no object"}) == 0);
    CHECK(!store.is_full());
    CHECK(store.registration(key("1"))->note.size() == note_size_max);
    CHECK(store.ban_of(key("3"), 1)->why.size() == reason_size_max);
    rig.commit();
  }
  Table table(budget);
  auto reader = log::Reader::open(io::real_sys(), scratch.path(), {});
  REQUIRE(reader.ok());
  std::size_t applied = 0;
  for (log::Entry entry; (*reader)->next(entry); ++applied) {
    CHECK(apply(entry.record.view(), table));
  }
  CHECK(applied == 10);
  CHECK(table.size() == 3);
  CHECK(table.registration(key("1"))->plate == "A1");
  CHECK(table.registration(key("1"))->note.size() == note_size_max);
  CHECK(!table.registration(key("2")));
  CHECK(table.ban(key("3")) != nullptr);
  CHECK(table.ban(key("4")) == nullptr);
  CHECK(table.generation(key("3")) == 7);
  REQUIRE(table.pending(key("5")) != nullptr);
  CHECK(table.pending(key("5"))->front().json == R"({"a":2})");
}

TEST_CASE("bans are bounded, and those that are over make room; so are a device's commands") {
  const log::ScratchDir scratch;
  flow::Budget budget(0);
  log::Rig rig(log::small_options(scratch.path()));
  auto made = std::make_unique<Table>(budget);
  for (std::size_t i = 0; i < bans_max; ++i) {
    REQUIRE(made->put_ban(key(std::to_string(i + 1)), {.until_us = i % 2 == 0 ? 10 : 0}));
  }
  Store store(*rig.writer, budget, std::move(made));
  CHECK(store.ban(key("13800138000"), {}, 5) == 0);
  CHECK(store.is_full());
  CHECK(store.ban(key("1"), {.why = "again"}, 5) != 0);
  CHECK(store.ban(key("13800138000"), {}, 10) != 0);
  CHECK(store.table().bans() == bans_max / 2 + 2);
  for (std::uint64_t id = 0; id < pending_device_max; ++id) {
    CHECK(store.put_pending(key("7"), {.id = id, .json = "{}"}) != 0);
  }
  CHECK(store.put_pending(key("7"), {.id = 99, .json = "{}"}) == 0);
  CHECK(store.is_full());
  rig.commit();
}

}  // namespace
