// A place in all streams of a node's log: per stream, everything below the position was passed.
// What sinks keep to go on from, and what snapshots say they cover. A plain value.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "storage/log/segment.hpp"

namespace ringgate::log {

class Cursor {
 public:
  // Streams without an entry were not begun, unless their run is below `done_runs_below`: then they
  // were read to their end.
  void set(const StreamId& stream, Position position) { positions_[stream] = position; }
  std::optional<Position> find(const StreamId& stream) const;
  // Where reading the stream goes on: 0 is its beginning. Nothing: it was read to its end.
  std::optional<Position> start_of(const StreamId& stream) const;
  const std::map<StreamId, Position>& positions() const { return positions_; }
  std::uint32_t done_runs_below() const { return done_runs_below_; }
  // All streams of runs below `run` were read to their end; their entries go.
  void finish_runs_below(std::uint32_t run);

  friend bool operator==(const Cursor&, const Cursor&) = default;

 private:
  std::map<StreamId, Position> positions_;
  std::uint32_t done_runs_below_ = 0;
};

// One line: "NODE <12 12-0/4096 12-1/81920". to_text and back are the identity.
std::string to_text(const NodeId& node, const Cursor& cursor);
struct NodeCursor {
  NodeId node{};
  Cursor cursor;
};
// Error: what is wrong with the text.
Result<NodeCursor> cursor_from_text(std::string_view text);

}  // namespace ringgate::log
