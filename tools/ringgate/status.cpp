#include "tools/ringgate/status.hpp"

#include <fmt/core.h>

#include <map>
#include <string>

#include "engine/net/counters.hpp"
#include "protocols/jsonl/session.hpp"
#include "protocols/jt808/counters.hpp"
#include "storage/log/counters.hpp"

namespace ringgate::server {

std::int64_t Status::since_last(const observe::MetricSpec& spec, std::size_t place) {
  if (last_.size() <= place) last_.resize(place + 1, 0);
  const std::int64_t total = registry_.total(spec);
  const std::int64_t difference = total - last_[place];
  last_[place] = total;
  return difference;
}

void Status::log(observe::LogSource& logs, MonoNs now) {
  const double seconds = static_cast<double>(now - last_ns_) / static_cast<double>(ns_per_s);
  last_ns_ = now;
  std::size_t place = 0;
  const auto rate = [&](const observe::MetricSpec& spec) {
    return static_cast<double>(since_last(spec, place++)) / (seconds > 0 ? seconds : 1);
  };
  const double frames = rate(jt808::frames_received) + rate(jsonl::lines_received);
  const double commits = rate(log::commits);
  const double megabytes = rate(log::written_bytes) / 1e6;
  const auto all_commits = registry_.merged(log::commit_seconds);
  const auto interval = all_commits.since(last_commits_);
  last_commits_ = all_commits;
  std::vector<observe::Field> fields{
      {"links", registry_.total(net::links_live)},
      {"devices", registry_.total(jt808::devices_online)},
      {"frames_per_s", frames},
      {"commits_per_s", commits},
      {"mb_per_s", megabytes},
      {"commit_p99_ms", static_cast<double>(interval.percentile(99)) / 1e6},
  };
  text_ = fmt::format("{} devices online, {:.0f} frames/s, a commit takes {:.2g} ms (p99)",
                      registry_.total(jt808::devices_online), frames,
                      static_cast<double>(interval.percentile(99)) / 1e6);
  // What people should look at appears only when there is some.
  const observe::MetricSpec* const drops[] = {&jt808::bad_frames, &jt808::refusals,
                                              &jsonl::lines_bad, &net::accept_errors,
                                              &net::reply_bytes_dropped};
  const char* const names[] = {"bad_frames", "refused", "bad_lines", "accept_errors",
                               "reply_bytes_dropped"};
  for (std::size_t i = 0; i < std::size(drops); ++i) {
    const std::int64_t count = since_last(*drops[i], place++);
    if (count > 0) fields.push_back({names[i], count});
  }
  std::map<std::string, std::int64_t> reasons;
  for (const observe::Sample& sample : registry_.snapshot()) {
    if (sample.spec == &jt808::bad_frames || sample.spec == &jt808::refusals) {
      reasons[std::string(sample.label_value)] += sample.value;
    }
  }
  std::string by_reason;
  for (const auto& [reason, count] : reasons) {
    if (count > 0) by_reason += fmt::format("{}{}:{}", by_reason.empty() ? "" : ",", reason, count);
  }
  if (!by_reason.empty()) fields.push_back({"drops_total_by_reason", by_reason});
  const std::string troubles = sinks_ == nullptr ? std::string() : sinks_->troubles();
  if (!troubles.empty()) {
    fields.push_back({"sinks", troubles});
    text_ += "; " + troubles;
  }
  logs.log(observe::Level::info, "status", fields);
}

}  // namespace ringgate::server
