// What the gateway tells of itself while a run goes on: its /metrics, again and again, kept as they
// are for the run file, where ringgate-analyze finds what answers waited for. One thread (the
// coordinator's); never waits for an answer.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/clock.hpp"
#include "tools/common/http_calls.hpp"

namespace ringgate::load {

// Plain values.
struct GatewayMetrics {
  std::string problem;          // why there are none, or no more; empty: nothing went wrong
  std::vector<double> times_s;  // of samples, since the run's start
  // As Prometheus' text format names them, "ringgate_links{shard=\"0\"}" -> a value for each time;
  // NaN: was not there.
  std::map<std::string, std::vector<double>, std::less<>> series;
  std::vector<std::pair<std::string, std::string>> config;  // key, value as text; may be empty

  // One answer of /metrics. Lines that are no metric of ringgate's are passed over.
  void add(double at_s, std::string_view exposition);
  // Every other sample goes.
  void halve();
};

class GatewayWatch {
 public:
  // A sample costs the gateway some 1.3 ms of CPU, on no shard's thread: below 0.1 % of one.
  static constexpr MonoNs every_ns = 2 * ns_per_s;
  // Then every other goes and the next ones are twice as far apart: a day is no larger than this.
  static constexpr std::size_t samples_max = 600;
  // A gateway of 64 shards has some ten thousand.
  static constexpr std::size_t series_max = 50'000;

  GatewayWatch(tool::HttpCalls& calls, std::string address, std::string token)
      : calls_(calls), address_(std::move(address)), token_(std::move(token)) {}

  // Asks when it is time to. Once there was no answer of a gateway it asks no more.
  void turn(MonoNs since_start);
  const GatewayMetrics& metrics() const { return metrics_; }

 private:
  tool::HttpRequest request(std::string path) const;
  void ask_config();
  void took(MonoNs at_ns, const tool::HttpAnswer& answer);

  tool::HttpCalls& calls_;
  std::string address_;
  std::string token_;
  GatewayMetrics metrics_;
  MonoNs next_ns_ = 0;
  MonoNs pause_ns_ = every_ns;
  bool asking_ = false;
  bool over_ = false;
};

}  // namespace ringgate::load
