// Which devices of a Mirror a list shows, and in what order: a search by plate or number, an order,
// and a place to go on from.
//
// A place is the last device's value and id as they were, not a number of rows: a device whose
// value stays as it is comes exactly once, whatever the others do between two pages. One whose
// value changes may come twice or not at all, as in any list that is alive.
//
// Pure; one scan of all devices, some 20 ns of each, and a heap as large as the page.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.hpp"
#include "protocols/api/mirror.hpp"

namespace ringgate::api {

struct Lookup {
  // A text to look for is no longer: ids and plates are not.
  static constexpr std::size_t text_size_max = 64;

  enum class By : std::uint8_t {
    match,  // what is the whole text, then what begins with it, then what holds it
    id, plate, last_heard, position_time, speed, online, alarm
  };

  By by = By::match;
  bool descending = false;
  // Folded (fold()). `any`: in the plate or the id; `plate`: all of it, or its beginning.
  std::string any;
  std::string plate;
  bool plate_begins = false;

  // Each of them as the query has it; an empty one is none. `plate` ends with '*' where only its
  // beginning is meant, "*": any plate. `id_key`: what orders by id besides "phone". Error: what is
  // wrong.
  static Result<Lookup> parse(std::string_view sort, std::string_view any, std::string_view plate,
                              std::string_view id_key);
  bool has_plate() const { return plate_begins || !plate.empty(); }
  std::string order_text() const;  // "-speed", as parse() takes it
};

// Latin letters in lower case; bytes of other characters stay.
std::string fold(std::string_view text);

// A device's place in the order.
struct Mark {
  bool has_value = false;   // those without (no plate, never heard) are last, both ways
  std::uint64_t value = 0;  // less is before
  std::string text;         // behind `value`, where the order is that of texts
  std::string id;

  // For the "next" of a page of this order, and back. Nothing: it is none of it.
  std::string write(const Lookup& lookup) const;
  static bool read(std::string_view cursor, const Lookup& lookup, Mark& out);
};

struct Found {
  DeviceKey key;
  bool has_value = false;   // of its Mark
  std::uint64_t value = 0;
  std::uint8_t plate_size = 0;
  char plate_text[event::DeviceSnapshot::plate_size_max] = {};
  std::string_view plate() const { return {plate_text, plate_size}; }
  Mark mark(const Lookup& lookup) const;
};
struct FoundPage {
  std::vector<Found> devices;  // in order
  bool more = false;           // there are others behind them
};
// The first `count` (> 0) devices behind `after`; null: from the beginning.
FoundPage find_devices(const Mirror& mirror, const Lookup& lookup, const Mark* after,
                       std::size_t count);

}  // namespace ringgate::api
