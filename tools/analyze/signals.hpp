// What is looked at: the signals, which cause each speaks for, where it begins to matter and why,
// and how they are made of a gateway's metrics or of a run. The one table of thresholds.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.hpp"
#include "tools/analyze/history.hpp"

namespace ringgate::analyze {

enum class Cause : std::uint8_t {
  generator,  // the load generator itself: then nothing else can be judged
  cpu,
  loop_turn,
  commit,
  network,
  memory,
  subscriber,
  sink,
  replies,  // a run whose answers are late, whatever makes them so
};
std::string_view cause_name(Cause cause);   // "loop turn"
std::string_view cause_words(Cause cause);  // one clause on what it is

// How a signal's samples become the one value that is held against the threshold.
enum class Level : std::uint8_t {
  sustained,  // what a fifth of the samples reach: a single slow second is no bottleneck
  mean,       // of rates and of yes and no: how much, or how often, in all
};

enum class Unit : std::uint8_t { share, seconds, per_second, bytes };

struct SignalSpec {
  std::string_view id;  // "cpu.busy": --threshold names it
  Cause cause;
  Unit unit;
  Level level;
  double threshold;       // severity: 1, 1.2, 1.5, 2 times it is low, medium, high, critical
  std::string_view what;  // what the value is
  std::string_view why;   // why the threshold is where it is
};

std::span<const SignalSpec> all_signals();
const SignalSpec* find_signal(std::string_view id);

struct Signal {
  const SignalSpec* spec = nullptr;
  double threshold = 0;        // the table's, or an override
  std::vector<double> values;  // one for each time; NaN: nothing to say
  std::string where;           // which shard, sink or subscriber has the highest; may be empty
};

// All there is about one run or one gateway.
struct Case {
  std::string source;  // "http://127.0.0.1:7880", "baseline.json"
  double begin_unix_s = 0;  // 0: not known
  std::vector<double> times_s;  // ends of intervals, from the beginning of the case
  std::vector<Signal> signals;  // those that could be made
  std::vector<double> errors;   // that devices and clients saw, a second
  std::vector<double> replies;  // p99 of the time to a reply, seconds
  std::vector<double> messages; // a second
  // The gateway's configuration, where it could be asked: key -> value as text.
  std::vector<std::pair<std::string, std::string>> config;
  unsigned usable_cpus = 0;   // of the gateway's machine; 0: not known
  double run_queue_wait_s = 0;  // mean wait of a shard that was ready to run; 0: not known
  std::vector<std::string> notes;  // what could not be looked at, and why

  const Signal* find(std::string_view id) const;
  const std::string* setting(std::string_view key) const;  // null: not known
};

// What the gateway's process was seen to do, beside its metrics; where it runs on this machine.
struct Beside {
  std::vector<double> wait_share;    // of the shard that waits most for its CPU
  std::vector<double> retransmits;   // share of TCP segments of this machine sent again
  std::vector<double> listen_drops;  // connections a second that no backlog had room for
};
// Per interval, by who it is: bytes that wait for the slowest subscriber.
struct Queues {
  std::vector<double> bytes;
  std::string slowest;
};

// Of a gateway: `history` has at least two samples. Fills times, signals, errors, replies.
void add_gateway_signals(const History& history, const Beside& beside, const Queues& queues,
                         Case& out);

// "commit.p99=50ms", "memory.share=0.8": durations for seconds, else a number > 0. Error: names
// what is wrong.
struct Override {
  std::string id;
  double threshold = 0;
};
Result<Override> parse_override(std::string_view text);
void apply_overrides(std::span<const Override> overrides, Case& out);

}  // namespace ringgate::analyze
