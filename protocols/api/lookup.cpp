#include "protocols/api/lookup.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "engine/base/hex.hpp"
#include "engine/base/utf8.hpp"

namespace ringgate::api {

namespace {

using By = Lookup::By;

struct OrderName {
  std::string_view name;
  By by;
};
constexpr OrderName order_names[] = {
    {"match", By::match},     {"phone", By::id},
    {"plate", By::plate},     {"last_heard", By::last_heard},
    {"speed", By::speed},     {"position_time", By::position_time},
    {"online", By::online},   {"alarm", By::alarm}};

char folded(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

bool is_digits(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

// How a text holds what is looked for: less is better.
constexpr unsigned whole = 0, begins = 1, holds = 2, not_at_all = 3;
unsigned match_of(std::string_view text, std::string_view sought) {
  const std::size_t at = text.find(sought);
  if (at == std::string_view::npos) return not_at_all;
  if (at != 0) return holds;
  return text.size() == sought.size() ? whole : begins;
}

// A device while devices are compared; views into the mirror or a Mark.
struct Item {
  bool has_value = false;
  std::uint64_t value = 0;
  std::string_view text;
  std::string_view id;
  Mirror::Slot slot = 0;
};

class Search {
 public:
  Search(const Mirror& mirror, const Lookup& lookup) : mirror_(mirror), lookup_(lookup) {
    // Numbers have no zeros before them, people write them. Fewer digits may be of a plate.
    constexpr std::size_t digits_min = 7;
    short_ = lookup.any;
    if (is_digits(short_)) short_.remove_prefix(std::min(short_.find_first_not_of('0'),
                                                         short_.size()));
    if (short_.size() == lookup.any.size() || short_.size() < digits_min) short_ = {};
  }

  // False: not looked for.
  bool take(Mirror::Slot slot, Item& item) const {
    const Mirror::Device& device = mirror_.at(slot);
    unsigned match = 0;
    if (!lookup_.any.empty() || lookup_.has_plate()) match = match_of_device(device);
    if (match == not_at_all) return false;
    item.slot = slot;
    item.id = device.key.id();
    item.text = {};
    item.has_value = true;
    item.value = value_of(slot, device, match, item);
    if (lookup_.descending && item.has_value) item.value = ~item.value;
    return true;
  }

  bool before(const Item& a, const Item& b) const {
    if (a.has_value != b.has_value) return a.has_value;
    if (a.value != b.value) return a.value < b.value;
    if (const int order = a.text.compare(b.text); order != 0) {
      return lookup_.descending ? order > 0 : order < 0;
    }
    return lookup_.by == By::id && lookup_.descending ? b.id < a.id : a.id < b.id;
  }

 private:
  unsigned match_of_device(const Mirror::Device& device) const {
    // All of it, so that the compiler makes vectors of it.
    char folded_plate[event::DeviceSnapshot::plate_size_max];
    for (std::size_t i = 0; i < sizeof folded_plate; ++i) {
      folded_plate[i] = folded(device.plate_text[i]);
    }
    const std::string_view plate(folded_plate, device.plate_size);
    unsigned match = whole;
    if (lookup_.has_plate()) {
      if (plate.empty() || !plate.starts_with(lookup_.plate)) return not_at_all;
      match = plate.size() == lookup_.plate.size() ? whole : begins;
      if (match == begins && !lookup_.plate_begins) return not_at_all;
    }
    if (lookup_.any.empty()) return match;
    return std::min(match_of(plate, lookup_.any), match_of_id(device.key));
  }
  unsigned match_of_id(const DeviceKey& key) const {
    std::string_view id = key.id();
    char lower[DeviceKey::text_size_max];
    if (key.ns != Namespace::phone) {  // numbers have no letters
      std::ranges::transform(id, lower, folded);
      id = {lower, id.size()};
    }
    const unsigned match = match_of(id, lookup_.any);
    if (match <= begins || short_.empty() || !id.starts_with(short_)) return match;
    return id.size() == short_.size() ? whole : begins;
  }

  std::uint64_t value_of(Mirror::Slot slot, const Mirror::Device& device, unsigned match,
                         Item& item) const {
    const std::uint8_t flags = mirror_.flags(slot);
    const auto time = [&](std::int64_t at) {
      item.has_value = at > 0;
      return item.has_value ? static_cast<std::uint64_t>(at) : 0;
    };
    switch (lookup_.by) {
      case By::match: return match;
      case By::id: return 0;
      case By::plate:
        item.text = device.plate();
        item.has_value = !item.text.empty();
        return 0;
      case By::last_heard: return time(device.last_heard_us);
      case By::position_time: return time(device.position_time_s);
      case By::speed:
        item.has_value = device.position_time_s != 0 || (flags & Mirror::located_flag) != 0;
        return item.has_value ? device.speed_kmh_x10 : 0;
      case By::online: return (flags & Mirror::online_flag) != 0 ? 1 : 0;
      case By::alarm: return (flags & Mirror::alarm_flag) != 0 ? 1 : 0;
    }
    return 0;
  }

  const Mirror& mirror_;
  const Lookup& lookup_;
  std::string_view short_;  // `any` without zeros before it, where it had some
};

Found found_of(const Mirror& mirror, const Item& item) {
  const Mirror::Device& device = mirror.at(item.slot);
  Found found{.key = device.key,
              .has_value = item.has_value,
              .value = item.value,
              .plate_size = device.plate_size};
  std::ranges::copy(device.plate_text, found.plate_text);
  return found;
}

}  // namespace

std::string fold(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), folded);
  return out;
}

Result<Lookup> Lookup::parse(std::string_view sort, std::string_view any, std::string_view plate,
                             std::string_view id_key) {
  Lookup out;
  if (!sort.empty()) {
    out.descending = sort.starts_with('-');
    const std::string_view name = sort.substr(out.descending ? 1 : 0);
    const auto* const known = std::ranges::find(order_names, name, &OrderName::name);
    if (known == std::end(order_names) && name != id_key) {
      std::string names;
      for (const OrderName& one : order_names) names += fmt::format(", {}", one.name);
      return Error{0, fmt::format("sort '{}' is none of {}; '-' before it turns it round", name,
                                  names.substr(2))};
    }
    out.by = known == std::end(order_names) ? By::id : known->by;
  }
  if (any.size() > text_size_max || plate.size() > text_size_max) {
    return Error{0, fmt::format("q and plate have at most {} bytes", text_size_max)};
  }
  if (!is_utf8(any) || !is_utf8(plate)) return Error{0, "q and plate must be UTF-8"};
  out.plate_begins = plate.ends_with('*');
  if (out.plate_begins) plate.remove_suffix(1);
  if (plate.find('*') != std::string_view::npos) {
    return Error{0, "plate may have one '*', at its end"};
  }
  out.any = fold(any);
  out.plate = fold(plate);
  return out;
}

std::string Lookup::order_text() const {
  const auto* const known = std::ranges::find(order_names, by, &OrderName::by);
  return fmt::format("{}{}", descending ? "-" : "", known->name);
}

// "-speed:VALUE:TEXT:ID", texts in hex: whatever they hold, a query takes it as it is.
std::string Mark::write(const Lookup& lookup) const {
  return fmt::format("{}:{}:{}:{}", lookup.order_text(),
                     has_value ? fmt::format("{}", value) : std::string(),
                     to_hex(as_bytes(text)), to_hex(as_bytes(id)));
}

bool Mark::read(std::string_view cursor, const Lookup& lookup, Mark& out) {
  std::string_view parts[4];
  for (std::size_t i = 0; i < 4; ++i) {
    const std::size_t end = cursor.find(':');
    if ((end == std::string_view::npos) != (i == 3)) return false;
    parts[i] = cursor.substr(0, end);
    cursor.remove_prefix(i == 3 ? cursor.size() : end + 1);
  }
  if (parts[0] != lookup.order_text()) return false;
  out = {};
  out.has_value = !parts[1].empty();
  const char* const last = parts[1].data() + parts[1].size();
  if (out.has_value) {
    const auto read = std::from_chars(parts[1].data(), last, out.value);
    if (read.ec != std::errc() || read.ptr != last) return false;
  }
  const auto text = from_hex(parts[2]);
  const auto id = from_hex(parts[3]);
  if (!text || !id || id->empty()) return false;
  out.text.assign(text->begin(), text->end());
  out.id.assign(id->begin(), id->end());
  return true;
}

Mark Found::mark(const Lookup& lookup) const {
  return {has_value, value, std::string(lookup.by == By::plate ? plate() : std::string_view()),
          std::string(key.id())};
}

FoundPage find_devices(const Mirror& mirror, const Lookup& lookup, const Mark* after,
                       std::size_t count) {
  const Search search(mirror, lookup);
  Item begin;
  if (after != nullptr) begin = {after->has_value, after->value, after->text, after->id, 0};
  const auto before = [&](const Item& a, const Item& b) { return search.before(a, b); };
  std::vector<Item> best;  // a heap, the last of them on top
  FoundPage page;
  Item item;
  for (Mirror::Slot slot = 0; slot < mirror.size(); ++slot) {
    if (!search.take(slot, item)) continue;
    if (after != nullptr && !before(begin, item)) continue;
    if (best.size() == count) {
      page.more = true;
      if (!before(item, best.front())) continue;
      std::ranges::pop_heap(best, before);
      best.back() = item;
    } else {
      best.push_back(item);
    }
    std::ranges::push_heap(best, before);
  }
  std::ranges::sort_heap(best, before);
  page.devices.reserve(best.size());
  for (const Item& one : best) page.devices.push_back(found_of(mirror, one));
  return page;
}

}  // namespace ringgate::api
