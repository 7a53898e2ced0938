// One stream of the log, followed from a position on: the next selected record that is committed,
// across segments, growing ones too. Part of a tail.
//
// What is committed is known from the commit board where there is one, and else from what the log
// proves (storage/log/FORMAT.md, "Reading a live log"; "Reading after the writer is gone" for
// streams that nobody writes any more). One owner, any thread but a shard's; memory: a window.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "storage/log/commit_board.hpp"
#include "storage/log/record.hpp"
#include "storage/query/directory.hpp"
#include "storage/query/selection.hpp"

namespace ringgate::query {

// What the followers of one tail share.
struct FollowerParts {
  io::Sys& sys;
  Directory& directory;
  const Selection& selection;
  const event::CatalogSet& catalogs;
  const log::CommitBoard* board = nullptr;
  std::uint64_t lost_bytes = 0;  // taken by retention before they were passed
  std::vector<std::string> problems;

  void report(std::string problem);
  void lose(const log::StreamId& stream, Position from, Position to);
};

class Follower {
 public:
  // `counts_loss`: what is missing between `start` and the oldest segment was taken away.
  Follower(FollowerParts& parts, const log::StreamId& stream, Position start, bool counts_loss);

  const log::StreamId& stream() const { return stream_; }
  // The next selected record, once load() has found one; valid until pass() or the next load().
  const log::Record& record() const { return record_; }
  bool loaded() const { return loaded_; }
  // Finds the next selected record. False: none is there now.
  bool load();
  // The loaded record is behind.
  void pass();
  // Everything below was handed out and passed, or not selected.
  Position at() const { return at_; }
  // Looks again. `listed`: the directory was listed since the last look.
  void look(bool listed);
  // Whether nothing is left and nothing can come, as far as the last listing shows.
  bool finished() const;
  // Passes everything that is committed now.
  void pass_all();
  // Committed bytes that are not passed, as far as they are known.
  std::uint64_t behind_bytes() const;

 private:
  bool open();
  bool open_chosen(std::unique_ptr<log::SegmentFile> file);
  bool open_at(Position base);
  void close();
  bool leave();
  bool mend();
  void pass_damage();
  bool raise_end();
  bool raise_proven();
  bool scan_frontier();
  void prove_by_next();
  bool look_at_head();
  void judge_dead();
  void update_end();
  void lose(Position from, Position to);
  void next_base_changed();
  const KnownSegment* known_after(Position base) const;
  const KnownSegment* known_for(Position position) const;
  bool has_board() const { return parts_.board != nullptr && parts_.board->run() == stream_.run; }
  bool dead() const;
  bool segment_passed() const;
  bool is_regular() const;

  FollowerParts& parts_;
  log::StreamId stream_;
  Position at_;
  bool counts_loss_;
  bool verified_ = false;  // a record began at a position that this follower came to
  bool loaded_ = false;
  Position mended_at_ = 0;
  std::uint32_t mends_ = 0;
  std::optional<Position> unreadable_;  // base of a segment whose head can't be read
  log::Record record_;

  // The segment that is being read.
  std::unique_ptr<log::SegmentFile> file_;
  Position end_ = 0;    // records may be handed out below
  Position limit_ = 0;  // the next segment begins here, as far as is known
  bool ended_ = false;  // its end mark is behind
  // Without a board: valid records lie between at_ and here,
  Position frontier_ = 0;
  bool frontier_ended_ = false;
  // and this is what they prove.
  Position proven_ = 0;
  std::uint64_t look_bytes_ = 0;
  std::optional<Position> dead_end_;  // of the segment, where nobody will seal it
};

}  // namespace ringgate::query
