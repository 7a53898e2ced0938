// Recording: wraps the real backend and Sys, and notes every write, sync, send and change of a
// directory in one ordered trace. From it a test builds what the disk may legally hold after a
// power cut at any point, and what had been promised to the outside by then.
//
// Writes count as durable when a completed RWF_DSYNC (or O_DSYNC) says so, or when a sync of that
// file that began after they had completed has succeeded. Everything else is volatile, and of it
// the survivor is chosen by Survival (sim_disk.hpp).
//
// A Recorder outlives its backends. Several threads may use its Sys and backends; read the trace
// when they are done.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/io/ring.hpp"
#include "engine/io/sim.hpp"
#include "engine/io/sim_disk.hpp"
#include "engine/io/sys.hpp"

namespace ringgate::io {

struct TraceEvent {
  enum class Kind : std::uint8_t {
    write_begun,     // file, offset, bytes, dsync
    write_done,      // begun, result
    sync_begun,      // file
    sync_done,       // begun, result
    send_begun,      // fd, user_data, bytes
    send_done,       // begun, result
    created,         // path, file
    directory_made,  // path
    renamed,         // path, to
    removed,         // path
    directory_synced,  // path
    resized,         // file, offset: the new size
    extended,        // file, offset: the least size
  };
  Kind kind = Kind::write_begun;
  bool dsync = false;
  int fd = -1;
  std::int32_t result = 0;
  std::uint32_t file = 0;                // number of the file in the trace
  std::size_t begun = 0;                 // index of the event that this one ends
  std::size_t starts_after = 0;  // of a linked sync: begun event of the write before it, + 1
  std::uint64_t offset = 0;
  std::uint64_t user_data = 0;
  std::string path;
  std::string to;
  std::vector<std::uint8_t> bytes;
};

struct CutPolicy {
  Survival survival = Survival::chance;
  std::uint64_t seed = 1;
  bool pretend_no_dsync =
      false;  // what a log without DSYNC would leave: cut tests must fail with it
};

class Trace {
 public:
  const std::vector<TraceEvent>& events() const { return events_; }
  std::size_t size() const { return events_.size(); }

  // The disk after a power cut just before event `cut` (0 .. size()).
  SimDisk disk_at(std::size_t cut, const CutPolicy& policy) const;
  // The same as files by path.
  std::map<std::string, std::vector<std::uint8_t>> image_at(std::size_t cut,
                                                            const CutPolicy& policy) const;
  // Indices of the sends that began before `cut`: what peers may have received.
  std::vector<std::size_t> sends_before(std::size_t cut) const;

 private:
  friend class Recorder;
  friend class Replay;
  std::vector<TraceEvent> events_;
  std::map<std::string, std::vector<std::uint8_t>> initial_;  // files when the recording began
  std::vector<std::string> initial_directories_;
  std::map<std::string, std::uint32_t> initial_files_;        // their numbers
};

class Recorder {
 public:
  // Records what happens below `root` (an absolute path); what is there already counts as durable.
  Recorder(Sys& real, std::string root);
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  Sys& sys();
  std::unique_ptr<Backend> wrap(std::unique_ptr<Backend> inner);
  const Trace& trace() const { return trace_; }

 private:
  friend class RecordSys;
  friend class RecordBackend;
  static constexpr std::size_t no_event = ~std::size_t{0};

  struct OpenFile {
    std::uint32_t file = 0;
    bool dsync = false;
  };

  void snapshot(const std::string& directory);
  bool inside(const std::string& path) const;
  std::size_t note(TraceEvent event);                       // returns its index
  std::size_t append(TraceEvent event);                     // with the lock held
  std::size_t note_for_fd(int fd, TraceEvent event);        // no_event where the fd is not recorded
  void note_done(TraceEvent::Kind kind, std::size_t begun, std::int64_t result);
  void opened(int fd, const std::string& path, int flags, bool existed);

  Sys& real_;
  std::string root_;
  std::mutex lock_;  // guards all below
  Trace trace_;
  std::map<int, OpenFile> open_;
  std::map<std::string, std::uint32_t> files_;  // by current path
  std::uint32_t next_file_ = 0;
  std::unique_ptr<Sys> sys_;
};

}  // namespace ringgate::io
