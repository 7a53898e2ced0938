// What may not be removed from the log yet: the oldest snapshot of the state and each sink hold it
// from where they have to go on reading. Retention asks before it takes a segment; beyond
// log.retention_hard_bytes it takes it all the same, and counts whose hold it broke.
//
// Any thread: a lock, held for a copy of a few entries. Never used per message.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "storage/log/cursor.hpp"

namespace ringgate::log {

class Holds {
 public:
  // `name`: "sink.redis", "state". Holds everything that `cursor` has not passed.
  void set(std::string_view name, const Cursor& cursor);
  void release(std::string_view name);
  // Who holds the segment of `stream` that ends at `end` (positions below it).
  std::vector<std::string> holders(const StreamId& stream, Position end) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, Cursor, std::less<>> holds_;
};

}  // namespace ringgate::log
