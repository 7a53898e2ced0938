// What HTTP counts, per shard.
#pragma once

#include "engine/observe/counter.hpp"
#include "protocols/http/codec/head.hpp"

namespace ringgate::http {

enum class StatusClass : std::uint8_t { informational, success, redirection, client, server };
inline constexpr std::string_view status_class_names[] = {"1xx", "2xx", "3xx", "4xx", "5xx"};

// Requests that never reached a handler, besides bad heads.
enum class Refusal : std::uint8_t { bad_chunk, body_too_large, body_too_slow, count };
inline constexpr std::string_view refusal_names[] = {"bad_chunk", "body_too_large",
                                                     "body_too_slow"};

inline constexpr observe::MetricSpec responses_sent{
    .name = "ringgate_http_responses_total",
    .help = "Answers to HTTP requests, by class of status.",
    .label = "class",
    .values = status_class_names};
inline constexpr observe::MetricSpec heads_bad{
    .name = "ringgate_http_bad_heads_total",
    .help = "Heads of HTTP requests that were refused, by reason.",
    .label = "reason",
    .values = head_error_names};
inline constexpr observe::MetricSpec bodies_bad{
    .name = "ringgate_http_bad_bodies_total",
    .help = "Bodies of HTTP requests that were refused, by reason.",
    .label = "reason",
    .values = refusal_names};
inline constexpr observe::MetricSpec requests_open{
    .name = "ringgate_http_requests",
    .help = "HTTP requests whose answer is not complete.",
    .kind = observe::MetricKind::gauge};
inline constexpr observe::MetricSpec request_seconds{
    .name = "ringgate_http_handler_seconds",
    .help = "Time from a whole HTTP request to its whole answer, those that took a turn or more.",
    .kind = observe::MetricKind::histogram};

struct Counters {
  explicit Counters(observe::CounterGroup& group)
      : responses(group.family<StatusClass>(responses_sent)),
        bad_heads(group.family<HeadError>(heads_bad)),
        bad_bodies(group.family<Refusal>(bodies_bad)),
        open(group.gauge(requests_open)),
        seconds(group.histogram(request_seconds)) {}

  observe::Family<StatusClass> responses;
  observe::Family<HeadError> bad_heads;
  observe::Family<Refusal> bad_bodies;
  observe::Gauge open;
  observe::Histogram& seconds;
};

}  // namespace ringgate::http
