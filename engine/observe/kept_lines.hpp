// The last warnings and errors of a log, for people who ask what went wrong. A line that says the
// same as one that is kept (source, level, message) counts as its repeat, so that one place that is
// noisy pushes nothing else out.
//
// Any thread; the lock is held for some microseconds, by the log's writer and by who asks.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/clock.hpp"
#include "engine/observe/log_format.hpp"

namespace ringgate::observe {

struct KeptLine {
  WallUs time = 0;   // of the last
  WallUs first = 0;  // of the first since it is kept
  Level level = Level::warn;
  std::string source;
  std::string message;
  std::string fields;  // of the last, as the log has them: `bytes=12`, or `{"bytes":12}`
  std::uint64_t count = 0;
};

class KeptLines {
 public:
  // A page of them; at most 1 KiB each.
  static constexpr std::size_t lines_max = 100;

  // `text`: a whole line. Does nothing below Level::warn.
  void keep(WallUs time, Level level, std::string_view source, const char* text, LineExtent extent,
            std::uint64_t repeats);
  // Newest first.
  std::vector<KeptLine> all() const;

 private:
  mutable std::mutex mutex_;
  std::vector<KeptLine> lines_;  // in the order of their last time
};

}  // namespace ringgate::observe
