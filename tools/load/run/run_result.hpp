// All that is known of a run, for the table, the run file and the exit status. Plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/clock.hpp"
#include "tools/load/run/faults.hpp"
#include "tools/load/run/gateway_watch.hpp"
#include "tools/load/run/timeline.hpp"
#include "tools/load/scenario/scenario.hpp"
#include "tools/load/scenario/shape.hpp"

namespace ringgate::load {

struct WorkerResult {
  std::string name;
  std::string host;
  std::int64_t pid = 0;
  std::uint32_t cpus = 0;
  bool remote = false;
  std::uint64_t users_max = 0;     // its share of the scenario's most users
  MonoNs round_trip_ns = 0;
  MonoNs clock_offset_ns = 0;
  MonoNs lost_ns = -1;             // since the run's start; -1: it was not
  std::string lost_why;
  std::uint64_t users_lost = 0;    // that it had when it was lost
  double cpu_s = 0;
  std::uint64_t rss_bytes = 0;
  std::uint64_t acked = 0;         // entries of its log, where verification was wanted
};

struct Verification {
  std::string how;              // "log DIR", "api HOST:PORT"
  std::uint64_t looked_up = 0;  // acknowledged reports
  std::uint64_t lost = 0;       // acknowledged and not there
  std::uint64_t duplicated = 0; // there more often than it was sent
  std::uint64_t reordered = 0;  // stored after a later one of the same device
  std::uint64_t records = 0;    // of the run's devices in the log
  std::vector<std::string> examples;  // some of what is wrong, a line each
  std::vector<std::string> problems;  // why the look-up may be incomplete
  double took_s = 0;
};

struct ServerResult {
  int pid = 0;            // 0: not watched
  std::string command;
  std::string problem;    // why it is not watched; empty: nobody wanted it, or it is
  double cpu_s = 0;       // in the run
  std::uint64_t rss_begin_bytes = 0;
  std::uint64_t rss_end_bytes = 0;
  std::uint64_t rss_max_bytes = 0;
  std::uint64_t context_switches = 0;
};

struct RunResult {
  const Scenario* scenario = nullptr;
  const Timeline* timeline = nullptr;
  std::string id;            // of this run, for the dashboard
  WallUs started_us = 0;
  MonoNs duration_ns = 0;
  bool interrupted = false;
  std::string aborted;       // the threshold that ended it early; empty: none
  std::vector<StageSpan> spans;
  std::vector<std::string> stage_notes;    // by stage: what a stress search or controller found
  std::vector<StressResult> stress;        // of stages of that kind, in order
  std::vector<FaultMark> faults;
  std::vector<Verdict> verdicts;
  std::vector<WorkerResult> workers;
  ServerResult server;
  const GatewayMetrics* gateway = nullptr;  // null: no gateway's HTTP address was given
  std::optional<Verification> verification;
  std::string verification_problem;        // why there is none, though it was wanted

  std::size_t workers_lost() const;
  bool breached() const;
  // Errors that no threshold speaks of.
  bool failed() const;
  // 0, 1 or 99.
  int exit_status() const;
  // A sentence when this tool, not the server, set the figures; else empty.
  std::string bottleneck() const;
};

// The table for people; colours where asked.
std::string run_table(const RunResult& result, bool colours);
// The run file (README.md, "Run file").
std::string run_json(const RunResult& result);
// A line for each row and class.
std::string run_csv(const RunResult& result);

// Text for people: "12.3 ms", "1.9 k", "412 MiB".
std::string latency_text(std::uint64_t ns);
std::string count_text(double count);
std::string bytes_text(double bytes);

}  // namespace ringgate::load
