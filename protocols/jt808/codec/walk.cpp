#include "protocols/jt808/codec/walk.hpp"

#include <algorithm>
#include <utility>

#include "engine/base/check.hpp"

namespace ringgate::jt808 {

std::string_view name_of(Layout layout) {
  constexpr std::string_view names[] = {"2011", "2013", "2019", "js", "gd", "sc", "hlj", "odd"};
  static_assert(std::size(names) == static_cast<std::size_t>(Layout::count));
  return names[static_cast<std::size_t>(layout)];
}

Layout own_layout(Version version, LayoutMask layouts) {
  for (const Layout layout : layout_order(version, layouts)) {
    if ((layouts & mask_of(layout)) != 0) return layout;
  }
  RG_CHECK(false);
  return Layout::v2013;
}

std::uint64_t load_number(Bytes bytes) {
  std::uint64_t value = 0;
  for (const std::uint8_t byte : bytes) value = value << 8 | byte;
  return value;
}

const ItemSpec* find_item(const Registry& registry, std::uint32_t id) {
  auto at = std::ranges::upper_bound(registry.items, id, {}, &ItemSpec::id);
  if (at == registry.items.begin()) return nullptr;
  --at;
  return id <= std::max(at->id, at->last_id) ? &*at : nullptr;
}

ItemLayouts::ItemLayouts(LayoutMask layouts, Layout enclosing) {
  if ((layouts & mask_of(enclosing)) != 0) layouts_[size_++] = enclosing;
  for (unsigned i = 0; i < static_cast<unsigned>(Layout::count); ++i) {
    const auto layout = static_cast<Layout>(i);
    if (layout != enclosing && (layouts & mask_of(layout)) != 0) layouts_[size_++] = layout;
  }
  RG_CHECK(size_ != 0);
}

bool has_secrets(Fields fields) {
  return std::ranges::any_of(fields, [](const Field& field) {
    if (field.is_secret || has_secrets(field.fields)) return true;
    return field.registry != nullptr &&
           std::ranges::any_of(field.registry->items,
                               [](const ItemSpec& item) { return has_secrets(item.fields); });
  });
}

bool Scope::find(std::string_view key, std::uint64_t& number) const {
  for (std::size_t i = size_; i-- > 0;) {
    const Entry& entry = entries_[i];
    if (entry.field->key == key) {
      number = entry.number;
      return true;
    }
    for (const Part& part : entry.field->parts) {
      if (part.key != key) continue;
      number = entry.number >> part.shift & ((std::uint64_t{1} << part.width) - 1);
      return true;
    }
  }
  return false;
}

bool Scope::holds(const When& when) const {
  using Test = When::Test;
  if (when.test == Test::always) return true;
  std::uint64_t number = 0;
  if (!find(when.key, number)) return false;
  switch (when.test) {
    case Test::equal: return number == when.value;
    case Test::not_equal: return number != when.value;
    case Test::bit: return (number >> when.value & 1) != 0;
    case Test::no_bit: return (number >> when.value & 1) == 0;
    case Test::at_least: return number >= when.value;
    default: return true;
  }
}

namespace {

constexpr std::string_view cut_short = "body too short";
constexpr std::string_view element_over_end = "element runs over the end";
constexpr std::string_view no_size = "elements of no size";
constexpr std::string_view too_many_numbers = "too many numbers";

Visitor& nobody() {
  static Visitor visitor;  // without state
  return visitor;
}

bool is_time_or_zeros(Bytes bytes) {
  const std::uint64_t digits = load_number(bytes);
  return digits == 0 || time_from_digits(digits) != time_invalid;
}

// The bytes between `at` and `end` of the body are what is being walked.
struct Window {
  std::size_t at;
  std::size_t end;
  std::size_t left() const { return end - at; }
};

class Walker {
 public:
  Walker(Bytes body, Layout layout, Visitor& visitor)
      : body_(body), visitor_(&visitor), layout_(layout) {
    result_.layout = layout;
  }

  // All of `window`: what no field takes is reported as unparsed.
  void all(Fields fields, Window window) {
    each_field(fields, window);
    if (window.left() == 0) return;
    result_.exact = false;
    visitor_->unparsed(window.at, body_.subspan(window.at, window.left()));
  }
  const WalkResult& result() const { return result_; }

 private:
  bool problem(std::string_view why, std::size_t offset) {
    if (result_.problem.empty()) {
      result_.problem = why;
      result_.problem_offset = offset;
    }
    result_.exact = false;
    visitor_->problem(why, offset);
    return false;
  }

  // These return false where what encloses the field ends early, at `window.at`: after a problem,
  // and behind the last whole one of items that are cut short.
  bool each_field(Fields fields, Window& window) {
    for (const Field& field : fields) {
      if ((field.layouts & mask_of(layout_)) == 0) continue;
      if (!scope_.holds(field.when)) continue;
      if (field.is_optional && window.left() == 0) return true;
      if (!one_field(field, window)) return false;
    }
    return true;
  }

  bool one_field(const Field& field, Window& window) {
    switch (field.kind) {
      case Kind::list: return list(field, window);
      case Kind::items: return items(field, window);
      case Kind::group: {
        visitor_->begin_group(field);
        const bool ok = each_field(field.fields, window);
        visitor_->end_group(field);
        return ok;
      }
      default: return leaf(field, window);
    }
  }

  bool leaf(const Field& field, Window& window) {
    const std::size_t prefix = prefix_size(field.extent);
    if (window.left() < prefix) return problem(cut_short, window.at);
    std::uint64_t size = field.size;
    if (field.extent == Extent::rest) {
      size = window.left();
    } else if (prefix != 0) {
      size = load_number(body_.subspan(window.at, prefix));
    }
    if (window.left() - prefix < size) return problem(cut_short, window.at);
    if (prefix != 0) visitor_->length(field, window.at, prefix, size);
    const std::size_t offset = window.at + prefix;
    const Bytes bytes = body_.subspan(offset, static_cast<std::size_t>(size));
    std::uint64_t number = 0;
    if (has_number(field.kind)) {
      number = load_number(bytes);
      if (!scope_.add(field, number)) return problem(too_many_numbers, window.at);
    }
    if (field.is_proof && !is_time_or_zeros(bytes)) result_.exact = false;
    window.at = offset + bytes.size();
    visitor_->field({field, offset, bytes, number, layout_, scope_.is_negative(field)});
    return true;
  }

  // How many elements there are to be; as many as fit when nothing counts them.
  bool count_of(const Field& field, Window& window, std::uint64_t& count) {
    const std::size_t prefix = prefix_size(field.extent);
    if (prefix != 0) {
      if (window.left() < prefix) return problem(cut_short, window.at);
      count = load_number(body_.subspan(window.at, prefix));
      visitor_->length(field, window.at, prefix, count);
      window.at += prefix;
    } else if (field.extent == Extent::fixed) {
      count = field.size;
    } else if (field.extent == Extent::counted) {
      if (!scope_.find(field.by, count)) count = 0;
    } else {
      count = UINT64_MAX;
    }
    return true;
  }

  bool list(const Field& field, Window& window) {
    std::uint64_t count = 0;
    std::size_t index = 0;
    if (!count_of(field, window, count)) return false;
    visitor_->begin_list(field);
    bool ok = true;
    while (ok && index < count && (field.extent != Extent::rest || window.left() != 0)) {
      const std::size_t mark = scope_.mark();
      ok = field.element_prefix != 0 ? sized_element(field, index, window)
                                     : element(field, index, window);
      scope_.back_to(mark);
      if (ok) ++index;
    }
    visitor_->end_list(field, count, index);
    return ok;
  }

  bool element(const Field& field, std::size_t index, Window& window) {
    // Whether it fits is known before it is told, so that no element is left half done.
    Window probe = window;
    const std::size_t mark = scope_.mark();
    Visitor* const told = std::exchange(visitor_, &nobody());
    const WalkResult before = std::exchange(result_, {});
    const bool fits = each_field(field.fields, probe);
    visitor_ = told;
    scope_.back_to(mark);
    if (!fits) {
      const WalkResult inside = std::exchange(result_, before);
      return inside.problem.empty() ? problem(element_over_end, probe.at)
                                    : problem(inside.problem, inside.problem_offset);
    }
    result_ = before;
    if (probe.at == window.at) return problem(no_size, window.at);
    visitor_->begin_element(field, index, true);
    each_field(field.fields, window);
    visitor_->end_element(field);
    return true;
  }

  bool sized_element(const Field& field, std::size_t index, Window& window) {
    const std::size_t prefix = field.element_prefix;
    if (window.left() < prefix) return problem(element_over_end, window.at);
    const std::uint64_t size = load_number(body_.subspan(window.at, prefix));
    if (window.left() - prefix < size) return problem(element_over_end, window.at);
    const Window inside{window.at + prefix, window.at + prefix + static_cast<std::size_t>(size)};
    const bool clean = is_exact(field.fields, layout_, inside);
    visitor_->begin_element(field, index, clean);
    visitor_->length(field, window.at, prefix, size);
    all(field.fields, inside);
    visitor_->end_element(field);
    window.at = inside.end;
    return true;
  }

  // Whether `fields` use up `inside`, without telling anybody.
  bool is_exact(Fields fields, Layout layout, Window inside) {
    const std::size_t mark = scope_.mark();
    Visitor* const told = std::exchange(visitor_, &nobody());
    const WalkResult before = std::exchange(result_, {});
    const Layout own = std::exchange(layout_, layout);
    all(fields, inside);
    const bool exact = result_.exact;
    visitor_ = told;
    result_ = before;
    layout_ = own;
    scope_.back_to(mark);
    return exact;
  }

  bool items(const Field& field, Window& window) {
    std::uint64_t count = 0;
    std::size_t index = 0;
    if (!count_of(field, window, count)) return false;
    visitor_->begin_list(field);
    bool ok = true;
    while (index < count && window.left() != 0) {
      ItemSeen item;
      ok = next_item(*field.registry, window, item);
      if (!ok) break;
      const std::size_t mark = scope_.mark();
      choose_item_layout(item);
      visitor_->begin_item(field, item);
      if (item.fits) {
        const Layout own = std::exchange(layout_, item.layout);
        const WalkResult before = result_;
        all(item.spec->fields, {item.value_offset, item.value_offset + item.value.size()});
        layout_ = own;
        result_ = before;
      }
      visitor_->end_item(field, item);
      scope_.back_to(mark);
      ++index;
    }
    visitor_->end_list(field, count, index);
    return ok;
  }

  // False where an item runs over the end. That is no problem of the body: what stands before it
  // counts, and the rest is unparsed.
  bool next_item(const Registry& registry, Window& window, ItemSeen& out) const {
    const std::size_t head = std::size_t{registry.id_size} + registry.length_size;
    if (window.left() < head) return false;
    const std::size_t id_at = window.at + (registry.length_first ? registry.length_size : 0U);
    const std::size_t length_at = window.at + (registry.length_first ? 0U : registry.id_size);
    std::uint64_t size = load_number(body_.subspan(length_at, registry.length_size));
    if (registry.length_first) {
      if (size < registry.id_size) return false;
      size -= registry.id_size;
    }
    if (window.left() - head < size) return false;
    out.registry = &registry;
    out.id = static_cast<std::uint32_t>(load_number(body_.subspan(id_at, registry.id_size)));
    out.spec = find_item(registry, out.id);
    out.offset = window.at;
    out.value_offset = window.at + head;
    out.value = body_.subspan(out.value_offset, static_cast<std::size_t>(size));
    window.at = out.value_offset + out.value.size();
    return true;
  }

  void choose_item_layout(ItemSeen& item) {
    if (item.spec == nullptr) return;
    const ItemLayouts layouts(item.spec->layouts, layout_);
    for (const Layout layout : layouts) {
      item.layout = layout;
      item.fits = is_exact(item.spec->fields, layout,
                           {item.value_offset, item.value_offset + item.value.size()});
      if (item.fits) break;
    }
    item.is_first_layout = item.layout == *layouts.begin();
  }

  Bytes body_;
  Visitor* visitor_;
  Layout layout_;
  Scope scope_;
  WalkResult result_;
};

}  // namespace

WalkResult walk(Fields fields, Layout layout, Bytes body, Visitor& visitor) {
  Walker walker(body, layout, visitor);
  walker.all(fields, {0, body.size()});
  return walker.result();
}

Layout choose_layout(const MessageSpec& message, Version version, Bytes body) {
  const Layout own = own_layout(version, message.layouts);
  if ((message.layouts & ~mask_of(own)) == 0) return own;
  Layout without_problem = Layout::count;
  for (const Layout layout : layout_order(version, message.layouts)) {
    if ((message.layouts & mask_of(layout)) == 0) continue;
    const WalkResult result = walk(message.fields, layout, body, nobody());
    if (result.exact) return layout;
    if (result.problem.empty() && without_problem == Layout::count) without_problem = layout;
  }
  return without_problem == Layout::count ? own : without_problem;
}

WalkResult walk_body(const MessageSpec& message, Version version, Bytes body, Visitor& visitor) {
  return walk(message.fields, choose_layout(message, version, body), body, visitor);
}

}  // namespace ringgate::jt808
