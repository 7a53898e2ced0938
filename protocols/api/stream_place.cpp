#include "protocols/api/stream_place.hpp"

#include <fmt/format.h>

#include <charconv>

#include "engine/base/limits.hpp"

namespace ringgate::api {

namespace {

constexpr std::size_t node_digits = 8;

template <class Number>
bool take_number(std::string_view& text, Number& out, int base) {
  // from_chars would take a sign.
  if (text.empty() || text.front() == '-') return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, base);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

}  // namespace

void StreamPlace::pass(const log::StreamId& stream, Position position) {
  if (stream.run != run) {
    run = stream.run;
    positions.clear();
  }
  if (positions.size() <= stream.shard) positions.resize(stream.shard + std::size_t{1}, 0);
  positions[stream.shard] = position;
}

StreamPlace place_of(const log::Cursor& cursor) {
  StreamPlace place;
  place.run = cursor.done_runs_below();
  if (!cursor.positions().empty()) place.run = cursor.positions().rbegin()->first.run;
  for (const auto& [stream, position] : cursor.positions()) {
    if (stream.run == place.run) place.pass(stream, position);
  }
  return place;
}

log::Cursor cursor_of(const StreamPlace& place) {
  log::Cursor cursor;
  cursor.finish_runs_below(place.run);
  for (std::size_t i = 0; i < place.positions.size(); ++i) {
    if (place.positions[i] == 0) continue;
    cursor.set({place.run, static_cast<ShardIndex>(i)}, place.positions[i]);
  }
  return cursor;
}

std::string to_text(const log::NodeId& node, const StreamPlace& place) {
  std::string out = log::to_text(node).substr(0, node_digits);
  out += fmt::format("-{}", place.run);
  for (const Position position : place.positions) out += fmt::format("-{:x}", position / 8);
  return out;
}

Result<StreamPlace> place_from_text(std::string_view text, const log::NodeId& node) {
  const Error bad{0, "from is no cursor that this stream gave"};
  StreamPlace place;
  if (text.size() <= node_digits || text[node_digits] != '-') return bad;
  if (text.substr(0, node_digits) != std::string_view(log::to_text(node)).substr(0, node_digits)) {
    return Error{0, "from is a cursor of another node's log"};
  }
  text.remove_prefix(node_digits + 1);
  if (!take_number(text, place.run, 10)) return bad;
  while (!text.empty()) {
    Position position = 0;
    if (text.front() != '-') return bad;
    text.remove_prefix(1);
    if (!take_number(text, position, 16) || position > ~Position{0} / 8) return bad;
    if (place.positions.size() >= ringgate::limits::shards_max) return bad;
    place.positions.push_back(position * 8);
  }
  return place;
}

}  // namespace ringgate::api
