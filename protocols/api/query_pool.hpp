// The query threads: what needs the disk or long work is asked there, and streams its answer back
// (outflow.hpp). Each thread serves many queries in turns of some milliseconds: one whose client
// reads slowly rests meanwhile, a long one does not keep others from theirs, and clients get turns
// alike, however many queries each of them has.
//
// A query lives on one thread from its first step to its end. Bounded: queries_max in all and
// client_queries_max of one client, beyond that 503 with Retry-After; work_time_max of work each.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/observe/counter.hpp"
#include "engine/shard/inbox.hpp"
#include "protocols/api/call.hpp"
#include "protocols/api/gzip.hpp"
#include "protocols/api/outflow.hpp"
#include "storage/query/scan.hpp"

namespace ringgate::api {

// Under way in all, with those that wait and those whose client reads slowly: an answer's window, a
// gzip stream and a scan's windows each, some 4 MiB at most.
constexpr std::uint32_t queries_max = 64;
// Of one client, so that it leaves places to others.
constexpr std::uint32_t client_queries_max = 16;
// Of work, not of waiting for the client: an hour of a large fleet without an index takes some
// seconds.
constexpr MonoNs work_time_max = 60 * ns_per_s;
// A turn. Longer ones make others wait, shorter ones cost cache misses.
constexpr MonoNs turn_time = 5 * ns_per_ms;
// Looks at the clock: every few thousand records looked at (scan), and after so much of output.
constexpr std::size_t step_bytes = 16 * 1024;

inline constexpr std::string_view query_ends[] = {"done", "failed", "cancelled", "too-long"};
enum class QueryEnd : std::uint8_t { done, failed, cancelled, too_long };

// What a query may use, on its thread.
struct QueryRun {
  // With the thread's own memory of the log, and pauses at the end of the turn.
  query::Scan::Parts scan;
  const std::string& blobs;  // the directory of stored files
};

// What is known before a query begins.
struct QueryHead {
  std::uint16_t status = 200;
  std::string type = "application/json";
  std::string fields;  // whole lines
  std::uint64_t length = http::StreamHead::unknown_length;
};

class Query {
 public:
  virtual ~Query() = default;
  // Appends some of its body to `out`, at most some step_bytes; returns also where it has found
  // nothing for the length of a turn. False: that was all. May change `head` until it has appended
  // something. Error: its code is the status of the answer (400 to 599, with the fields of
  // `head`), or 0 for 500; where something was sent before, the answer is cut.
  virtual Result<bool> step(QueryRun& run, QueryHead& head, std::string& out) = 0;
  // From the disk so far.
  virtual std::uint64_t bytes_read() const = 0;
};

struct QueryPoolParts {
  query::Scan::Parts scan;  // heads, keep_going and pause are the pool's own
  std::string blobs;        // the directory of stored files
  unsigned threads = 2;
  observe::Registry& registry;
};

class QueryPool {
 public:
  using Parts = QueryPoolParts;
  QueryPool(const Parts& parts, Plane& plane);
  // Queries under way are cut.
  ~QueryPool();
  QueryPool(const QueryPool&) = delete;
  QueryPool& operator=(const QueryPool&) = delete;

  // Plane thread. Answers the call, now or when the query has something.
  void ask(const CallPtr& call, std::unique_ptr<Query> query);

 private:
  class Worker;
  // How many queries are under way; plane thread.
  struct Load {
    std::map<std::string, std::uint32_t> by_client;
    std::vector<std::uint32_t> by_worker;
    std::uint32_t all = 0;
    void ended(const std::string& client, std::size_t worker);
  };

  Parts parts_;
  Plane& plane_;
  std::shared_ptr<Load> load_ = std::make_shared<Load>();  // letters have a hand on it
  observe::Counter refused_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace ringgate::api
