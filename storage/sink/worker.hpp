// Tails the log into one target: a thread of its own. Batches by size and delay; passes the cursor
// on only over what the target has confirmed; backs off with jitter; keeps the cursor in
// DATA/sink/NAME.cursor and holds the log from there on (`sink.NAME`). The message path never waits
// for it.
//
// Life: started when the shards run, stopped before the log's holds end; stop() of several at once
// before they are destroyed. Commands (pause, resume, seek, stop) and status from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "engine/io/sys.hpp"
#include "engine/observe/counter.hpp"
#include "engine/observe/logger.hpp"
#include "storage/log/holds.hpp"
#include "storage/query/tail.hpp"
#include "storage/sink/target.hpp"

namespace ringgate::sink {

struct WorkerOptions {
  std::string name;                    // "redis"
  std::string node_name;               // node.name
  std::uint32_t batch_records = 4096;  // a batch is sent when it has so many,
  std::uint64_t batch_bytes = 4 << 20;  // or so many bytes,
  MonoNs batch_delay_ns = 50 * ns_per_ms;  // or when its first record has waited so long
  MonoNs retry_first_ns = 200 * ns_per_ms;  // back-off, doubling, with jitter
  MonoNs retry_longest_ns = 30 * ns_per_s;
  // Where there is no cursor yet: beginning or end. A target that keeps the cursor and has lost it
  // (an empty database) is filled from the beginning where this says so, else from the cursor in
  // the data directory.
  query::TailStart start;
};

enum class State : std::uint8_t { starting, running, backing_off, paused, stopped };
inline constexpr std::string_view state_names[] = {"starting", "running", "backing-off", "paused",
                                                   "stopped"};

struct Status {
  State state = State::starting;
  std::string cursor;         // as text
  std::string last_error;     // empty: none since the last good batch
  std::uint64_t records = 0;  // confirmed
  std::uint64_t batches = 0;
  std::uint64_t skipped = 0;  // bad records
  std::uint64_t lag_bytes = 0;
  double lag_s = 0;           // age of the oldest record that is not confirmed
  WallUs last_confirmed_us = 0;  // when a batch was confirmed last; 0: never
};

struct WorkerParts {
  io::Sys& sys;
  std::string data_dir;
  log::NodeId node{};
  const event::CatalogSet& catalogs;
  // query::Tail::open of this log, or what a test has instead.
  std::function<Result<std::unique_ptr<query::Tail>>(const query::TailStart& start)> open_tail;
  log::Holds& holds;
  observe::CounterGroup& counters;  // ("sink", name); of the worker's thread alone
  observe::LogSource& logs;
};

class Worker {
 public:
  using MakeTarget = std::function<std::unique_ptr<Target>()>;
  // Reads the kept cursor, holds the log from there and starts the thread; waits for nobody.
  // Error: what about the kept cursor can't be read.
  static Result<std::unique_ptr<Worker>> start(const WorkerParts& parts,
                                               const WorkerOptions& options, MakeTarget make);
  virtual ~Worker() = default;  // stops

  virtual const std::string& name() const = 0;
  virtual void pause() = 0;
  virtual void resume() = 0;
  // Goes on from there with the next batch, also where the target keeps another cursor: it is told
  // through its next batch.
  virtual void seek(const query::TailStart& start) = 0;
  virtual Status status() const = 0;
  // Tells it to end and what its target waits for; the destructor waits.
  virtual void stop() = 0;
};

}  // namespace ringgate::sink
