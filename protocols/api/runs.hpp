// Load runs in progress, as their coordinators tell of them (tools/load/README.md): shown on the
// page while the gateway is under test. Kept in memory for a short time. Plane thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/clock.hpp"

namespace ringgate::api {

// A run tells of itself each second: one that was silent for so long is over, or its host is gone.
constexpr MonoNs run_kept_ns = 30 * ns_per_s;
// Nobody tests a gateway with more at a time; each is some hundred bytes.
constexpr std::size_t runs_max = 16;
constexpr std::size_t run_id_bytes_max = 64;
constexpr std::size_t run_text_bytes_max = 128;
constexpr std::size_t run_faults_max = 16;
constexpr std::uint64_t run_body_bytes_max = 8 * 1024;

struct LoadRun {
  std::string scenario;
  std::string stage;
  std::string phase;
  double elapsed_s = 0;
  double planned_s = 0;
  std::uint64_t users = 0;
  std::uint64_t users_wanted = 0;
  double sent_per_s = 0;
  double acknowledged_per_s = 0;
  std::uint64_t errors = 0;  // in the last second
  double p50_ms = 0;         // response time of the last second
  double p99_ms = 0;
  std::uint64_t workers = 0;
  std::uint64_t workers_lost = 0;
  std::vector<std::string> faults;  // that are on
};

class LoadRuns {
 public:
  struct Kept {
    LoadRun run;
    MonoNs told_ns = 0;
  };
  // Letters, digits, '.', '_' and '-'.
  static bool good_id(std::string_view id);
  // False: there are runs_max others.
  bool put(const std::string& id, LoadRun run, MonoNs now);
  // Those that are not too old, by id.
  const std::map<std::string, Kept>& at(MonoNs now);

 private:
  void forget_old(MonoNs now);
  std::map<std::string, Kept> runs_;
};

}  // namespace ringgate::api
