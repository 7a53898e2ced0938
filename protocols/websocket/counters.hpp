// What WebSocket counts, per shard.
#pragma once

#include "engine/observe/counter.hpp"
#include "protocols/websocket/codec/frame.hpp"

namespace ringgate::websocket {

// Why the gateway ended a socket itself.
enum class Failure : std::uint8_t {
  bad_frame,   // FrameError, or a frame out of order
  not_masked,
  bad_text,
  too_big,
  bad_deflate,
  bad_close,
  silent,      // no pong
  count,
};
inline constexpr std::string_view failure_names[] = {
    "bad_frame", "not_masked", "bad_text", "too_big", "bad_deflate", "bad_close", "silent"};
static_assert(std::size(failure_names) == static_cast<std::size_t>(Failure::count));

inline constexpr observe::MetricSpec sockets_open{.name = "ringgate_websocket_sockets",
                                                  .help = "WebSockets that are open.",
                                                  .kind = observe::MetricKind::gauge};
inline constexpr observe::MetricSpec messages_received{
    .name = "ringgate_websocket_received_messages_total",
    .help = "Messages of WebSocket clients."};
inline constexpr observe::MetricSpec messages_sent{
    .name = "ringgate_websocket_sent_messages_total",
    .help = "Messages to WebSocket clients."};
inline constexpr observe::MetricSpec sockets_failed{
    .name = "ringgate_websocket_failures_total",
    .help = "WebSockets that were ended because of their peer, by reason.",
    .label = "reason",
    .values = failure_names};
inline constexpr observe::MetricSpec upgrades_refused{
    .name = "ringgate_websocket_refused_total",
    .help = "Requests for a WebSocket that were refused."};

struct Counters {
  explicit Counters(observe::CounterGroup& group)
      : open(group.gauge(sockets_open)),
        received(group.counter(messages_received)),
        sent(group.counter(messages_sent)),
        failed(group.family<Failure>(sockets_failed)),
        refused(group.counter(upgrades_refused)) {}

  observe::Gauge open;
  observe::Counter received;
  observe::Counter sent;
  observe::Family<Failure> failed;
  observe::Counter refused;
};

}  // namespace ringgate::websocket
