// The state in memory against a plain model, its size, and its records there and back.
#include "storage/state/table.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <map>
#include <random>
#include <set>

#include "storage/state/records.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::state;

DeviceKey key(std::string_view phone) { return {Namespace::phone, phone}; }

struct Known {
  Registration registration;
  bool registered = false;
  bool banned = false;
  std::uint32_t generation = 0;
  std::set<std::uint64_t> pending;
  bool any() const { return registered || banned || generation != 0 || !pending.empty(); }
};

TEST_CASE("the table holds what a map holds, through changes of all kinds") {
  flow::Budget budget(0);
  {
    Table table(budget);
    std::map<std::string, Known> model;
    std::mt19937_64 random(7);
    for (int step = 0; step < 60'000; ++step) {
      const std::string phone = std::to_string(13800000000ULL + random() % 1'500);
      Known& known = model[phone];
      switch (random() % 7) {
        case 0:
        case 1:
          known.registration.plate = fmt::format("A{}", random() % 100'000);
          known.registration.note.assign(random() % 40, 'n');
          known.registration.enabled = random() % 2 == 0;
          known.registered = true;
          CHECK(table.put_registration(key(phone), known.registration.view()));
          break;
        case 2:
          CHECK(table.remove_registration(key(phone)) == known.registered);
          known.registered = false;
          break;
        case 3:
          CHECK(table.put_ban(key(phone), {.since_us = step, .why = phone}));
          known.banned = true;
          break;
        case 4:
          CHECK(table.remove_ban(key(phone)) == known.banned);
          known.banned = false;
          break;
        case 5:
          known.generation = static_cast<std::uint32_t>(random() % 3);
          CHECK(table.set_generation(key(phone), known.generation));
          break;
        default: {
          const std::uint64_t id = random() % 4;
          if (random() % 2 == 0) {
            CHECK(table.put_pending(key(phone), {.id = id, .json = "{}"}));
            known.pending.insert(id);
          } else {
            CHECK(table.remove_pending(key(phone), id) == (known.pending.erase(id) == 1));
          }
        }
      }
    }
    std::size_t some = 0;
    for (const auto& [phone, known] : model) {
      some += known.any() ? 1 : 0;
      const auto registration = table.registration(key(phone));
      REQUIRE(registration.has_value() == known.registered);
      if (registration) CHECK(*registration == known.registration.view());
      const Ban* const ban = table.ban(key(phone));
      REQUIRE((ban != nullptr) == known.banned);
      if (ban != nullptr) CHECK(ban->why == phone);
      CHECK(table.generation(key(phone)) == known.generation);
      const auto* const waiting = table.pending(key(phone));
      CHECK((waiting == nullptr ? 0 : waiting->size()) == known.pending.size());
    }
    CHECK(table.size() == some);
    std::set<std::string> listed;
    std::uint64_t cursor = 0;
    do {
      cursor = table.list(cursor, 100, [&](const Table::Entry& entry) {
        CHECK(listed.emplace(entry.device.id()).second);
      });
    } while (cursor != 0);
    CHECK(listed.size() == some);
    CHECK(budget.used_bytes() == table.memory_bytes());
  }
  CHECK(budget.used_bytes() == 0);
}

TEST_CASE("a registered device takes at most 250 bytes with its texts") {
  flow::Budget budget(0);
  Table table(budget);
  constexpr std::uint64_t devices = 300'000;
  for (std::uint64_t i = 0; i < devices; ++i) {
    const std::string terminal = fmt::format("{:07}", i);
    const RegistrationView one{.plate = "\u7ca4B12345", .plate_colour = 1, .terminal_id = terminal,
                               .maker = "70111", .model = "GT-2019-PRO", .note = "depot south"};
    REQUIRE(table.put_registration(key(std::to_string(13800000000ULL + i)), one));
  }
  MESSAGE("bytes a device: " << budget.used_bytes() / devices);
  CHECK(budget.used_bytes() / devices <= 250);
}

event::RecordView record(const DeviceKey& device, Change change, std::string_view json) {
  return {.kind = event::RecordKind::state, .ns = device.ns,
          .message = static_cast<std::uint16_t>(change), .device = device.id(),
          .payload = as_bytes(json)};
}

TEST_CASE("what a record says is what was put, whatever the texts hold, and twice is as once") {
  flow::Budget budget(0);
  Table table(budget);
  const DeviceKey device = key("13800138000");
  const RegistrationView one{.plate = "\u7ca4B\"1\\2\n\x01", .plate_colour = 2,
                             .terminal_id = "T/1", .maker = "m", .model = "\U0001f69a",
                             .note = "a\tb", .enabled = false};
  const Ban ban{.since_us = 5, .until_us = 9, .by = "alice", .why = "\"why\""};
  const PendingCommand command{.id = ~std::uint64_t{0}, .submitted_us = 1, .expires_us = 2,
                               .by = "bob", .json = R"({"message":"query-location"})",
                               .tries = 3};
  for (int twice = 0; twice < 2; ++twice) {
    CHECK(apply(record(device, Change::registration_put, json_of(one)), table));
    CHECK(apply(record(device, Change::banned, json_of(ban)), table));
    CHECK(apply(record(device, Change::generation, json_of_generation(4095)), table));
    CHECK(apply(record(device, Change::command_pending, json_of(command)), table));
    REQUIRE(table.registration(device).has_value());
    CHECK(*table.registration(device) == one);
    REQUIRE(table.ban(device) != nullptr);
    CHECK(*table.ban(device) == ban);
    CHECK(table.generation(device) == 4095);
    REQUIRE(table.pending(device) != nullptr);
    REQUIRE(table.pending(device)->size() == 1);
    CHECK(table.pending(device)->front() == command);
  }
  CHECK(apply(record(device, Change::command_tried, json_of_try(command.id, 2)), table));
  REQUIRE(table.pending(device) != nullptr);
  CHECK(table.pending(device)->front().tries == 2);
  const std::string over = json_of_end(command.id, {.how = "expired"});
  CHECK(apply(record(device, Change::command_ended, over), table));
  CHECK(apply(record(device, Change::unbanned, "{}"), table));
  CHECK(apply(record(device, Change::registration_removed, "{}"), table));
  CHECK(apply(record(device, Change::generation, json_of_generation(0)), table));
  CHECK(table.size() == 0);
}

TEST_CASE("records that are not as they should be change nothing") {
  flow::Budget budget(0);
  Table table(budget);
  const DeviceKey device = key("13800138000");
  for (const auto& one : std::initializer_list<std::pair<Change, std::string_view>>{
           {Change::registration_put, R"({"plate":"A")"},
           {Change::registration_put, R"({"plate":"A"})"},
           {Change::registration_put, R"({"plate":1,"enabled":true})"},
           {Change::registration_put, R"({"plate_colour":256,"enabled":true})"},
           {Change::banned, "[]"},
           {Change::banned, R"({"until_us":"soon"})"},
           {Change::generation, R"({"generation":-1})"},
           {Change::command_pending, R"({"id":1})"},
           {static_cast<Change>(99), "{}"}}) {
    const std::string_view json = one.second;
    CAPTURE(json);
    CHECK(!apply(record(device, one.first, json), table));
  }
  CHECK(table.size() == 0);
}

}  // namespace
