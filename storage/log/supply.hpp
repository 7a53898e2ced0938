// Makes segments ahead of need, seals and retires them, and removes or recycles the oldest: all the
// file work that would block a shard. One supply serves all shards of a process.
//
// Life: made at start, before the writers; ended after the last writer. In Mode::thread a helper
// thread does the work and exchanges atomics with the shards: no side waits for the other. In
// Mode::inline_now the call itself does the work, for simulations and tests.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <semaphore>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "engine/base/limits.hpp"
#include "engine/base/result.hpp"
#include "engine/io/sys.hpp"
#include "storage/log/holds.hpp"
#include "storage/log/options.hpp"
#include "storage/log/segment.hpp"
#include "storage/log/segment_file.hpp"
#include "storage/log/segment_list.hpp"

namespace ringgate::log {

// How far a segment's blocks are initialised. The supply raises `initialised_bytes` (file offsets);
// the writer never writes at or above it, and raises `wanted_bytes` as it goes.
struct SegmentProgress {
  std::atomic<std::uint64_t> initialised_bytes{0};
  std::atomic<std::uint64_t> wanted_bytes{0};
  std::atomic<bool> failed{false};  // no more will be initialised
};

// A segment ready to be written. The receiver owns the fd until it gives it to retire().
struct ReadySegment {
  int fd = -1;
  bool direct = false;
  SegmentHeader header;
  std::string path;
  std::shared_ptr<SegmentProgress> progress;
};

struct SupplyCounters {
  std::atomic<std::uint64_t> segments_made{0};
  std::atomic<std::uint64_t> segments_recycled{0};
  std::atomic<std::uint64_t> segments_retired{0};
  std::atomic<std::uint64_t> segments_removed{0};  // by retention
  std::atomic<std::uint64_t> zero_bytes_written{0};
  std::atomic<std::uint64_t> failures{0};
  std::atomic<std::uint64_t> holds_broken{0};  // segments taken that somebody held
};

// Who says what retention may not take yet.
struct Retention {
  const Holds* holds = nullptr;  // null: nothing is held
  // Called on the supply's thread for each hold that is broken, with the holder's name and the
  // segment's, and whether it is the first of this holder.
  std::function<void(const std::string&, const std::string&, bool)> on_broken;
  // Called on the supply's thread at each look for each holder that keeps an expired segment while
  // the log is near the hard limit or beyond. Where it is set, a hold is broken only if its holder
  // was told at the look before, so that it may still let go. May be empty.
  std::function<void(const std::string&)> on_near;
};

class SegmentSupply {
 public:
  enum class Mode : std::uint8_t { thread, inline_now };

  // `directory` is the log directory of the data directory.
  SegmentSupply(io::Sys& sys, const LogOptions& options, std::string directory, const NodeId& node,
                std::uint32_t run, Mode mode, Retention retention = {});
  // Finishes what retire() was given and removes segments that nobody took.
  ~SegmentSupply();
  SegmentSupply(const SegmentSupply&) = delete;
  SegmentSupply& operator=(const SegmentSupply&) = delete;

  // Asks for the stream's next segment. A request that was not taken yet is replaced: what was made
  // for it gets the new base.
  void request(ShardIndex shard, Position base, Position committed);
  enum class Answer : std::uint8_t { none, working, ready, failed };
  // The state of the last request.
  Answer poll(ShardIndex shard);
  ReadySegment take(ShardIndex shard);  // after Answer::ready
  Error failure(ShardIndex shard);      // after Answer::failed; the request is forgotten
  // Waits for the answer: for start-up only.
  Answer wait(ShardIndex shard);
  // The writer has raised wanted_bytes.
  void hurry();
  // Seals and closes. A seal that can't be written is left out: recovery does without.
  void retire(ReadySegment segment, const Seal& seal);

  // A plain segment whose compressed file has taken its place: becomes a spare, or goes. Any
  // thread.
  void give_back(const std::string& name);

  // Applies retention now (inline mode only).
  void look_at_retention() { apply_retention(); }

  // A simulated crash: nothing more is written (inline mode only).
  void abandon();

  const SupplyCounters& counters() const { return counters_; }
  const LogOptions& options() const { return options_; }
  const NodeId& node() const { return node_; }
  std::uint32_t run() const { return run_; }

 private:
  // One shard's hand-over. While asked != answered it is the supply's, else the shard's.
  struct Slot {
    // Written by the shard. `base` and `committed` may change while the supply reads them; then
    // `asked` has changed too, and what was made of them is made anew.
    std::atomic<Position> base{0};
    std::atomic<Position> committed{0};
    std::atomic<std::uint64_t> asked{0};
    // Written by the supply.
    std::atomic<std::uint64_t> answered{0};
    bool ok = false;
    ReadySegment segment;
    Error error;
    // The shard's own.
    bool open = false;  // asked and neither taken nor failed yet
  };
  struct Retired {
    ReadySegment segment;
    Seal seal;
    Retired* next = nullptr;
  };

  void work();
  void notify();
  bool step();
  bool serve_request();
  bool serve_retired();
  bool initialise_more();
  Result<ReadySegment> make(ReadySegment reuse, ShardIndex shard, Position base,
                            Position committed);
  Result<ReadySegment> open_file(ShardIndex shard);
  std::string new_path(ShardIndex shard) const;
  int open_spare(ReadySegment& segment);
  Result<void> zero_to(ReadySegment& segment, std::uint64_t to);
  Result<void> put_header(ReadySegment& segment);
  void seal_and_close(Retired retired);
  bool serve_given_back();
  void apply_retention();
  std::vector<SegmentEntry> expired_segments();
  bool may_take(const SegmentEntry& segment, const Seal& seal, std::uint64_t total);
  bool told_before(const std::vector<std::string>& holders);
  void take_away(const std::string& name);
  bool sync_names();
  void recycle_or_remove(const std::string& name, std::uint64_t size_bytes);
  void abandon(ReadySegment& segment);

  io::Sys& sys_;
  LogOptions options_;
  std::string directory_;
  NodeId node_;
  std::uint32_t run_;
  Mode mode_;
  SupplyCounters counters_;
  AlignedMemory zeros_;

  std::array<Slot, limits::shards_max> slots_;
  std::atomic<Retired*> retired_{nullptr};  // newest first
  std::counting_semaphore<> work_{0};
  std::atomic<bool> stop_{false};

  // Supply's own (helper thread, or the caller's in inline mode).
  struct Live {
    int fd;
    std::uint64_t size_bytes;
    std::shared_ptr<SegmentProgress> progress;
  };
  std::vector<Live> live_;  // segments whose blocks are not all initialised
  std::deque<Retired> retiring_;
  bool retention_due_ = true;
  Retention retention_;
  std::set<std::string> broken_;  // holders that were told of
  std::set<std::string> near_;         // holders that Retention::on_near was called for
  std::set<std::string> near_before_;  // at the look before
  std::mutex given_mutex_;        // guards given_back_; cold
  std::vector<std::string> given_back_;
  std::uint64_t next_spare_ = 0;
  bool names_synced_ = false;  // what was renamed or removed in the directory is durable
  std::thread thread_;
};

}  // namespace ringgate::log
