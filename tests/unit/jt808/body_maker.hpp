// Bodies made at random from a message table: what a terminal or platform that keeps to the table
// could send, and how it could be damaged. Knows the words of schema.hpp on its own, without the
// walker, so that a wrong walker does not agree with itself.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string_view>
#include <utility>
#include <vector>

#include "protocols/jt808/codec/schema.hpp"

namespace ringgate::jt808::test {

class BodyMaker {
 public:
  using Body = std::vector<std::uint8_t>;

  explicit BodyMaker(std::uint64_t seed) : random_(seed) {}

  // A body of `message` in `layout`. Lists have 0, few or (`is_large`) as many elements as a BYTE
  // can count.
  Body body(const MessageSpec& message, Layout layout, bool is_large) {
    is_large_ = is_large;
    is_clean_ = true;
    values_.clear();
    depth_ = 0;
    Body out;
    is_over_ = false;
    fields(message.fields, layout, out);
    return out;
  }

  // Whether the last body holds nothing that the table does not foresee: no value of an item with
  // another size than its own, no bytes behind the items.
  bool is_clean() const { return is_clean_; }

  // Bits turned over, bytes cut off, put in, taken out or repeated.
  Body damaged(Body body) {
    for (std::uint32_t times = 1 + below(3); times > 0; --times) damage(body);
    return body;
  }

  std::uint32_t below(std::uint32_t end) {
    return std::uniform_int_distribution<std::uint32_t>(0, end - 1)(random_);
  }
  bool one_in(std::uint32_t n) { return below(n) == 0; }

  // Every item of every registry that was made, by layout: for coverage.
  const std::vector<std::pair<const ItemSpec*, Layout>>& items_made() const { return items_made_; }

 private:
  void fields(Fields table, Layout layout, Body& out) {
    for (const Field& field : table) {
      if (is_over_) return;
      if ((field.layouts & mask_of(layout)) == 0 || !holds(field.when)) continue;
      if (field.is_optional && one_in(3)) {
        is_over_ = true;
        return;
      }
      one(field, layout, out);
    }
  }

  void one(const Field& field, Layout layout, Body& out) {
    switch (field.kind) {
      case Kind::group: return fields(field.fields, layout, out);
      case Kind::list: return list(field, layout, out);
      case Kind::items: return items(field, layout, out);
      case Kind::number:
      case Kind::integer:
      case Kind::sign_number:
      case Kind::bits: return number(field, out);
      case Kind::text: return sized(field, text(field), out);
      case Kind::bytes: return sized(field, noise(field), out);
      default: return append(out, digits(field));
    }
  }

  bool holds(const When& when) const {
    if (when.test == When::Test::always) return true;
    const auto at = std::find_if(values_.rbegin(), values_.rend(),
                                 [&](const auto& value) { return value.first == when.key; });
    if (at == values_.rend()) return false;
    switch (when.test) {
      case When::Test::equal: return at->second == when.value;
      case When::Test::not_equal: return at->second != when.value;
      case When::Test::bit: return (at->second >> when.value & 1) != 0;
      case When::Test::no_bit: return (at->second >> when.value & 1) == 0;
      default: return at->second >= when.value;
    }
  }

  void number(const Field& field, Body& out) {
    const std::uint64_t mask = UINT64_MAX >> (64U - 8U * field.size);
    std::uint64_t value = 0;
    if (!field.counts.empty()) {
      value = elements();
    } else if (!field.names.empty() && field.kind != Kind::bits && !one_in(4)) {
      value = field.names[below(static_cast<std::uint32_t>(field.names.size()))].value;
    } else if (one_in(6)) {
      value = field.has_invalid ? field.invalid_value : mask;
    } else if (!one_in(4)) {
      value = random_();
    }
    value &= mask;
    values_.emplace_back(field.key, value);
    for (const Part& part : field.parts) {
      values_.emplace_back(part.key, value >> part.shift & ((std::uint64_t{1} << part.width) - 1));
    }
    big_endian(out, value, field.size);
  }

  std::uint32_t elements() {
    if (depth_ == 0 && is_large_) return 255;
    return one_in(3) ? 0 : 1 + below(3);
  }

  void list(const Field& field, Layout layout, Body& out) {
    std::uint64_t count = elements();
    if (field.extent == Extent::fixed) count = field.size;
    if (field.extent == Extent::counted) count = value_of(field.by);
    if (const std::size_t prefix = prefix_of(field.extent); prefix != 0) {
      big_endian(out, count, prefix);
    }
    ++depth_;
    for (std::uint64_t i = 0; i < count && !is_over_; ++i) {
      const std::size_t mark = values_.size();
      if (field.element_prefix != 0) {
        Body inside;
        fields(field.fields, layout, inside);
        is_over_ = false;
        big_endian(out, inside.size(), field.element_prefix);
        append(out, inside);
      } else {
        const bool outer = std::exchange(is_in_element_, true);
        fields(field.fields, layout, out);
        is_in_element_ = outer;
      }
      values_.resize(mark);
    }
    --depth_;
  }

  void items(const Field& field, Layout layout, Body& out) {
    const std::uint32_t count = elements();
    if (const std::size_t prefix = prefix_of(field.extent); prefix != 0) {
      big_endian(out, count, prefix);
    }
    ++depth_;
    for (std::uint32_t i = 0; i < count; ++i) item(*field.registry, layout, out);
    --depth_;
    if (field.extent == Extent::rest && one_in(8)) {
      append(out, random_bytes(1 + below(3)));
      is_clean_ = false;
    }
  }

  void item(const Registry& registry, Layout layout, Body& out) {
    const std::uint64_t longest = (std::uint64_t{1} << (8U * registry.length_size)) - 3;
    std::uint32_t id = static_cast<std::uint32_t>(random_() >> 32);
    if (registry.id_size < 4) id &= (1U << (8U * registry.id_size)) - 1;
    Body value = random_bytes(below(12));
    if (one_in(6)) {
      is_clean_ = false;  // it may be the number of one that is known
    } else if (!registry.items.empty()) {
      const auto& spec = registry.items[below(static_cast<std::uint32_t>(registry.items.size()))];
      id = spec.last_id == 0 ? spec.id : spec.id + below(spec.last_id - spec.id + 1);
      if (one_in(8)) {
        is_clean_ = false;
      } else {
        value = item_value(spec, layout);
      }
      if (value.size() > longest) {
        value.resize(static_cast<std::size_t>(longest));
        is_clean_ = false;
      }
    }
    const std::uint64_t size = value.size() + (registry.length_first ? registry.id_size : 0U);
    if (registry.length_first) big_endian(out, size, registry.length_size);
    big_endian(out, id, registry.id_size);
    if (!registry.length_first) big_endian(out, size, registry.length_size);
    append(out, value);
  }

  Body item_value(const ItemSpec& spec, Layout layout) {
    std::vector<Layout> layouts;
    for (unsigned i = 0; i < static_cast<unsigned>(Layout::count); ++i) {
      if ((spec.layouts >> i & 1) != 0) layouts.push_back(static_cast<Layout>(i));
    }
    if ((spec.layouts & mask_of(layout)) == 0 || one_in(2)) {
      layout = layouts[below(static_cast<std::uint32_t>(layouts.size()))];
    }
    items_made_.emplace_back(&spec, layout);
    const std::size_t mark = values_.size();
    Body value;
    fields(spec.fields, layout, value);
    is_over_ = false;
    values_.resize(mark);
    return value;
  }

  // Characters of GBK in two bytes, ASCII, and now and then bytes that are neither.
  Body text(const Field& field) {
    Body out;
    const std::uint32_t room = field.extent == Extent::fixed ? field.size : 40U;
    const std::uint32_t wanted = one_in(5) ? 0 : below(room + 1);
    while (out.size() < wanted) {
      if (one_in(2) && out.size() + 2 <= wanted) {
        append(out, {static_cast<std::uint8_t>(0xb0 + below(40)),
                     static_cast<std::uint8_t>(0xa1 + below(94))});
      } else {
        out.push_back(static_cast<std::uint8_t>(0x20 + below(95)));
      }
    }
    if (!out.empty() && one_in(12)) {
      out[below(static_cast<std::uint32_t>(out.size()))] = static_cast<std::uint8_t>(below(256));
    }
    if (field.extent != Extent::fixed) return out;
    const bool is_in_front = field.front_padded != one_in(10);
    const auto padding = static_cast<std::uint8_t>(field.space_padded != one_in(10) ? ' ' : 0);
    out.insert(is_in_front ? out.begin() : out.end(), room - out.size(), padding);
    return out;
  }

  Body noise(const Field& field) {
    return field.extent == Extent::fixed ? random_bytes(field.size) : random_bytes(below(48));
  }

  // Times that exist, every day's, none, and impossible ones.
  Body digits(const Field& field) {
    if (one_in(8)) return Body(field.size, 0);
    if (one_in(8) && !field.is_proof) return random_bytes(field.size);
    const auto bcd = [](std::uint32_t value) {
      return static_cast<std::uint8_t>(value / 10 << 4 | value % 10);
    };
    const Body date = {bcd(below(100)), bcd(1 + below(12)), bcd(1 + below(28))};
    const Body clock = {bcd(below(24)), bcd(below(60)), bcd(below(60))};
    Body out;
    switch (field.kind) {
      case Kind::time:
      case Kind::time_utc:
        out = one_in(6) && !field.is_proof ? Body(3, 0) : date;
        append(out, clock);
        return out;
      case Kind::date:
        out = {0x20};
        append(out, date);
        return out;
      case Kind::clock_ms:
        out = clock;
        append(out, {bcd(below(100)), bcd(below(100))});
        return out;
      default:
        for (unsigned i = 0; i < field.size; ++i) out.push_back(bcd(below(100)));
        return out;
    }
  }

  void sized(const Field& field, const Body& value, Body& out) {
    if (const std::size_t prefix = prefix_of(field.extent); prefix != 0) {
      big_endian(out, value.size(), prefix);
    }
    // An element whose size nobody says takes those behind it too.
    if (field.extent == Extent::rest && is_in_element_) is_clean_ = false;
    append(out, value);
  }

  void damage(Body& body) {
    const auto size = static_cast<std::uint32_t>(body.size());
    if (size == 0) return append(body, random_bytes(1 + below(8)));
    const std::uint32_t at = below(size);
    switch (below(6)) {
      case 0: body.resize(at); return;
      case 1: body[at] ^= static_cast<std::uint8_t>(1U << below(8)); return;
      case 2: body[at] = static_cast<std::uint8_t>(below(256)); return;
      case 3: append(body, random_bytes(1 + below(8))); return;
      case 4: {
        const Body more = random_bytes(1 + below(4));
        body.insert(body.begin() + at, more.begin(), more.end());
        return;
      }
      default:
        body.erase(body.begin() + at, body.begin() + std::min(size, at + 1 + below(4)));
        return;
    }
  }

  std::uint64_t value_of(std::string_view key) const {
    for (std::size_t i = values_.size(); i-- > 0;) {
      if (values_[i].first == key) return values_[i].second;
    }
    return 0;
  }
  Body random_bytes(std::uint32_t size) {
    Body out(size);
    for (std::uint8_t& byte : out) byte = static_cast<std::uint8_t>(below(256));
    return out;
  }
  static std::size_t prefix_of(Extent extent) {
    switch (extent) {
      case Extent::prefix1: return 1;
      case Extent::prefix2: return 2;
      case Extent::prefix4: return 4;
      default: return 0;
    }
  }
  static void append(Body& out, const Body& more) {
    out.insert(out.end(), more.begin(), more.end());
  }
  static void big_endian(Body& out, std::uint64_t value, std::size_t size) {
    for (std::size_t i = size; i-- > 0;) out.push_back(static_cast<std::uint8_t>(value >> 8 * i));
  }

  std::mt19937_64 random_;
  std::vector<std::pair<std::string_view, std::uint64_t>> values_;
  std::vector<std::pair<const ItemSpec*, Layout>> items_made_;
  unsigned depth_ = 0;
  bool is_large_ = false;
  bool is_clean_ = true;
  bool is_in_element_ = false;
  bool is_over_ = false;  // an optional field was left out: nothing follows in what encloses it
};

}  // namespace ringgate::jt808::test
