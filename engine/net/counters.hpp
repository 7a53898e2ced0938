// What the links of one shard count. Written by the shard only, readable from any thread through
// the registry.
#pragma once

#include "engine/net/link.hpp"
#include "engine/net/networks.hpp"
#include "engine/observe/counter.hpp"

namespace ringgate::net {

inline constexpr std::string_view close_reason_names[] = {
    "peer_closed", "peer_reset", "idle",     "frame_timeout", "bad_frames",
    "oversize",    "replaced",   "draining", "send_failed",   "filter_broken",
    "kicked",      "crowded_out", "finished", "refused"};
static_assert(std::size(close_reason_names) == static_cast<std::size_t>(CloseReason::count));
inline constexpr std::string_view pause_names[] = {"credit", "out_full", "memory", "log",
                                                  "session"};
enum class PauseCount : std::uint8_t { credit, out_full, memory, log, session };

inline constexpr observe::MetricSpec links_accepted{.name = "ringgate_links_accepted_total",
                                                    .help = "Connections accepted."};
inline constexpr observe::MetricSpec links_live{.name = "ringgate_links",
                                                .help = "Links that are open or ending.",
                                                .kind = observe::MetricKind::gauge};
inline constexpr observe::MetricSpec links_closed{.name = "ringgate_links_closed_total",
                                                  .help = "Links ended, by reason.",
                                                  .label = "reason",
                                                  .values = close_reason_names};
inline constexpr observe::MetricSpec links_paused{.name = "ringgate_links_paused_total",
                                                  .help = "Times reading from a link was paused.",
                                                  .label = "why",
                                                  .values = pause_names};
inline constexpr observe::MetricSpec links_refused{
    .name = "ringgate_links_refused_total",
    .help = "Links refused by the lists of their listener, or for their PROXY header, by reason.",
    .label = "reason",
    .values = refusal_names};
inline constexpr observe::MetricSpec accept_errors{
    .name = "ringgate_accept_errors_total",
    .help = "Connections that were lost or closed while being accepted."};
inline constexpr observe::MetricSpec accept_pauses{
    .name = "ringgate_accept_pauses_total",
    .help = "Times accepting rested because descriptors or memory ran out."};
inline constexpr observe::MetricSpec receives{.name = "ringgate_receives_total",
                                              .help = "Receive completions with data."};
inline constexpr observe::MetricSpec received_bytes{.name = "ringgate_received_bytes_total",
                                                    .help = "Bytes received."};
inline constexpr observe::MetricSpec sends{.name = "ringgate_sends_total",
                                           .help = "Send completions."};
inline constexpr observe::MetricSpec sent_bytes{.name = "ringgate_sent_bytes_total",
                                                .help = "Bytes sent."};
inline constexpr observe::MetricSpec spilled_bytes{
    .name = "ringgate_spilled_bytes_total",
    .help = "Received bytes that were copied aside, for a frame's rest or for credit."};
inline constexpr observe::MetricSpec buffer_shortages{
    .name = "ringgate_receive_buffer_shortages_total",
    .help = "Receives that ended because all receive buffers were in use."};
inline constexpr observe::MetricSpec links_moved_in{.name = "ringgate_links_moved_in_total",
                                                    .help = "Links that came from another shard."};
inline constexpr observe::MetricSpec links_moved_out{.name = "ringgate_links_moved_out_total",
                                                     .help = "Links that went to another shard."};
inline constexpr observe::MetricSpec frames_forwarded{
    .name = "ringgate_frames_forwarded_total", .help = "Frames sent to their device's home shard."};
inline constexpr observe::MetricSpec reply_bytes_dropped{
    .name = "ringgate_reply_bytes_dropped_total",
    .help = "Reply bytes whose link ended before they could be sent."};
inline constexpr observe::MetricSpec memory_bytes{
    .name = "ringgate_memory_bytes",
    .help = "Bytes held by links and devices, by own accounting.",
    .kind = observe::MetricKind::gauge};
inline constexpr observe::MetricSpec memory_level{
    .name = "ringgate_memory_level",
    .help = "Memory level: 0 normal, 1 trim, 2 pause, 3 shed, 4 refuse.",
    .kind = observe::MetricKind::gauge};

struct NetCounters {
  explicit NetCounters(observe::CounterGroup& group)
      : accepted(group.counter(links_accepted)),
        live(group.gauge(links_live)),
        closed(group.family<CloseReason>(links_closed)),
        paused(group.family<PauseCount>(links_paused)),
        refused(group.family<Refusal>(links_refused)),
        accept_errors(group.counter(net::accept_errors)),
        accept_pauses(group.counter(net::accept_pauses)),
        receives(group.counter(net::receives)),
        received_bytes(group.counter(net::received_bytes)),
        sends(group.counter(net::sends)),
        sent_bytes(group.counter(net::sent_bytes)),
        spilled_bytes(group.counter(net::spilled_bytes)),
        buffer_shortages(group.counter(net::buffer_shortages)),
        moved_in(group.counter(links_moved_in)),
        moved_out(group.counter(links_moved_out)),
        forwarded(group.counter(frames_forwarded)),
        reply_bytes_dropped(group.counter(net::reply_bytes_dropped)),
        memory_bytes(group.gauge(net::memory_bytes)),
        memory_level(group.gauge(net::memory_level)) {}

  observe::Counter accepted;
  observe::Gauge live;
  observe::Family<CloseReason> closed;
  observe::Family<PauseCount> paused;
  observe::Family<Refusal> refused;
  observe::Counter accept_errors;
  observe::Counter accept_pauses;
  observe::Counter receives;
  observe::Counter received_bytes;
  observe::Counter sends;
  observe::Counter sent_bytes;
  observe::Counter spilled_bytes;
  observe::Counter buffer_shortages;
  observe::Counter moved_in;
  observe::Counter moved_out;
  observe::Counter forwarded;
  observe::Counter reply_bytes_dropped;
  observe::Gauge memory_bytes;
  observe::Gauge memory_level;
};

}  // namespace ringgate::net
