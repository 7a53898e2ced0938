// What the live stream counts, on the Feed's thread.
#pragma once

#include "engine/observe/counter.hpp"

namespace ringgate::api {

// Why the gateway ended a stream itself.
enum class StreamEnd : std::uint8_t {
  slow,     // takes less than there is
  revoked,  // its token is not good any more
  rude,     // too many messages
  count,
};
inline constexpr std::string_view stream_end_names[] = {"slow", "revoked", "rude"};
static_assert(std::size(stream_end_names) == static_cast<std::size_t>(StreamEnd::count));

// What the client is told.
inline constexpr std::string_view ended_slow = "too slow";
inline constexpr std::string_view ended_revoked = "the credentials are not good any more";
inline constexpr std::string_view ended_rude = "too many messages";

inline constexpr observe::MetricSpec stream_clients{
    .name = "ringgate_stream_subscribers",
    .help = "Streams that are open: WebSockets, server-sent events, traces.",
    .kind = observe::MetricKind::gauge};
inline constexpr observe::MetricSpec stream_groups{
    .name = "ringgate_stream_groups",
    .help = "Different subscriptions that are served live.",
    .kind = observe::MetricKind::gauge};
inline constexpr observe::MetricSpec stream_kept{
    .name = "ringgate_stream_kept_bytes",
    .help = "Memory of what is kept for subscribers, besides what waits in their links.",
    .kind = observe::MetricKind::gauge};
inline constexpr observe::MetricSpec stream_records{
    .name = "ringgate_stream_records_total", .help = "Records of the log that the stream read."};
inline constexpr observe::MetricSpec stream_events{
    .name = "ringgate_stream_delivered_events_total",
    .help = "Events handed to subscribers, each for each."};
inline constexpr observe::MetricSpec stream_messages{
    .name = "ringgate_stream_messages_total",
    .help = "Messages made: each goes to all who share the subscription."};
inline constexpr observe::MetricSpec stream_coalesced{
    .name = "ringgate_stream_coalesced_total",
    .help = "Positions left out for subscribers that were slow."};
inline constexpr observe::MetricSpec stream_ended{
    .name = "ringgate_stream_ended_total",
    .help = "Streams that the gateway ended itself, by reason.",
    .label = "reason",
    .values = stream_end_names};
inline constexpr observe::MetricSpec stream_catch_ups{
    .name = "ringgate_stream_catch_ups_total",
    .help = "Subscriptions that began with old log."};
inline constexpr observe::MetricSpec stream_lost_bytes{
    .name = "ringgate_stream_lost_bytes_total",
    .help = "Bytes of log that were gone before the stream had read them."};

struct StreamCounters {
  explicit StreamCounters(observe::CounterGroup& group)
      : clients(group.gauge(stream_clients)),
        groups(group.gauge(stream_groups)),
        kept(group.gauge(stream_kept)),
        records(group.counter(stream_records)),
        events(group.counter(stream_events)),
        messages(group.counter(stream_messages)),
        coalesced(group.counter(stream_coalesced)),
        ended(group.family<StreamEnd>(stream_ended)),
        catch_ups(group.counter(stream_catch_ups)),
        lost_bytes(group.counter(stream_lost_bytes)) {}

  observe::Gauge clients;
  observe::Gauge groups;
  observe::Gauge kept;
  observe::Counter records;
  observe::Counter events;
  observe::Counter messages;
  observe::Counter coalesced;
  observe::Family<StreamEnd> ended;
  observe::Counter catch_ups;
  observe::Counter lost_bytes;
};

}  // namespace ringgate::api
