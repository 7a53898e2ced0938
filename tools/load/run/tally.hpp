// What a crowd did in an interval: the unit that workers send, the coordinator merges, thresholds
// judge and run files keep. Plain values, no thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "engine/base/clock.hpp"
#include "engine/base/result.hpp"
#include "tools/load/run/latency.hpp"

namespace ringgate::load {

using NamedCounts = std::map<std::string, std::uint64_t, std::less<>>;

// Of one class. "Operation": a report and its answer, a request and its response.
struct Tally {
  // How things stand when the interval ends.
  std::uint64_t users_wanted = 0;
  std::uint64_t users = 0;        // connecting or connected
  std::uint64_t ready = 0;        // may send
  std::uint64_t outstanding = 0;  // operations without an answer yet

  // What happened in the interval.
  std::uint64_t connected = 0;      // connections made
  std::uint64_t authenticated = 0;  // users that became ready
  std::uint64_t left = 0;           // users that left because they should
  std::uint64_t due = 0;            // operations that should have begun
  std::uint64_t sent = 0;
  std::uint64_t acknowledged = 0;   // well answered
  std::uint64_t delivered = 0;      // pushed to a subscriber
  std::uint64_t dropped = 0;        // due, and given up for want of a ready user or of time
  std::uint64_t sent_bytes = 0;
  std::uint64_t received_bytes = 0;
  NamedCounts errors;  // by kind; each makes the run fail unless a threshold allows it
  NamedCounts notes;   // by kind; expected: what a hostile or flapping device meets
  std::string last_error;  // a sentence of the interval's last error; may be empty

  Latency response;  // from when an operation was due to its answer: what a user sees
  Latency service;   // from when it was sent to its answer: what the server took
  Latency lag;       // from when it was due to when it was sent: what this tool added
  Latency connect;   // from the first SYN to a ready user
  Latency delivery;  // from the event's time to its arrival at a subscriber

  std::uint64_t error_count() const;
  std::uint64_t count_of(std::string_view error) const;
  // Of operations that ended: errors / (acknowledged + errors); 0 where nothing ended.
  double error_share() const;

  // Adds what another worker (or class) did in the same time.
  void merge(const Tally& other);
  // Adds what the same one did in the following interval: how things stand is then `later`'s.
  void append(const Tally& later);

  bool operator==(const Tally&) const = default;
};

// One worker's report of a piece of the run. Ends every second since the run's start, and where
// the stage changes.
struct Interval {
  std::uint32_t worker = 0;
  std::uint32_t stage = 0;
  MonoNs from_ns = 0;  // since the run's start
  MonoNs to_ns = 0;
  std::int64_t cpu_ns = 0;       // of the worker's process, in the interval
  std::uint64_t rss_bytes = 0;   // of the worker's process, at its end
  MonoNs loop_lag_ns = 0;        // the longest turn of its loop
  std::vector<Tally> classes;    // in the scenario's order

  double seconds() const {
    return static_cast<double>(to_ns - from_ns) / static_cast<double>(ns_per_s);
  }
};

// The JSON of run files and of the wire (README.md, "Run file"). Zeros and empty members are left
// out; a histogram is {"count", "sum_ns", "max_ns", "buckets": [step, count, step, count, ...]}.
nlohmann::json to_json(const Latency& latency);
nlohmann::json to_json(const Tally& tally);
nlohmann::json to_json(const Interval& interval);
// Error: which member is not what it should be. Unknown members are ignored.
Result<Latency> latency_from(const nlohmann::json& json);
Result<Tally> tally_from(const nlohmann::json& json);
Result<Interval> interval_from(const nlohmann::json& json);

}  // namespace ringgate::load
