// Keeps the directory of blobs: makes it, removes at start what no upload can go on with, and later
// what is too old or too much. One keeper serves all shards of a process.
//
// Life: opened at start, before the stores; ended after the last store. In Mode::thread a helper
// thread does the work and shares only atomics with the shards; in Mode::inline_now, for
// simulations and tests, work() does it in the caller.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <semaphore>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "engine/base/clock.hpp"
#include "engine/base/result.hpp"
#include "engine/io/sys.hpp"
#include "storage/blob/note.hpp"
#include "storage/blob/options.hpp"
#include "storage/blob/spares.hpp"

namespace ringgate::blob {

struct KeeperCounters {
  std::atomic<std::uint64_t> blobs_removed{0};     // by retention
  std::atomic<std::uint64_t> bytes_removed{0};
  std::atomic<std::uint64_t> blobs_recycled{0};    // of those: kept as spares
  std::atomic<std::uint64_t> spares_used{0};       // uploads begun in one
  std::atomic<std::uint64_t> partials_removed{0};  // unfinished uploads that nobody went on with
};

class Keeper {
 public:
  enum class Mode : std::uint8_t { thread, inline_now };

  // `run` is the data directory's, so that ids are unique. Error: what can't be made or listed.
  static Result<std::unique_ptr<Keeper>> open(io::Sys& sys, const BlobOptions& options,
                                              std::uint32_t run, Mode mode);
  ~Keeper();
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  const BlobOptions& options() const { return options_; }
  std::uint32_t run() const { return run_; }
  const std::string& root() const { return root_; }           // <data dir>/blobs
  const std::string& partial_path() const { return partial_; }

  // Any thread. Makes the directories where they are not, durably.
  Result<void> prepare();
  void stored(std::uint64_t size_bytes);
  // False: unfinished uploads take too much already. Those that have been idle for long make room
  // then, before long.
  bool reserve(std::uint64_t size_bytes);
  void release(std::uint64_t size_bytes) { unfinished_.fetch_sub(size_bytes); }
  // Gives a file whose blocks are initialised, of about this size, the name `to`; see spares.hpp.
  bool take_spare(std::uint64_t size_bytes, const std::string& to) {
    const bool taken = spares_.take(size_bytes, to);
    if (taken) counters_.spares_used.fetch_add(1, std::memory_order_relaxed);
    return taken;
  }
  std::uint64_t spare_bytes() const { return spares_.bytes(); }
  std::uint64_t stored_bytes() const { return stored_.load(std::memory_order_relaxed); }
  std::uint64_t unfinished_bytes() const { return unfinished_.load(std::memory_order_relaxed); }
  const KeeperCounters& counters() const { return counters_; }

  // Retention and clean-up, once. In Mode::thread only the helper calls it.
  void work();

 private:
  Keeper(io::Sys& sys, const BlobOptions& options, std::uint32_t run);
  Result<void> clean_partial();
  void run_thread();
  void count_stored();
  void expire_partial();
  bool remove_partial(const std::string& base, WallUs oldest);
  void expire_stored();
  bool expire_day(const std::string& day, bool remove_empty);
  bool retire(const std::string& day, const io::DirectoryEntry& entry);
  bool recycle(const std::string& path, std::uint64_t size_bytes);
  void settle_recycled(const std::string& day);
  bool room_for_spares();
  bool expired(std::string_view name) const;
  // What is stored and what is kept for reuse together stay below blob.retention_size.
  bool above(std::uint64_t kept_back) const {
    return options_.retention_size > 0 && stored_bytes() + kept_back > options_.retention_size;
  }
  bool too_much() const { return above(spares_.room_bytes()); }
  // Some at a time, so that not each stored file has a directory listed.
  bool still_too_much() const { return above(spares_.room_bytes() + spares_.room_bytes() / 4); }
  std::vector<std::string> days() const;

  io::Sys& sys_;
  BlobOptions options_;
  std::uint32_t run_;
  std::string root_;
  std::string partial_;
  KeeperCounters counters_;
  std::atomic<std::uint64_t> stored_{0};
  std::atomic<std::uint64_t> unfinished_{0};
  std::atomic<std::uint64_t> wanted_{0};  // the most that reserve() has refused lately
  std::counting_semaphore<> wake_{0};
  std::atomic<bool> woken_{false};
  std::atomic<bool> stop_{false};
  struct Recycled {
    std::uint32_t slot;
    std::uint64_t size_bytes;
  };
  Spares spares_;
  bool keep_spares_ = true;
  std::vector<Recycled> recycled_;  // renamed; that is not durable yet
  std::thread thread_;
};

// "0193c8f2a1b-7-0-2a": milliseconds since 1970, run, shard, number; hexadecimal.
std::string blob_id(WallUs wall_us, std::uint32_t run, unsigned shard, std::uint64_t number);
// The time and the run that a blob's name begins with; 0 where it is no blob's name.
std::int64_t wall_ms_of(std::string_view name);
std::uint32_t run_of(std::string_view name);
// "20261121", UTC.
std::string day_name(WallUs wall_us);

// The note in `path`; no value where there is none that is valid. -errno where that can't be told:
// nothing may be concluded then (no descriptor left, for one).
int read_note(io::Sys& sys, const std::string& path, std::optional<Note>& note);

}  // namespace ringgate::blob
