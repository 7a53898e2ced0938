// What every message table must keep to, so that bodies and JSON can be had from each other: read
// off the tables themselves, in every layout.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "protocols/jt808/codec/messages.hpp"
#include "protocols/jt808/codec/walk.hpp"

using namespace ringgate::jt808;

namespace {

bool made_of(std::string_view text, std::string_view characters) {
  return !text.empty() && std::ranges::all_of(text, [&](char c) {
    return characters.find(c) != std::string_view::npos;
  });
}
constexpr std::string_view key_characters = "abcdefghijklmnopqrstuvwxyz0123456789_";
constexpr std::string_view name_characters = "abcdefghijklmnopqrstuvwxyz0123456789-./";

// Two fields that are never there together, since one number decides.
bool exclude_each_other(const Field& a, const Field& b) {
  using Test = When::Test;
  if (a.when.key.empty() || a.when.key != b.when.key) return false;
  if (a.when.test == Test::equal && b.when.test == Test::equal) return a.when.value != b.when.value;
  return a.when.value == b.when.value &&
         ((a.when.test == Test::equal && b.when.test == Test::not_equal) ||
          (a.when.test == Test::not_equal && b.when.test == Test::equal));
}

class Rules {
 public:
  Rules(Layout layout, bool is_item) : layout_(layout) {
    reserved_ = {"error", "error_offset", "unparsed", "layout"};
    if (is_item) reserved_.insert({"id", "name", "offset", "bytes", "problem"});
  }

  void window(Fields fields) {
    Object object;
    walk(fields, object);
    closed(object);
  }
  const std::vector<std::string>& broken() const { return broken_; }
  std::size_t numbers_max() const { return numbers_max_; }
  const std::set<const Field*>& used() const { return used_; }

 private:
  struct Object {
    std::vector<std::pair<std::string, const Field*>> keys;
    std::vector<std::string> lists;
    std::vector<std::string> counted;
    const Field* rest = nullptr;  // takes all there is; nothing can follow
  };

  void wrong(const Field& field, std::string_view what) {
    broken_.push_back(std::string(field.key).append(": ").append(what));
  }

  void walk(Fields fields, Object& object) {
    for (const Field& field : fields) {
      if ((field.layouts & mask_of(layout_)) == 0) continue;
      used_.insert(&field);
      if (object.rest != nullptr && !exclude_each_other(*object.rest, field)) {
        wrong(field, "stands behind what goes to the end");
      }
      for (const When* when : {&field.when, &field.negative}) {
        if (when->test != When::Test::always && !numbers_.contains(when->key)) {
          wrong(field, "asks for a number that is not there before it");
        }
      }
      one(field, object);
      if (field.extent == Extent::rest && field.when.test == When::Test::always) {
        object.rest = &field;
      }
    }
  }

  void one(const Field& field, Object& object) {
    if (field.kind == Kind::group) {
      if (field.key.empty()) return walk(field.fields, object);
      key(field.key, field, object);
      return inside(field);
    }
    if (field.kind == Kind::list) {
      key(field.key, field, object);
      object.lists.emplace_back(field.key);
      if (field.extent == Extent::counted && !numbers_.contains(field.by)) {
        wrong(field, "is counted by nothing");
      }
      return inside(field);
    }
    if (field.kind == Kind::items) {
      if (field.registry == nullptr) wrong(field, "has no registry");
      return key(field.key, field, object);
    }
    if (!field.counts.empty()) object.counted.emplace_back(field.counts);
    if (has_number(field.kind)) number(field);
    if (!field.key.empty()) key(field.key, field, object);
    for (const Part& part : field.parts) key(part.key, field, object);
  }

  void inside(const Field& field) {
    const std::multiset<std::string_view> before = numbers_;
    Object own;
    walk(field.fields, own);
    closed(own);
    if (field.kind == Kind::list) numbers_ = before;
  }

  void number(const Field& field) {
    constexpr unsigned sizes[] = {1, 2, 4, 8};
    if (std::ranges::find(sizes, field.size) == std::end(sizes)) wrong(field, "has an odd size");
    names(field, field.names, field.kind == Kind::bits ? 8U * field.size : 0);
    std::uint64_t covered = 0;
    for (const Part& part : field.parts) {
      const std::uint64_t mask = ((std::uint64_t{1} << part.width) - 1) << part.shift;
      if ((covered & mask) != 0 || part.shift + part.width > 8 * field.size) {
        wrong(field, "has parts that overlap");
      }
      covered |= mask;
      names(field, part.names, 0);
      numbers_.insert(part.key);
    }
    if (field.kind == Kind::bits && field.key.empty() &&
        covered != (UINT64_MAX >> (64U - 8U * field.size))) {
      wrong(field, "has no key, and bits in none of its parts");
    }
    for (const Name& name : field.names) {
      if (field.kind == Kind::bits && (covered >> name.value & 1) != 0) {
        wrong(field, "names a bit of one of its parts");
      }
    }
    numbers_.insert(field.key);
    numbers_max_ = std::max(numbers_max_, numbers_.size());
  }

  // In one layout a value has one name and a name one value, or JSON could not be read back.
  void names(const Field& field, Names names, unsigned bits) {
    std::set<std::string_view> texts;
    std::set<std::uint32_t> values;
    for (const Name& name : names) {
      if ((name.layouts & mask_of(layout_)) == 0) continue;
      if (!texts.insert(name.name).second) wrong(field, std::string("twice ").append(name.name));
      if (!values.insert(name.value).second) wrong(field, "names a value twice");
      if (!made_of(name.name, name_characters) || name.name.starts_with("bit-") ||
          made_of(name.name, "0123456789")) {
        wrong(field, std::string("is no name: ").append(name.name));
      }
      if (bits != 0 && name.value >= bits) wrong(field, "names a bit that it does not have");
    }
  }

  void key(std::string_view key, const Field& field, Object& object) {
    if (!made_of(key, key_characters)) wrong(field, "is no key");
    if (reserved_.contains(std::string(key))) wrong(field, "is a key with a meaning of its own");
    for (const auto& [other, by] : object.keys) {
      if (other == key && !exclude_each_other(*by, field)) wrong(field, "is there twice");
    }
    object.keys.emplace_back(key, &field);
  }

  void closed(const Object& object) {
    const auto has = [&](const std::string& key) {
      return std::ranges::find(object.keys, key, &std::pair<std::string, const Field*>::first) !=
             object.keys.end();
    };
    for (const auto& [key, field] : object.keys) {
      for (const std::string end : {"_raw", "_count"}) {
        if (has(key + end)) wrong(*field, "has a namesake with " + end);
      }
    }
    for (const std::string& list : object.counted) {
      if (std::ranges::find(object.lists, list) == object.lists.end()) {
        broken_.push_back(list + ": is counted and not there");
      }
    }
  }

  Layout layout_;
  std::set<std::string> reserved_;
  std::multiset<std::string_view> numbers_;
  std::size_t numbers_max_ = 0;
  std::vector<std::string> broken_;
  std::set<const Field*> used_;
};

std::vector<Layout> layouts_of(LayoutMask mask) {
  std::vector<Layout> out;
  for (unsigned i = 0; i < static_cast<unsigned>(Layout::count); ++i) {
    if ((mask >> i & 1) != 0) out.push_back(static_cast<Layout>(i));
  }
  return out;
}

void collect(Fields fields, std::set<const Field*>& all, std::set<const Registry*>& registries) {
  for (const Field& field : fields) {
    all.insert(&field);
    collect(field.fields, all, registries);
    if (field.registry == nullptr || !registries.insert(field.registry).second) continue;
    for (const ItemSpec& item : field.registry->items) collect(item.fields, all, registries);
  }
}

std::set<const Registry*> all_registries() {
  std::set<const Field*> fields;
  std::set<const Registry*> out;
  for (const MessageSpec& message : messages()) collect(message.fields, fields, out);
  return out;
}

// JT/T 808-2019 annex B.
constexpr std::uint16_t annex_b[] = {
    0x0001, 0x0002, 0x0003, 0x0004, 0x0005, 0x0100, 0x0102, 0x0104, 0x0107, 0x0108, 0x0200,
    0x0201, 0x0301, 0x0302, 0x0303, 0x0500, 0x0608, 0x0700, 0x0701, 0x0702, 0x0704, 0x0705,
    0x0800, 0x0801, 0x0802, 0x0805, 0x0900, 0x0901, 0x0a00, 0x8001, 0x8003, 0x8004, 0x8100,
    0x8103, 0x8104, 0x8105, 0x8106, 0x8107, 0x8108, 0x8201, 0x8202, 0x8203, 0x8204, 0x8300,
    0x8301, 0x8302, 0x8303, 0x8304, 0x8400, 0x8401, 0x8500, 0x8600, 0x8601, 0x8602, 0x8603,
    0x8604, 0x8605, 0x8606, 0x8607, 0x8608, 0x8700, 0x8701, 0x8702, 0x8800, 0x8801, 0x8802,
    0x8803, 0x8804, 0x8805, 0x8900, 0x8a00,
};
constexpr std::uint16_t of_jt1078[] = {
    0x1003, 0x1005, 0x1205, 0x1206, 0x9003, 0x9101, 0x9102, 0x9105, 0x9201, 0x9202,
    0x9205, 0x9206, 0x9207, 0x9301, 0x9302, 0x9303, 0x9304, 0x9305, 0x9306,
};
constexpr std::uint16_t of_jsatl12[] = {0x1210, 0x1211, 0x1212, 0x9208, 0x9212};
constexpr std::uint16_t of_the_field[] = {0x0109, 0x8109};

}  // namespace

TEST_CASE("the messages of all standards are there, and no others") {
  std::set<std::uint16_t> wanted;
  std::size_t listed = 0;
  const auto add = [&](const auto& ids) {
    wanted.insert(std::begin(ids), std::end(ids));
    listed += std::size(ids);
  };
  add(annex_b);
  add(of_jt1078);
  add(of_jsatl12);
  add(of_the_field);
  CHECK(wanted.size() == listed);
  std::set<std::uint16_t> found;
  for (const MessageSpec& message : messages()) found.insert(message.id);
  CHECK(found == wanted);
  const auto source_starts = [](std::uint16_t id, std::string_view with) {
    return find_message(id)->source.starts_with(with);
  };
  for (const std::uint16_t id : annex_b) CHECK(source_starts(id, "JT/T 808-20"));
  for (const std::uint16_t id : of_jt1078) CHECK(source_starts(id, "JT/T 1078-2016 5."));
  for (const std::uint16_t id : of_jsatl12) CHECK(source_starts(id, "T/JSATL 12-2017"));
}

TEST_CASE("fields have keys, names and conditions from which a body can be had back") {
  for (const MessageSpec& message : messages()) {
    CAPTURE(message.name);
    REQUIRE(message.layouts != 0);
    for (const Layout layout : layouts_of(message.layouts)) {
      CAPTURE(name_of(layout));
      Rules rules(layout, false);
      rules.window(message.fields);
      CHECK(rules.broken() == std::vector<std::string>{});
      CHECK(rules.numbers_max() < Scope::size_max / 2);  // items inside have the other half
    }
  }
  for (const Registry* registry : all_registries()) {
    CAPTURE(registry->name);
    for (const ItemSpec& item : registry->items) {
      CAPTURE(item.name);
      REQUIRE(item.layouts != 0);
      for (const Layout layout : layouts_of(item.layouts)) {
        CAPTURE(name_of(layout));
        Rules rules(layout, true);
        rules.window(item.fields);
        CHECK(rules.broken() == std::vector<std::string>{});
        CHECK(rules.numbers_max() < Scope::size_max / 2);
      }
    }
  }
}

TEST_CASE("no field is for a layout that its message or item never has") {
  std::set<const Field*> all, used;
  std::set<const Registry*> registries;
  for (const MessageSpec& message : messages()) {
    collect(message.fields, all, registries);
    for (const Layout layout : layouts_of(message.layouts)) {
      Rules rules(layout, false);
      rules.window(message.fields);
      used.insert(rules.used().begin(), rules.used().end());
    }
  }
  for (const Registry* registry : registries) {
    for (const ItemSpec& item : registry->items) {
      for (const Layout layout : layouts_of(item.layouts)) {
        Rules rules(layout, true);
        rules.window(item.fields);
        used.insert(rules.used().begin(), rules.used().end());
      }
    }
  }
  for (const Field* field : all) {
    CAPTURE(field->key);
    CHECK(used.contains(field));
  }
}

TEST_CASE("registries are sorted, and ids and names stand for one item each") {
  for (const Registry* registry : all_registries()) {
    CAPTURE(registry->name);
    const std::uint64_t end = std::uint64_t{1} << (8U * registry->id_size);
    std::uint64_t next = 0;
    std::set<std::string_view> names;
    for (const ItemSpec& item : registry->items) {
      CAPTURE(item.name);
      CHECK(item.id >= next);
      next = std::uint64_t{std::max(item.id, item.last_id)} + 1;
      CHECK(next <= end);
      CHECK(names.insert(item.name).second);
      CHECK(made_of(item.name, name_characters));
      CHECK_FALSE(item.source.empty());
      CHECK(find_item(*registry, item.id) == &item);
      if (item.last_id != 0) CHECK(find_item(*registry, item.last_id) == &item);
    }
  }
}

TEST_CASE("answers are messages of the device, and begin with our serial where they say so") {
  using Rule = Answer::Rule;
  for (const MessageSpec& message : messages()) {
    CAPTURE(message.name);
    CHECK(message.from_device == (message.id < 0x8000));
    CHECK(made_of(message.name, name_characters));
    const Answer& answer = message.answer;
    if (message.from_device || answer.rule == Rule::none || answer.rule == Rule::general) {
      CHECK(answer.id == 0);
      continue;
    }
    const MessageSpec* reply = find_message(answer.id);
    REQUIRE(reply != nullptr);
    CHECK(reply->from_device);
    // What 2011 has is answered in 2011 too, and so on.
    CHECK((message.versions & reply->versions) != 0);
    const bool begins_with_serial = !reply->fields.empty() &&
                                    reply->fields[0].key == "reply_serial" &&
                                    reply->fields[0].size == 2;
    CHECK(begins_with_serial == answer.has_serial);
  }
}
