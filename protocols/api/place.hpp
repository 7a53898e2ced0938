// Where a record stands in the order of answers about the past, and what it is called. Pure; any
// thread.
#pragma once

#include <fmt/format.h>

#include <charconv>
#include <compare>
#include <optional>
#include <string>
#include <string_view>

#include "storage/log/segment.hpp"
#include "storage/query/scan.hpp"

namespace ringgate::api {

// A scan's order: received time, stream, position. As text it is the cursor of a page.
struct Place {
  WallUs received_us = 0;
  log::StreamId stream;
  Position position = 0;
  friend auto operator<=>(const Place&, const Place&) = default;

  std::string text() const {
    return fmt::format("{}.{}-{}.{}", received_us, stream.run, stream.shard, position);
  }
};
inline Place place_of(const query::Found& found) {
  return {found.record.header.received_us, found.stream, found.record.header.position};
}

// A number and the character behind it off the front of `text`; 0: nothing is behind it.
template <class Number>
bool take_number(std::string_view& text, Number& number, char behind) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  if (behind == 0) return text.empty();
  if (text.empty() || text.front() != behind) return false;
  text.remove_prefix(1);
  return true;
}

inline std::optional<Place> parse_place(std::string_view text) {
  Place place;
  const bool good = take_number(text, place.received_us, '.') &&
                    take_number(text, place.stream.run, '-') &&
                    take_number(text, place.stream.shard, '.') &&
                    take_number(text, place.position, 0);
  return good ? std::optional(place) : std::nullopt;
}

// As ringgate-log writes it.
inline std::string record_id(std::string_view node, const log::StreamId& stream,
                             Position position) {
  return fmt::format("{}/{}-{}/{}", node, stream.run, stream.shard, position);
}

}  // namespace ringgate::api
