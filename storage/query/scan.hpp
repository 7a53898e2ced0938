// Answers a question about what is in the log now: the selected records of all streams, merged by
// received time. Reads what indexes leave, never blocks the writer, takes no lock that it takes;
// safe on a live log and beside retention. One owner, any thread but a shard's.
//
// Memory: a window for each stream under way.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/io/sys.hpp"
#include "storage/log/commit_board.hpp"
#include "storage/log/record.hpp"
#include "storage/log/segment_times.hpp"
#include "storage/query/selection.hpp"

namespace ringgate::query {

// What to do where retention takes a segment away that is being read.
enum class OnGone : std::uint8_t { skip, fail };

struct Found {
  log::StreamId stream;
  log::Record record;  // points into the scan; valid until the next call
};

struct ScanStats {
  std::uint64_t records_seen = 0;   // looked at
  std::uint64_t records_found = 0;  // selected
  std::uint64_t bytes_read = 0;     // from disk, indexes included
  std::uint64_t log_bytes = 0;      // of all segments, as files
  std::uint64_t segments = 0;
  std::uint64_t segments_opened = 0;
  std::uint64_t segments_gone = 0;  // taken by retention meanwhile (OnGone::skip)
  // Indexes that said what their segment does not hold (the file of times counts as one), and
  // damaged ones. The answer is right all the same: they were not followed.
  std::uint64_t indexes_lied = 0;
  std::uint64_t indexes_damaged = 0;
};

// The times of sealed segments, kept from one scan to the next, so that with thousands of segments
// few are opened to find out. One owner and thread, whose scans may take turns; some 150 bytes a
// segment.
class Heads {
 public:
  struct Times {
    log::SegmentTimes is;
    bool device_times_known = false;
    bool checked = false;  // against the segment itself
  };
  const Times* find(const log::SegmentKey& key) const {
    const auto found = times_.find(key);
    return found == times_.end() ? nullptr : &found->second;
  }
  // What a segment's own seal says. True: nothing else was known of it.
  bool check(const log::SegmentKey& key, const log::SegmentHeader& header, const log::Seal& seal);
  // What the directory's file of times says, where nothing is known yet.
  void learn(const log::TimesTable& table);
  // Of what was learned, forgets what was not checked.
  void distrust();
  template <class Known>
  void keep(const Known& known) {
    std::erase_if(times_, [&](const auto& one) { return !known(one.first); });
  }

 private:
  std::map<log::SegmentKey, Times> times_;
};

class Scan {
 public:
  struct Parts {
    io::Sys& sys;
    std::string data_dir;
    const event::CatalogSet& catalogs;
    const log::CommitBoard* board = nullptr;  // of the gateway in this process; null: none
    Heads* heads = nullptr;  // what earlier scans of the same owner learned; null: nothing is kept
    // Asked every few thousand records looked at, whether or not they are selected; false ends the
    // scan as if there were no more. Null: it goes on.
    std::function<bool()> keep_going = {};
    // Asked just as often where nothing was found meanwhile; true: next() says false now, paused()
    // says why, and next() goes on where it was. So one thread may serve several scans in turn.
    std::function<bool()> pause = {};
    // Told the name of a segment whose index is of no use (log::Curator::remake_index).
    std::function<void(const std::string&)> index_lied = {};
  };
  // Error: what about the directory can't be read.
  static Result<std::unique_ptr<Scan>> open(const Parts& parts, const Selection& selection,
                                            OnGone on_gone = OnGone::skip);
  virtual ~Scan() = default;

  virtual const log::NodeId& node() const = 0;
  // False: no more. Error: with OnGone::fail, which segment went, and when it is worth trying
  // again.
  virtual Result<bool> next(Found& found) = 0;
  // Whether there may be more, though next() said false.
  virtual bool paused() const = 0;
  virtual const ScanStats& stats() const = 0;
  // Damage and unreadable files met so far, a sentence each.
  virtual const std::vector<std::string>& problems() const = 0;
  // For a progress line: of bytes_total(), so many are behind. The total falls as segments turn out
  // to hold nothing that is selected.
  virtual std::uint64_t bytes_done() const = 0;
  virtual std::uint64_t bytes_total() const = 0;
};

}  // namespace ringgate::query
