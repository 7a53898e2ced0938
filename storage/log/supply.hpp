// Makes segments ahead of need, seals and retires them, and removes or recycles the oldest: all the
// file work that would block a shard. One supply serves all shards of a process.
//
// Life: made at start, before the writers; ended after the last writer. In Mode::thread a helper
// thread does the work and shards only exchange small structs with it (a lock held for the copy,
// once per segment); in Mode::inline_now the call itself does it, for simulations and tests.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/io/sys.hpp"
#include "storage/log/options.hpp"
#include "storage/log/segment.hpp"
#include "storage/log/segment_file.hpp"

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
};

class SegmentSupply {
 public:
  enum class Mode : std::uint8_t { thread, inline_now };

  // `directory` is the log directory of the data directory.
  SegmentSupply(io::Sys& sys, const LogOptions& options, std::string directory, const NodeId& node,
                std::uint32_t run, Mode mode);
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
  // The writer needs more of the segment initialised than there is.
  void hurry();
  // Seals and closes. A seal that can't be written is left out: recovery does without.
  void retire(ReadySegment segment, const Seal& seal);

  // A simulated crash: nothing more is written (inline mode only).
  void abandon() {
    retired_.clear();
    slots_.clear();
  }

  const SupplyCounters& counters() const { return counters_; }
  const LogOptions& options() const { return options_; }
  const NodeId& node() const { return node_; }
  std::uint32_t run() const { return run_; }

 private:
  struct Slot {
    std::uint64_t wanted = 0;  // serial of the last request, 0: none
    std::uint64_t done = 0;    // serial that `segment` or `error` answers
    Position base = 0;
    Position committed = 0;
    bool ok = false;
    ReadySegment segment;
    Error error;
  };
  struct Retired {
    ReadySegment segment;
    Seal seal;
  };

  void work();
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
  void apply_retention();
  std::vector<std::string> expired_segments();
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

  std::mutex mutex_;  // guards slots_, retired_, live_, stop_
  std::condition_variable wake_;
  std::map<ShardIndex, Slot> slots_;
  std::deque<Retired> retired_;
  // Segments whose blocks are still being initialised.
  struct Live {
    int fd;
    std::uint64_t size_bytes;
    std::shared_ptr<SegmentProgress> progress;
  };
  std::vector<Live> live_;
  bool stop_ = false;
  std::uint64_t serial_ = 0;
  // Supply's own (helper thread, or the caller's in inline mode).
  bool retention_due_ = true;
  std::uint64_t next_spare_ = 0;
  std::thread thread_;
};

}  // namespace ringgate::log
