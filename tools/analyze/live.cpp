// A live gateway, sampled.
#include <fmt/core.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "engine/base/clock.hpp"
#include "tools/analyze/beside.hpp"
#include "tools/analyze/http.hpp"
#include "tools/analyze/sources.hpp"
#include "tools/common/gateway.hpp"

namespace ringgate::analyze {

namespace {

using nlohmann::json;
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

// Whoever asks first may have the wrong port, and should not wait for long to be told.
constexpr MonoNs first_patience_ns = 4 * ns_per_s;

double seconds_of(clockid_t clock) {
  timespec at{};
  clock_gettime(clock, &at);
  return static_cast<double>(at.tv_sec) + static_cast<double>(at.tv_nsec) * 1e-9;
}

void sleep_until(double mono_s) {
  timespec at{};
  at.tv_sec = static_cast<time_t>(mono_s);
  at.tv_nsec = static_cast<long>((mono_s - std::floor(mono_s)) * 1e9);
  // A signal ends it early: progress() then says whether to stop.
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr);
}

void ask_config(const Url& url, const std::string& token, Case& out) {
  const auto body = http_get(url, "/api/v1/config", token);
  if (!body) {
    out.notes.push_back(fmt::format("the configuration could not be asked ({}): advice has no "
                                    "present values", body.error().message));
    return;
  }
  out.config = tool::settings_of(*body);
}

// Bytes that wait for the subscriber that has most of them; NaN where nobody could be asked.
double longest_queue(const Url& url, const std::string& token, double& highest,
                     std::string& slowest) {
  const auto body = http_get(url, "/api/v1/consumers", token);
  if (!body) return nan;
  const json all = json::parse(*body, nullptr, false);
  if (!all.is_object() || !all.contains("consumers") || !all["consumers"].is_array()) return nan;
  double longest = 0;
  for (const json& one : all["consumers"]) {
    if (!one.is_object() || !one.value("ended", std::string()).empty()) continue;
    const double queued = one.value("queued_bytes", 0.0);
    longest = std::max(longest, queued);
    if (queued <= highest) continue;
    highest = queued;
    slowest = fmt::format("{} {} at {}", one.value("kind", "subscriber"),
                          one.value("who", "unnamed"), one.value("address", "?"));
  }
  return longest;
}

class Sampler {
 public:
  Sampler(const LiveOptions& options, const Url& url, Case& out)
      : options_(options), url_(url), out_(out) {
    pid_ = options.pid;
    if (pid_ < 0) {
      pid_ = url.loopback() ? pid_of_listener(static_cast<std::uint16_t>(std::atoi(
                                  url.port.c_str())))
                            : 0;
    }
    out.usable_cpus = pid_ > 0 ? usable_cpus_of(pid_) : 0;
    if (pid_ > 0) last_ = sample_beside(pid_);
    if (!last_) {
      out.notes.push_back("the gateway's process could not be looked into: waits for CPUs and the "
                          "state of TCP are not known");
    }
  }

  Result<void> sample(double at_s) {
    const bool first = history_.size() == 0;
    const auto text = http_get(url_, "/metrics", options_.token,
                               first ? first_patience_ns : http_patience_ns);
    if (!text && first && text.error().code == EPROTO) {
      return Error{0, fmt::format("{}; is this the gateway's HTTP listener (http.listen)?",
                                  text.error().message)};
    }
    if (!text) return text.error();
    const auto samples = parse_exposition(*text);
    if (!samples) return Error{0, "/metrics: " + samples.error().message};
    history_.add(at_s, *samples);
    const double queue = longest_queue(url_, options_.token, highest_queue_, queues_.slowest);
    if (!first) queues_.bytes.push_back(queue);
    look_beside(at_s, first);
    return {};
  }

  double messages() const {
    const auto rate = history_.rate("ringgate_log_records_total");
    return rate.empty() || std::isnan(rate.back()) ? 0 : rate.back();
  }
  std::size_t size() const { return history_.size(); }

  void finish() {
    if (beside_.wait_share.size() + 1 != history_.size()) beside_ = {};
    if (slices_ > 0) out_.run_queue_wait_s = waited_ / slices_;
    add_gateway_signals(history_, beside_, queues_, out_);
  }

 private:
  void look_beside(double at_s, bool first) {
    if (!last_) return;
    const auto now = sample_beside(pid_);
    if (!now) return;
    if (!first) {
      const double step = at_s - last_at_s_;
      const BesideStep one = between(*last_, *now, step);
      beside_.wait_share.push_back(one.wait_share);
      beside_.retransmits.push_back(one.retransmits);
      beside_.listen_drops.push_back(one.listen_drops);
      if (one.wait_each_s > 0) {
        waited_ += one.wait_share * step;
        slices_ += one.wait_share * step / one.wait_each_s;
      }
    }
    last_ = now;
    last_at_s_ = at_s;
  }

  const LiveOptions& options_;
  const Url& url_;
  Case& out_;
  int pid_ = 0;
  History history_;
  Beside beside_;
  Queues queues_;
  double highest_queue_ = 0;
  std::optional<BesideSample> last_;
  double last_at_s_ = 0;
  double waited_ = 0;
  double slices_ = 0;
};

}  // namespace

Result<Case> live_case(const LiveOptions& options) {
  const auto url = parse_url(options.url);
  if (!url) return url.error();
  Case out;
  out.source = options.url;
  out.begin_unix_s = seconds_of(CLOCK_REALTIME);
  Sampler sampler(options, *url, out);
  const double begin = seconds_of(CLOCK_MONOTONIC);
  if (auto sampled = sampler.sample(0); !sampled) return sampled.error();
  ask_config(*url, options.token, out);
  for (std::size_t i = 1;; ++i) {
    const double due = static_cast<double>(i) * options.interval_s;
    if (due > options.duration_s + 1e-9) break;
    sleep_until(begin + due);
    const double at = seconds_of(CLOCK_MONOTONIC) - begin;
    if (options.progress && !options.progress(at, sampler.messages())) break;
    if (auto sampled = sampler.sample(at); !sampled) {
      if (sampler.size() < 3) return sampled.error();
      out.notes.push_back(fmt::format("the gateway went away after {:.0f} s: {}", at,
                                      sampled.error().message));
      break;
    }
  }
  sampler.finish();
  return out;
}

}  // namespace ringgate::analyze
