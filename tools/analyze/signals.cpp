#include "tools/analyze/signals.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "engine/config/units.hpp"

namespace ringgate::analyze {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
// A subscriber's queue (protocols/api/stream_limits.hpp).
constexpr double subscriber_queue_bytes = 256.0 * 1024;

constexpr SignalSpec table[] = {
    {"generator.dropped", Cause::generator, Unit::share, Level::mean, 0.001,
     "operations that were due and that the generator gave up",
     "an open model stands on sending what is due: one in a thousand missing bends every "
     "percentile above p99.9"},
    {"generator.lag", Cause::generator, Unit::seconds, Level::sustained, 0.005,
     "p99 of how late the generator sent",
     "the generator's own lateness is in every latency; 5 ms is half of what a commit may take"},
    {"generator.cpu", Cause::generator, Unit::share, Level::sustained, 0.75,
     "CPU of the busiest worker",
     "a worker has one CPU; above three quarters its bursts queue in itself"},
    {"cpu.wait", Cause::cpu, Unit::share, Level::sustained, 0.10,
     "time that the most starved shard was ready to run and had no CPU",
     "a tenth of its time, and each of these waits is a scheduler's slice of milliseconds"},
    {"cpu.busy", Cause::cpu, Unit::share, Level::sustained, 0.50,
     "time that the busiest shard works",
     "work that finds its shard busy waits: at one half as long as it takes, at three quarters "
     "three times as long, at 1 for ever"},
    {"cpu.process", Cause::cpu, Unit::share, Level::sustained, 0.60,
     "CPU of the gateway's process, of all CPUs of its machine",
     "shards are never equally busy, and the kernel's receiving comes on top: at 0.6 on average "
     "the busiest is near its end"},
    {"loop.turn", Cause::loop_turn, Unit::seconds, Level::sustained, 0.005,
     "p99 of a turn of a shard's loop",
     "a turn handles at most 256 completions of some 0.5 us: 5 ms is forty times that"},
    {"commit.p99", Cause::commit, Unit::seconds, Level::sustained, 0.010,
     "p99 of a durable write",
     "a reply waits for the write in flight and for its own: 20 ms is what drivers take for a slow "
     "network"},
    {"reply.p99", Cause::replies, Unit::seconds, Level::sustained, 0.050,
     "p99 from when a report was due to its answer",
     "what shipped scenarios allow at the most before they call a gateway slow"},
    {"commit.refused", Cause::commit, Unit::per_second, Level::mean, 1.0 / 60,
     "records a second that the log refused, and writes that failed",
     "one a minute: each is a device that is told no"},
    {"network.unread", Cause::network, Unit::per_second, Level::mean, 1,
     "pauses a second of links whose peers do not read",
     "now and then a peer has no network; one each second is a way that is too narrow"},
    {"network.buffers", Cause::network, Unit::per_second, Level::mean, 10,
     "receives a second that found no buffer",
     "a burst may empty a shard's buffers; ten times a second it is how things are"},
    {"network.accept", Cause::network, Unit::per_second, Level::mean, 0.1,
     "connections a second that were lost on the way in",
     "one in ten seconds: each comes again after a second or more"},
    {"network.listen_drops", Cause::network, Unit::per_second, Level::mean, 0.1,
     "connections a second that the listen backlog of this machine had no room for",
     "as above: a device tries again after 1, 3, 7 seconds"},
    {"network.retransmits", Cause::network, Unit::share, Level::sustained, 0.02,
     "TCP segments of this machine that were sent again",
     "above 2 % of loss TCP halves its windows more often than it grows them"},
    {"network.datagrams", Cause::network, Unit::share, Level::mean, 0.01,
     "datagrams that were dropped for want of room",
     "each is sent again after seconds, when the terminal misses its answer"},
    {"memory.share", Cause::memory, Unit::share, Level::sustained, 0.5,
     "share of memory.limit in use, of the fullest shard",
     "a fleet that comes back at once brings as much again; at 0.7 caches go, at 0.85 no links are "
     "taken, at 1 data is refused"},
    {"subscriber.queue", Cause::subscriber, Unit::share, Level::sustained, 0.5,
     "fill of the slowest subscriber's queue",
     "at 1 positions are left out for it; after 30 s it is ended"},
    {"subscriber.left_out", Cause::subscriber, Unit::share, Level::mean, 0.05,
     "positions left out for slow subscribers, of all events handed out",
     "a map does not miss one in twenty; a log of events does"},
    {"subscriber.ended", Cause::subscriber, Unit::per_second, Level::mean, 1.0 / 120,
     "subscribers a second that were ended for being slow",
     "one in two minutes: each comes back and catches up from the log, which costs more"},
    {"sink.down", Cause::sink, Unit::share, Level::mean, 0.2,
     "time that a sink did not work: it backed off or has stopped",
     "restarts of a server take seconds; a fifth of the time is more than that"},
    {"sink.lag", Cause::sink, Unit::seconds, Level::sustained, 10,
     "age of the oldest record that a sink has not delivered",
     "batches and short back-offs stay below 10 s"},
};

}  // namespace

std::string_view cause_name(Cause cause) {
  constexpr std::string_view names[] = {"generator", "cpu",        "loop turn", "commit", "network",
                                        "memory",    "subscriber", "sink",      "replies"};
  return names[static_cast<std::size_t>(cause)];
}

std::string_view cause_words(Cause cause) {
  constexpr std::string_view words[] = {
      "the load generator could not keep up: the other figures speak of it, not of the gateway",
      "shards have too little CPU",
      "single turns of a shard's loop take long, and whatever else it has waits",
      "durable writes take long, and replies wait for them",
      "bytes do not get in or out as they should",
      "links and devices hold much of the memory that they may",
      "somebody who reads the live stream is too slow for it",
      "a sink's other side does not take what there is",
      "answers come late, and what is known here does not say why"};
  return words[static_cast<std::size_t>(cause)];
}

std::span<const SignalSpec> all_signals() { return table; }

const SignalSpec* find_signal(std::string_view id) {
  for (const SignalSpec& spec : table) {
    if (spec.id == id) return &spec;
  }
  return nullptr;
}

const Signal* Case::find(std::string_view id) const {
  for (const Signal& signal : signals) {
    if (signal.spec->id == id) return &signal;
  }
  return nullptr;
}

const std::string* Case::setting(std::string_view key) const {
  for (const auto& [name, value] : config) {
    if (name == key) return &value;
  }
  return nullptr;
}

namespace {

bool all_unknown(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [](double one) { return std::isnan(one); });
}

void add(Case& out, std::string_view id, std::vector<double> values, std::string where = {}) {
  const SignalSpec* spec = find_signal(id);
  if (values.empty() || all_unknown(values)) return;
  out.signals.push_back({spec, spec->threshold, std::move(values), std::move(where)});
}

std::vector<double> sum(std::initializer_list<std::vector<double>> parts) {
  std::vector<double> out;
  for (const std::vector<double>& part : parts) {
    if (out.empty()) out.assign(part.size(), nan);
    for (std::size_t i = 0; i < part.size(); ++i) {
      if (std::isnan(part[i])) continue;
      out[i] = std::isnan(out[i]) ? part[i] : out[i] + part[i];
    }
  }
  return out;
}

// a / (a + b); 0 where nothing happened.
std::vector<double> share_of(const std::vector<double>& part, const std::vector<double>& rest) {
  std::vector<double> out(part.size(), nan);
  for (std::size_t i = 0; i < part.size(); ++i) {
    if (std::isnan(part[i])) continue;
    const double all = part[i] + (std::isnan(rest[i]) ? 0 : rest[i]);
    out[i] = all > 0 ? part[i] / all : 0;
  }
  return out;
}

// The series of the label's value whose mean is highest, and that value.
template <class Make>
std::pair<std::vector<double>, std::string> worst_of(const std::vector<std::string>& values,
                                                     Make&& make) {
  std::pair<std::vector<double>, std::string> best;
  double highest = -1;
  for (const std::string& value : values) {
    std::vector<double> series = make(value);
    double all = 0;
    for (const double one : series) all += std::isnan(one) ? 0 : one;
    if (all <= highest) continue;
    highest = all;
    best = {std::move(series), value};
  }
  return best;
}

void add_shards(const History& history, Case& out) {
  const auto shards = history.values_of("ringgate_loop_turn_seconds_count", "shard");
  auto [busy, busiest] = worst_of(shards, [&](const std::string& shard) {
    return history.rate("ringgate_loop_turn_seconds_sum", {{"shard", shard}});
  });
  add(out, "cpu.busy", std::move(busy), fmt::format("shard {}", busiest));
  add(out, "loop.turn", history.percentile("ringgate_loop_turn_seconds", 99));
  auto [commits, slowest] = worst_of(shards, [&](const std::string& shard) {
    return history.percentile("ringgate_log_commit_seconds", 99, {{"shard", shard}});
  });
  add(out, "commit.p99", std::move(commits), fmt::format("shard {}", slowest));
  add(out, "commit.refused", sum({history.rate("ringgate_log_appends_refused_total"),
                                  history.rate("ringgate_log_write_failures_total")}));
}

void add_network(const History& history, const Beside& beside, Case& out) {
  add(out, "network.unread", history.rate("ringgate_links_paused_total", {{"why", "out_full"}}));
  add(out, "network.buffers", history.rate("ringgate_receive_buffer_shortages_total"));
  add(out, "network.accept", sum({history.rate("ringgate_accept_errors_total"),
                                  history.rate("ringgate_accept_pauses_total")}));
  add(out, "network.listen_drops", beside.listen_drops);
  add(out, "network.retransmits", beside.retransmits);
  const auto dropped = [&](std::string_view reason) {
    return history.rate("ringgate_datagrams_dropped_total", {{"reason", reason}});
  };
  add(out, "network.datagrams",
      share_of(sum({dropped("links_full"), dropped("paused"), dropped("mail_full")}),
               history.rate("ringgate_datagrams_received_total")));
}

// By the limit where it is known; else by the level, which tells when a shard passed 0.7, 0.85,
// 0.95 and 1 of it.
void add_memory(const History& history, Case& out) {
  constexpr double of_level[] = {0, 0.7, 0.85, 0.95, 1};
  const auto shards = history.values_of("ringgate_memory_bytes", "shard");
  const std::string* text = out.setting("memory.limit");
  const auto limit = text == nullptr ? Result<std::int64_t>(0) : config::parse_size(*text);
  const double share = limit && *limit > 0 && !shards.empty()
                           ? static_cast<double>(*limit) / static_cast<double>(shards.size())
                           : 0;
  auto [fill, fullest] = worst_of(shards, [&](const std::string& shard) {
    const auto bytes = history.gauge("ringgate_memory_bytes", {{"shard", shard}});
    std::vector<double> level = history.gauge("ringgate_memory_level", {{"shard", shard}});
    for (std::size_t i = 0; i < level.size(); ++i) {
      const double rung = std::isnan(level[i]) ? 0 : std::clamp(level[i], 0.0, 4.0);
      level[i] = of_level[static_cast<std::size_t>(rung)];
      if (share > 0 && !std::isnan(bytes[i])) level[i] = std::max(level[i], bytes[i] / share);
    }
    return level;
  });
  add(out, "memory.share", std::move(fill), fmt::format("shard {}", fullest));
}

void add_subscribers(const History& history, const Queues& queues, Case& out) {
  std::vector<double> fill = queues.bytes;
  for (double& one : fill) one /= subscriber_queue_bytes;
  add(out, "subscriber.queue", std::move(fill), queues.slowest);
  add(out, "subscriber.left_out",
      share_of(history.rate("ringgate_stream_coalesced_total"),
               history.rate("ringgate_stream_delivered_events_total")),
      queues.slowest);
  add(out, "subscriber.ended", history.rate("ringgate_stream_ended_total", {{"reason", "slow"}}),
      queues.slowest);
}

void add_sinks(const History& history, Case& out) {
  const auto sinks = history.values_of("ringgate_sink_state", "sink");
  if (sinks.empty()) return;
  auto [down, worst] = worst_of(sinks, [&](const std::string& sink) {
    std::vector<double> state = history.gauge("ringgate_sink_state", {{"sink", sink}});
    // 2 backing off, 4 stopped. Paused is what somebody wished; starting takes no time.
    for (double& one : state) one = one == 2 || one == 4 ? 1 : 0;
    return state;
  });
  add(out, "sink.down", std::move(down), worst);
  auto [lag, latest] = worst_of(sinks, [&](const std::string& sink) {
    return history.gauge("ringgate_sink_lag_seconds", {{"sink", sink}});
  });
  add(out, "sink.lag", std::move(lag), latest);
}

// What devices and clients saw. What only the cause itself counts (failures of a sink, subscribers
// that were ended) is not among it: it would be correlated with itself.
std::vector<double> errors_of(const History& history) {
  const auto acks = [&](std::string_view result) {
    return history.rate("ringgate_jt808_acks_total", {{"result", result}});
  };
  const auto closed = [&](std::string_view reason) {
    return history.rate("ringgate_links_closed_total", {{"reason", reason}});
  };
  return sum({acks("failed"), history.rate("ringgate_jt808_refused_total"),
              history.rate("ringgate_http_responses_total", {{"class", "5xx"}}),
              closed("peer_reset"), closed("frame_timeout"), closed("send_failed"),
              closed("crowded_out"), closed("refused")});
}

}  // namespace

void add_gateway_signals(const History& history, const Beside& beside, const Queues& queues,
                         Case& out) {
  out.times_s = history.interval_times_s();
  if (!beside.wait_share.empty()) add(out, "cpu.wait", beside.wait_share);
  add_shards(history, out);
  add_network(history, beside, out);
  add_memory(history, out);
  add_subscribers(history, queues, out);
  add_sinks(history, out);
  out.errors = errors_of(history);
  out.replies = history.percentile("ringgate_ack_seconds", 99);
  out.messages = history.rate("ringgate_log_records_total");
}

Result<Override> parse_override(std::string_view text) {
  const std::size_t equals = text.find('=');
  Override out;
  out.id = std::string(text.substr(0, equals));
  const SignalSpec* spec = find_signal(out.id);
  if (spec == nullptr) {
    return Error{0, fmt::format("there is no signal '{}'; --signals names them", out.id)};
  }
  const std::string value(equals == std::string_view::npos ? "" : text.substr(equals + 1));
  char* end = nullptr;
  out.threshold = std::strtod(value.c_str(), &end);
  const bool plain = !value.empty() && *end == '\0' && std::isfinite(out.threshold);
  const auto duration = config::parse_duration(value);
  if (spec->unit == Unit::seconds && duration) {
    out.threshold = static_cast<double>(*duration) / 1e9;
  } else if (!plain) {
    return Error{0, fmt::format("{}: {} is expected, not '{}'", out.id,
                                spec->unit == Unit::seconds ? "a duration such as 20ms"
                                                            : "a number such as 0.5",
                                value)};
  }
  if (!(out.threshold > 0)) return Error{0, fmt::format("{}: must be above 0", out.id)};
  return out;
}

void apply_overrides(std::span<const Override> overrides, Case& out) {
  for (const Override& one : overrides) {
    for (Signal& signal : out.signals) {
      if (signal.spec->id == one.id) signal.threshold = one.threshold;
    }
  }
}

}  // namespace ringgate::analyze
