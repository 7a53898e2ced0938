// What conditions are judged by and controllers see: figures of some users over some time, merged
// over all workers. Plain values, no thread.
#pragma once

#include <cstdint>
#include <optional>

#include "tools/load/run/tally.hpp"

namespace ringgate::load {

// What nobody measured is empty, and a condition on it is unknown, never fulfilled.
struct Measured {
  double seconds = 0;  // that it covers
  Tally tally;
  std::optional<double> server_cpu_s;  // CPU seconds of the server in that time
  std::optional<double> own_cpu;       // CPUs of the busiest worker at its busiest
  std::optional<std::uint64_t> server_rss_bytes;  // highest
  // After the run, by --verify-log or --verify-api.
  std::optional<std::uint64_t> lost;
  std::optional<std::uint64_t> duplicated;
  std::optional<std::uint64_t> reordered;

  // Adds what was measured of the same users in the time after. A server's CPU time that is known
  // of one part only is unknown of the whole.
  void append(const Measured& later);
};

}  // namespace ringgate::load
