// The status line: what the gateway did since the last one, from the counters of all shards.
// Main thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/clock.hpp"
#include "engine/observe/counter.hpp"
#include "engine/observe/logger.hpp"
#include "tools/ringgate/sinks.hpp"

namespace ringgate::server {

class Status {
 public:
  // `sinks`: null: there are none.
  Status(const observe::Registry& registry, const Sinks* sinks, MonoNs now)
      : registry_(registry), sinks_(sinks), last_ns_(now) {}
  // Logs one line: links, devices, frames/s, acks/s, commits/s, MB/s, p99 of a commit, and what was
  // dropped or refused since the last line, by reason; sinks that are behind or do not run.
  void log(observe::LogSource& logs, MonoNs now);
  // The last line in a few words, for the service manager: "12 devices online, 340 frames/s".
  const std::string& text() const { return text_; }

 private:
  std::int64_t since_last(const observe::MetricSpec& spec, std::size_t place);

  const observe::Registry& registry_;
  const Sinks* sinks_;
  MonoNs last_ns_;
  std::vector<std::int64_t> last_;
  observe::HistogramSnapshot last_commits_;
  std::string text_ = "ready";
};

}  // namespace ringgate::server
