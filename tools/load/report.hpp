// What a load run found: counters while it runs, the final table and JSON. Plain values; the
// fleet's thread writes them, and the same thread prints them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/clock.hpp"
#include "engine/observe/histogram.hpp"
#include "tools/load/server_probe.hpp"

namespace ringgate::load {

// What can go wrong. Every kind but those that counts_as_error() leaves out makes the run fail.
enum class Failure : std::uint8_t {
  connect_failed,    // no connection: refused, no address, no answer
  link_closed,       // the server closed a link that we still wanted
  link_broken,       // a receive or send failed
  register_refused,  // 0x8100 with a result other than 0
  auth_refused,      // 0x8001 to 0x0102 with a result other than 0
  report_refused,    // 0x8001 to 0x0200 with a result other than 0
  bad_frame,         // a reply that is no frame: check byte, length, escape
  stray_reply,       // an answer to something that is not outstanding, or to another phone
  unanswered,        // reports without an answer when the run ended
  missed,            // reports that were due while the device had no authenticated link
  count,
};
std::string_view name_of(Failure failure);

struct Counts {
  std::uint64_t connected = 0;
  std::uint64_t registered = 0;
  std::uint64_t authenticated = 0;
  std::uint64_t sent = 0;
  std::uint64_t acknowledged = 0;
  std::uint64_t sent_bytes = 0;
  std::uint64_t received_bytes = 0;
  std::uint64_t cut_off = 0;  // reports whose device left by plan before they were answered
  std::uint64_t not_ready = 0;  // devices that left, or whose run ended, in a handshake that hung
  std::array<std::uint64_t, static_cast<std::size_t>(Failure::count)> failures{};

  std::uint64_t failed(Failure failure) const {
    return failures[static_cast<std::size_t>(failure)];
  }
  std::uint64_t errors() const;  // sum of all kinds
};

// Percentiles that are reported, with the names they have in JSON.
struct Percentile {
  double percent;
  std::string_view name;
};
constexpr std::array<Percentile, 5> percentiles{{
    {50, "p50_us"}, {90, "p90_us"}, {99, "p99_us"}, {99.9, "p99_9_us"}, {100, "max_us"}}};

struct Report {
  // The question.
  std::string target;
  std::uint32_t devices = 0;
  std::uint32_t in_flight = 0;   // closed model
  double rate_per_device = 0;    // open model; 0: closed
  bool idle = false;
  // The answer. The window is the measured time: after warm-up, before the end.
  bool interrupted = false;
  Counts total;
  Counts window;
  double window_s = 0;
  double connect_s = 0;           // first connect to last authentication
  observe::HistogramSnapshot response;  // from when a report was due (closed: sent) to its answer
  observe::HistogramSnapshot service;   // from when it was sent to its answer
  observe::HistogramSnapshot lag;       // open model: from when it was due to when it was sent
  double own_cpu_share = 0;       // of one CPU, in the window
  int server_pid = 0;             // 0: not sampled
  std::int64_t server_cpu_ns = 0;  // in the window
  ServerUse server_end;

  double rate() const {
    return window_s > 0 ? static_cast<double>(window.acknowledged) / window_s : 0;
  }
  double server_us_per_ack() const;
  // A sentence when this tool, not the server, set the figures; else empty.
  std::string bottleneck() const;
  bool failed() const { return total.errors() > 0; }
};

std::string table(const Report& report);
std::string json(const Report& report);

}  // namespace ringgate::load
