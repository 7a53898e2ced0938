// Follows the log from a cursor on: every committed record of every stream once, each stream in
// order, streams merged by received time as far as they are there. What sinks, live streams and
// `--follow` read. Costs nothing while nothing comes but a look now and then; a look does not grow
// with the number of old segments. One owner, any thread but a shard's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "storage/log/cursor.hpp"
#include "storage/query/scan.hpp"

namespace ringgate::query {

struct TailStart {
  enum class Where : std::uint8_t { beginning, end, cursor };
  Where where = Where::beginning;
  log::Cursor cursor;  // of Where::cursor: the first record not yet passed
};

// How far behind a tail is.
struct Lag {
  std::uint64_t bytes = 0;  // of committed log that it has not passed
  WallUs oldest_us = 0;     // received time of the next record; 0: none waits
};

class Tail {
 public:
  // Error: what about the directory can't be read.
  static Result<std::unique_ptr<Tail>> open(const Scan::Parts& parts, const Selection& selection,
                                            const TailStart& start);
  virtual ~Tail() = default;

  virtual const log::NodeId& node() const = 0;
  // The next selected record. False: nothing is there now; look again later, refresh() first.
  virtual bool next(Found& found) = 0;
  // Looks for what was committed since. False: the directory can't be read any more.
  virtual bool refresh() = 0;
  // Everything that next() has handed out, and what it passed over as not selected, is behind this;
  // the record handed out last is not: it is behind once next() is called again.
  virtual log::Cursor cursor() const = 0;
  // Goes on elsewhere.
  virtual Result<void> seek(const TailStart& start) = 0;
  virtual Lag lag() const = 0;
  // Records and bytes that retention took before this tail had passed them; 0 unless a hold broke.
  virtual std::uint64_t lost_bytes() const = 0;
  virtual const std::vector<std::string>& problems() const = 0;
};

}  // namespace ringgate::query
