// Walks a body along its table and tells a visitor what stands where. Everything that reads bodies
// (JSON, checks, redaction, explanations, coverage tests) is such a visitor. Pure, no allocation,
// bounded work: every element and item takes at least one byte. Any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/base/bytes.hpp"
#include "protocols/jt808/codec/header.hpp"
#include "protocols/jt808/codec/schema.hpp"

namespace ringgate::jt808 {

// Layouts in the order in which a message that has `layouts` is tried for a terminal of `version`.
// What 2019 left as it was is written as in 2013.
constexpr std::array<Layout, 8> layout_order(Version version, LayoutMask layouts) {
  using enum Layout;
  if (version == Version::v2019) {
    if ((layouts & in_2019) == 0) return {v2013, gd, js, sc, hlj, odd, v2011, v2019};
    return {v2019, gd, js, sc, hlj, odd, v2013, v2011};
  }
  return {v2013, v2011, js, sc, hlj, gd, odd, v2019};
}
// The first of them that is in `layouts`: what a header alone says. `layouts` must not be 0.
Layout own_layout(Version version, LayoutMask layouts);

// The layouts of an item in the order in which they are tried: that of what encloses it, then from
// the first to the last (schema.hpp, ItemSpec::layouts).
class ItemLayouts {
 public:
  ItemLayouts(LayoutMask layouts, Layout enclosing);
  const Layout* begin() const { return layouts_; }
  const Layout* end() const { return layouts_ + size_; }

 private:
  std::size_t size_ = 0;
  Layout layouts_[static_cast<std::size_t>(Layout::count)];
};

// One {id, length, value}. Offsets are in the body.
struct ItemSeen {
  const Registry* registry = nullptr;
  const ItemSpec* spec = nullptr;  // null: unknown id
  std::uint32_t id = 0;
  std::size_t offset = 0;        // of id or length, whichever comes first
  std::size_t value_offset = 0;
  Bytes value;
  Layout layout = Layout::v2013;  // of the value, where it fits
  bool is_first_layout = true;    // the first that was tried
  bool fits = false;              // the value is walked; otherwise it is only bytes
};

// One value. `number`: of number, integer, sign_number and bits, as on the wire.
struct FieldSeen {
  const Field& field;
  std::size_t offset;  // in the body; of `bytes`
  Bytes bytes;         // without the length before it
  std::uint64_t number;
  Layout layout;       // of what encloses it
  bool negative;       // an earlier bit says so (Field::negative)
};

// What is told, in the order of the bytes. All offsets are in the body. Together the ranges of
// `field`, `length`, `item` (id and length) and `unparsed`, and of items that do not fit (their
// value), cover the body without a gap and without overlap.
class Visitor {
 public:
  virtual ~Visitor() = default;

  virtual void field(const FieldSeen&) {}
  // A length or count of `size` bytes before what it counts (for an element, `of` is its list),
  // told before begin_list and behind begin_element.
  virtual void length(const Field& /*of*/, std::size_t /*offset*/, std::size_t /*size*/,
                      std::uint64_t /*value*/) {}
  virtual void begin_group(const Field&) {}
  virtual void end_group(const Field&) {}
  // Of lists and items. `declared`: by a count (UINT64_MAX: none); `elements`: how many were told.
  virtual void begin_list(const Field&) {}
  virtual void end_list(const Field&, std::uint64_t /*declared*/, std::size_t /*elements*/) {}
  // `clean`: its fields use it up (only elements that stand behind a size can be otherwise).
  virtual void begin_element(const Field& /*list*/, std::size_t /*index*/, bool /*clean*/) {}
  virtual void end_element(const Field& /*list*/) {}
  virtual void begin_item(const Field& /*list*/, const ItemSeen&) {}
  virtual void end_item(const Field& /*list*/, const ItemSeen&) {}
  // The bytes at `offset` can't be what the table asks for: the walk of what encloses them ends.
  virtual void problem(std::string_view /*why*/, std::size_t /*offset*/) {}
  // What is left of the body, or of an element with a size, behind a problem or behind all fields.
  virtual void unparsed(std::size_t /*offset*/, Bytes) {}
};

// How a walk went.
struct WalkResult {
  Layout layout = Layout::v2013;
  std::string_view problem;        // the first one; empty: none
  std::size_t problem_offset = 0;
  bool exact = true;  // no problem, nothing unparsed; items that do not fit don't count
};

// Along `fields` in one layout; items choose their own.
WalkResult walk(Fields fields, Layout layout, Bytes body, Visitor& visitor);

// The layout of the message that fits: in the order of `version` the first that is exact, else the
// first without a problem, else the first.
Layout choose_layout(const MessageSpec& message, Version version, Bytes body);
WalkResult walk_body(const MessageSpec& message, Version version, Bytes body, Visitor& visitor);

// Earlier numbers that conditions ask for, innermost last. Shared by walker and encoder.
class Scope {
 public:
  // More numbers in one object, and those around it, than any table has; a test counts.
  static constexpr std::size_t size_max = 128;

  // False: full.
  bool add(const Field& field, std::uint64_t number) {
    if (size_ == size_max) return false;
    entries_[size_++] = {&field, number};
    return true;
  }
  std::size_t mark() const { return size_; }
  void back_to(std::size_t mark) { size_ = mark; }
  // The last number called `key`, or part of bits called so. False: none.
  bool find(std::string_view key, std::uint64_t& number) const;
  // A condition on a number that is not there (an optional one) does not hold.
  bool holds(const When& when) const;
  bool is_negative(const Field& field) const {
    return field.negative.test != When::Test::always && holds(field.negative);
  }

 private:
  struct Entry {
    const Field* field;
    std::uint64_t number;
  };
  std::size_t size_ = 0;
  Entry entries_[size_max];
};

const ItemSpec* find_item(const Registry& registry, std::uint32_t id);

// Elements that are plain values: one field without a key.
constexpr bool has_plain_elements(const Field& list) {
  return list.fields.size() == 1 && list.fields[0].key.empty() &&
         list.fields[0].kind != Kind::group && list.fields[0].parts.empty();
}
constexpr bool has_number(Kind kind) {
  return kind == Kind::number || kind == Kind::integer || kind == Kind::sign_number ||
         kind == Kind::bits;
}
// Bytes of the count or length in front; 0: none.
constexpr std::size_t prefix_size(Extent extent) {
  switch (extent) {
    case Extent::prefix1: return 1;
    case Extent::prefix2: return 2;
    case Extent::prefix4: return 4;
    default: return 0;
  }
}
std::uint64_t load_number(Bytes bytes);  // big-endian, up to eight bytes
// Whether one of `fields`, or of what is inside them, is secret.
bool has_secrets(Fields fields);

}  // namespace ringgate::jt808
