// Registrations as JSON: what is read, what is refused, what a change leaves alone.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "storage/state/registry_errand.hpp"

namespace {

using namespace ringgate;
using nlohmann::json;

std::string error_of(const json& object) {
  const auto read = state::read_registration(object, true);
  return read ? std::string() : read.error().message;
}

TEST_CASE("a whole registration has what a new one has where a key is missing") {
  auto patch = state::read_registration(json{{"plate", "B1"}}, true);
  REQUIRE(patch);
  state::Registration entry(state::RegistrationView{.note = "old"});
  entry.enabled = false;
  patch->apply(entry);
  CHECK(entry.plate == "B1");
  CHECK(entry.note.empty());
  CHECK(entry.enabled);
}

TEST_CASE("a change leaves alone what it does not name") {
  auto patch = state::read_registration(json{{"enabled", false}, {"plate_colour", 255U}}, false);
  REQUIRE(patch);
  state::Registration entry(state::RegistrationView{.note = "old"});
  patch->apply(entry);
  CHECK(entry.note == "old");
  CHECK(!entry.enabled);
  CHECK(entry.plate_colour == 255);
}

TEST_CASE("what is wrong is named") {
  CHECK(error_of({{"plate", 5}}) == "plate: wants a text in quotes");
  CHECK(error_of({{"plate", std::string(65, 'x')}}) == "plate: is longer than 64 bytes");
  CHECK(error_of({{"plate", std::string(64, 'x')}}).empty());
  CHECK(error_of({{"note", std::string(201, 'x')}}) == "note: is longer than 200 bytes");
  CHECK(error_of({{"plate_colour", 256U}}) == "plate_colour: wants a whole number from 0 to 255");
  CHECK(error_of({{"plate_colour", -1}}) == "plate_colour: wants a whole number from 0 to 255");
  CHECK(error_of({{"plate_colour", 1.5}}) == "plate_colour: wants a whole number from 0 to 255");
  CHECK(error_of({{"enabled", "yes"}}) == "enabled: wants true or false");
}

TEST_CASE("a row reads back as what it was written from") {
  const state::RegistrationView entry{.plate = "\xe4\xba\xac" "A1",
                                      .plate_colour = 2,
                                      .terminal_id = "T\"1",
                                      .note = "n",
                                      .enabled = false};
  const json row = json::parse(state::registration_row("phone", "138", entry));
  CHECK(row["phone"] == "138");
  state::Registration again;
  state::read_registration(row, true)->apply(again);
  CHECK(again.view() == entry);
}

}  // namespace
