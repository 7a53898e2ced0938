// Every message of the tables in every layout: bodies made at random, and damaged ones, are the
// same bytes after decoding and encoding. RG_TEST_LONG=1 makes fifty times as many; RG_TEST_SEED=n
// makes others.
#include <doctest/doctest.h>

#include <cstdlib>
#include <map>
#include <set>
#include <string>

#include "engine/base/hex.hpp"
#include "protocols/jt808/codec/body_json.hpp"
#include "protocols/jt808/codec/messages.hpp"
#include "protocols/jt808/codec/walk.hpp"
#include "tests/unit/jt808/body_maker.hpp"

using namespace ringgate;
using namespace ringgate::jt808;
using ringgate::jt808::test::BodyMaker;

namespace {

std::string json_of(const MessageSpec& message, Version version, Bytes body) {
  std::string out;
  JsonWriter json(out);
  Header header{};
  header.version = version;
  json.begin_object();
  body_json(message, header, body, true, json);
  json.end_object();
  return out;
}

// Empty: the body is the same after decoding and encoding, and so is its JSON.
std::string broken_identity(const MessageSpec& message, Version version, Bytes body) {
  const std::string json = json_of(message, version, body);
  const auto again = encode_body(message, version, json);
  if (!again) return "does not encode: " + again.error().message + "\n" + json;
  if (to_hex(*again) != to_hex(body)) return "encodes as " + to_hex(*again) + "\n" + json;
  if (json_of(message, version, *again) != json) return "another JSON than\n" + json;
  return {};
}

std::vector<Layout> layouts_of(LayoutMask mask) {
  std::vector<Layout> out;
  for (unsigned i = 0; i < static_cast<unsigned>(Layout::count); ++i) {
    if ((mask >> i & 1) != 0) out.push_back(static_cast<Layout>(i));
  }
  return out;
}

Version version_of(Layout layout, BodyMaker& maker) {
  if (layout == Layout::v2019) return Version::v2019;
  if (layout == Layout::v2011 || layout == Layout::v2013) return Version::v2013;
  return maker.one_in(2) ? Version::v2013 : Version::v2019;
}

std::uint64_t number_from(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr || *text == 0 ? otherwise : std::strtoull(text, nullptr, 10);
}
bool is_long() { return number_from("RG_TEST_LONG", 0) == 1; }
// A seed of its own for each message, so that one more message does not change the others' bodies.
std::uint64_t seed_of(const MessageSpec& message) {
  return number_from("RG_TEST_SEED", 1) * 0x10000 + message.id;
}

struct Counts {
  std::uint64_t made = 0;    // bodies in this layout
  std::uint64_t clean = 0;   // those with nothing in them that the table does not foresee
  std::uint64_t chosen = 0;  // those that decoding found to be in it
};

// What was made of all messages, in all layouts and of all items.
struct Run {
  std::map<std::pair<std::uint16_t, Layout>, Counts> layouts;
  std::set<std::pair<const ItemSpec*, Layout>> items;
};

void make_bodies(const MessageSpec& message, std::uint64_t rounds, Run& run) {
  BodyMaker maker(seed_of(message));
  for (const Layout layout : layouts_of(message.layouts)) {
    Counts& counts = run.layouts[{message.id, layout}];
    for (std::uint64_t round = 0; round < rounds; ++round) {
      const Version version = version_of(layout, maker);
      const std::vector<std::uint8_t> body = maker.body(message, layout, round % 32 == 31);
      ++counts.made;
      const Layout found = choose_layout(message, version, body);
      counts.chosen += found == layout ? 1U : 0U;
      CAPTURE(to_hex(body));
      CAPTURE(name_of(layout));
      CAPTURE(name_of(found));
      REQUIRE(broken_identity(message, version, body) == "");
      // The maker knows the tables on its own: what it made by them, the walker must find.
      if (!maker.is_clean()) continue;
      ++counts.clean;
      Visitor nobody;
      REQUIRE(walk_body(message, version, body, nobody).exact);
      const std::string json = json_of(message, version, body);
      REQUIRE(json.find("\"problem\":") == std::string::npos);
      REQUIRE(json.find("\"unparsed\":") == std::string::npos);
    }
  }
  run.items.insert(maker.items_made().begin(), maker.items_made().end());
}

void find_items(Fields fields, std::set<const Registry*>& out) {
  for (const Field& field : fields) {
    find_items(field.fields, out);
    if (field.registry == nullptr || !out.insert(field.registry).second) continue;
    for (const ItemSpec& item : field.registry->items) find_items(item.fields, out);
  }
}

}  // namespace

TEST_CASE("bodies made from the tables are the same after decoding and encoding") {
  Run run;
  const std::uint64_t rounds = is_long() ? 20'000 : 400;
  for (const MessageSpec& message : messages()) {
    CAPTURE(message.name);
    make_bodies(message, rounds, run);
  }
  // Nothing was left out, and a body in a layout is found to be in it.
  for (const MessageSpec& message : messages()) {
    CAPTURE(message.name);
    for (const Layout layout : layouts_of(message.layouts)) {
      CAPTURE(name_of(layout));
      const Counts counts = run.layouts[{message.id, layout}];
      CHECK(counts.made == rounds);
      CHECK(counts.clean > rounds / 20);
      CHECK(counts.chosen != 0);
    }
  }
  std::set<const Registry*> registries;
  for (const MessageSpec& message : messages()) find_items(message.fields, registries);
  CHECK(registries.size() >= 5);
  for (const Registry* registry : registries) {
    for (const ItemSpec& item : registry->items) {
      CAPTURE(item.name);
      for (const Layout layout : layouts_of(item.layouts)) {
        CAPTURE(name_of(layout));
        CHECK(run.items.contains({&item, layout}));
      }
    }
  }
}

TEST_CASE("damaged bodies are the same after decoding and encoding") {
  const std::uint64_t rounds = is_long() ? 20'000 : 400;
  for (const MessageSpec& message : messages()) {
    CAPTURE(message.name);
    BodyMaker maker(seed_of(message) ^ 0xdead0000);
    const std::vector<Layout> layouts = layouts_of(message.layouts);
    for (std::uint64_t round = 0; round < rounds; ++round) {
      const Layout layout = layouts[round % layouts.size()];
      const Version version = maker.one_in(2) ? Version::v2013 : Version::v2019;
      const auto body = maker.damaged(maker.body(message, layout, false));
      CAPTURE(to_hex(body));
      REQUIRE(broken_identity(message, version, body) == "");
    }
  }
}

TEST_CASE("bodies cut off anywhere are the same after decoding and encoding") {
  const std::uint64_t rounds = is_long() ? 100 : 2;
  for (const MessageSpec& message : messages()) {
    CAPTURE(message.name);
    BodyMaker maker(seed_of(message) ^ 0xc07f0000);
    for (const Layout layout : layouts_of(message.layouts)) {
      for (std::uint64_t round = 0; round < rounds; ++round) {
        const Version version = version_of(layout, maker);
        const auto body = maker.body(message, layout, false);
        for (std::size_t size = 0; size <= std::min<std::size_t>(body.size(), 300); ++size) {
          const Bytes cut = Bytes(body).first(size);
          CAPTURE(to_hex(cut));
          REQUIRE(broken_identity(message, version, cut) == "");
        }
      }
    }
  }
}
