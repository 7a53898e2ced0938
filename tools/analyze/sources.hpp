// Where a Case comes from: a live gateway, a run file of ringgate-load, an export of Prometheus.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tools/analyze/signals.hpp"

namespace ringgate::analyze {

struct LiveOptions {
  std::string url;
  std::string token;
  double duration_s = 60;
  double interval_s = 1;
  int pid = -1;  // -1: looked for where the URL is of this machine; 0: nothing beside the metrics
  // After each sample: how far, and what was just seen. False: stop and judge what there is.
  std::function<bool(double done_s, double messages_per_s)> progress;
};
// Samples /metrics (and /api/v1/consumers) each interval. Error: it can't be reached at all, or
// went away before there were two samples.
Result<Case> live_case(const LiveOptions& options);

// A file, told by what it holds: a range query of Prometheus ({"data": {"resultType": "matrix"}}),
// several of them are put together; or one run file of ringgate-load.
Result<Case> file_case(const std::vector<std::string>& files);
// The same of texts, with the files' names for errors.
Result<Case> prometheus_case(const std::vector<std::pair<std::string, std::string>>& texts);
Result<Case> run_case(const std::string& name, const std::string& text);

}  // namespace ringgate::analyze
