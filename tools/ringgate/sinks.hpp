// The sinks of this gateway: section `sink` of the configuration, a table row for each kind, and
// the workers that are on. Adding a kind is one row in sinks.cpp.
//
// Main thread, but what is const for the control thread, too: it changes nothing after start().
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/config/settings.hpp"
#include "engine/observe/logger.hpp"
#include "storage/log/holds.hpp"
#include "storage/query/tail.hpp"
#include "storage/sink/worker.hpp"

namespace ringgate::server {

struct SinkParts {
  const config::Settings& settings;
  query::Scan::Parts scan;
  log::NodeId node;
  std::uint32_t run = 0;
  log::Holds& holds;
  observe::Logger& logger;
  observe::Registry& registry;
};

// A sink may be so far behind before it is worth a word: batches and short back-offs are not.
constexpr double sink_behind_s = 10;
// Not running, or behind.
inline bool in_trouble(const sink::Status& status) {
  return status.state != sink::State::running || status.lag_s > sink_behind_s;
}

class Sinks {
 public:
  // Starts a worker for each sink that has a url; waits for no server. Error: a cursor that can't
  // be read.
  static Result<std::unique_ptr<Sinks>> start(const SinkParts& parts);

  const std::vector<std::unique_ptr<sink::Worker>>& workers() const { return workers_; }
  sink::Worker* find(std::string_view name) const;
  // Those that people should look at: not running, or behind. "nats backing-off, 12 s behind; ...".
  // Empty: there are none.
  std::string troubles() const;
  // Where "beginning", "end", a time (2026-11-21T05:00:00Z, seconds since 1970, -1h) or a cursor
  // as `list` shows it is. Reads the log for times. Error: what is wrong with the text.
  Result<query::TailStart> place(std::string_view text) const;
  // Tells all to end; the destructor waits.
  void stop();

 private:
  explicit Sinks(const SinkParts& parts)
      : scan_(parts.scan), node_(parts.node), run_(parts.run) {}
  Result<log::Cursor> cursor_at(WallUs received_us) const;

  query::Scan::Parts scan_;
  log::NodeId node_;
  std::uint32_t run_;
  std::vector<std::unique_ptr<sink::Worker>> workers_;
};

// Adds the keys of all sinks, also of those that were not built in, so that their urls are refused
// with a reason.
void add_sink_keys(config::Schema& schema);

}  // namespace ringgate::server
