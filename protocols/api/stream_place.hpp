// A place of the live stream in the log, as clients keep it: opaque to them, one short word.
//
//   4f1c09ab-12-200-1a8: node (the first 8 hex digits of its id), run, and for each shard of that
//   run the position / 8 in hex. All runs before are behind it.
//
// A plain value.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/base/ids.hpp"
#include "engine/base/result.hpp"
#include "storage/log/cursor.hpp"

namespace ringgate::api {

struct StreamPlace {
  std::uint32_t run = 0;
  std::vector<Position> positions;  // by shard; what is missing was not begun

  Position of(ShardIndex shard) const {
    return shard < positions.size() ? positions[shard] : 0;
  }
  void pass(const log::StreamId& stream, Position position);
  friend bool operator==(const StreamPlace&, const StreamPlace&) = default;
};

// Of a tail's cursor: the streams of its newest run. Older ones must have been read.
StreamPlace place_of(const log::Cursor& cursor);
log::Cursor cursor_of(const StreamPlace& place);

std::string to_text(const log::NodeId& node, const StreamPlace& place);
// Error: what is wrong with the text, or that it names a place of another node's log.
Result<StreamPlace> place_from_text(std::string_view text, const log::NodeId& node);

}  // namespace ringgate::api
