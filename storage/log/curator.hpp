// Looks after sealed segments in the background: makes their indexes, compresses those that are old
// enough, keeps the file of their times, makes indexes again that lied or went, and takes away what
// a crash or an earlier life left half done. Its thread runs only when
// nobody else wants the CPU (SCHED_IDLE) or the disk (idle I/O class, where the scheduler has one).
//
// Life: made after the supply, ended before it. In Mode::inline_now look() does the work, for
// simulations and tests.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <semaphore>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "engine/io/sys.hpp"
#include "engine/observe/counter.hpp"
#include "engine/observe/logger.hpp"
#include "storage/event/catalog.hpp"
#include "storage/log/options.hpp"
#include "storage/log/segment_list.hpp"
#include "storage/log/segment_times.hpp"
#include "storage/log/supply.hpp"

namespace ringgate::log {

inline constexpr observe::MetricSpec indexes_made{.name = "ringgate_log_indexes_made_total",
                                                  .help = "Indexes made of sealed segments."};
inline constexpr observe::MetricSpec segments_compressed{
    .name = "ringgate_log_segments_compressed_total", .help = "Segments compressed."};
inline constexpr observe::MetricSpec compressed_from{
    .name = "ringgate_log_compressed_from_bytes_total",
    .help = "Bytes of records that were compressed."};
inline constexpr observe::MetricSpec compressed_to{
    .name = "ringgate_log_compressed_to_bytes_total",
    .help = "Bytes of the files that they were compressed to."};
inline constexpr observe::MetricSpec curator_failures{
    .name = "ringgate_log_curator_failures_total",
    .help = "Indexes and compressed segments that could not be made."};

class Curator {
 public:
  enum class Mode : std::uint8_t { thread, inline_now };
  struct Parts {
    io::Sys& sys;
    std::string directory;  // the log's
    const event::CatalogSet& catalogs;
    SegmentSupply* supply = nullptr;  // takes plain files that are done with; null: removed
    observe::CounterGroup* counters = nullptr;  // its own; null: none
    observe::LogSource* logs = nullptr;         // its own; null: none
  };

  Curator(const Parts& parts, const LogOptions& options, Mode mode);
  ~Curator();
  Curator(const Curator&) = delete;
  Curator& operator=(const Curator&) = delete;

  // One piece of work. False: nothing to do now.
  bool look();
  // An index was found to lie: it is made again. Any thread.
  void remake_index(const std::string& segment_name);

 private:
  // What is known of a segment, so that it is not opened at each look.
  struct Known {
    bool index_good = false;    // checked or made by this process
    bool unfit = false;         // damaged, unsealed for good or unreadable: left as it is
    bool sealed = false;
    bool compared = false;      // the compressed file is as good as the plain one
    bool timed = false;         // times_ was looked after
    WallUs last_received_us = 0;
    MonoNs named_ns = 0;        // when `compared` became true
    MonoNs rest_until_ns = 0;   // after a failure that is its own
  };

  void work();
  bool pace();
  void take_remakes();
  bool serve(const SegmentEntry& segment);
  bool serve_both(const SegmentEntry& segment, Known& known);
  bool serve_plain(const SegmentEntry& segment, Known& known);
  bool learn_seal(const SegmentEntry& segment, Known& known);
  bool index(const SegmentEntry& segment, Known& known);
  bool compress(const SegmentEntry& segment, Known& known);
  bool keep_times(const std::vector<SegmentEntry>& segments);
  void learn_times(const SegmentEntry& segment);
  void failed(const Error& why, Known* known);

  Parts parts_;
  LogOptions options_;
  Mode mode_;
  std::map<std::string, Known> known_;  // by the plain file's name
  TimesTable times_;                    // what the file of times is to say
  bool times_loaded_ = false;
  bool times_changed_ = false;
  MonoNs rest_until_ns_ = 0;            // after a failure
  MonoNs paced_ns_ = 0;                 // the thread's CPU time at the last pace()
  struct Counters {
    observe::Counter indexes, segments, from, to, failures;
  };
  std::optional<Counters> counters_;

  std::mutex mutex_;  // guards remakes_
  std::set<std::string> remakes_;
  std::atomic<bool> stop_{false};
  std::counting_semaphore<> wake_{0};
  std::thread thread_;
};

}  // namespace ringgate::log
