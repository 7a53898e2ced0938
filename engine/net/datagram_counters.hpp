// What the datagrams of one shard count. Written by the shard only.
#pragma once

#include "engine/observe/counter.hpp"

namespace ringgate::net {

// Why a datagram was not handled. Its sender sends it again, if it follows its protocol.
enum class DatagramDrop : std::uint8_t {
  empty,
  truncated,      // longer than a receive buffer
  garbage,        // from an address without a link, and no frame
  stranger_rate,  // more than strangers may send: this source's share, or all of them together
  links_full,     // server.max_links, or memory
  paused,         // its link may not be read now: credit, log, replies that are not taken
  mail_full,      // the home shard takes no more now
  draining,
  mixed,          // a stranger's frames of several homes, to and fro: what was left of them
  refused,        // by the listener's lists
  count,
};
inline constexpr std::string_view datagram_drop_names[] = {
    "empty", "truncated", "garbage", "stranger_rate", "links_full", "paused", "mail_full",
    "draining", "mixed", "refused"};
static_assert(std::size(datagram_drop_names) == static_cast<std::size_t>(DatagramDrop::count));

// Why a reply was not sent.
enum class DatagramUnsent : std::uint8_t {
  stranger,     // more bytes than came from that address, which nobody has authenticated from
  no_buffers,   // ENOBUFS, EAGAIN, ENOMEM
  unreachable,  // ENETUNREACH, EHOSTUNREACH, ECONNREFUSED, EPERM, EACCES: routes and firewalls
  too_long,     // EMSGSIZE
  other,
  count,
};
inline constexpr std::string_view datagram_unsent_names[] = {"stranger", "no_buffers",
                                                             "unreachable", "too_long", "other"};
static_assert(std::size(datagram_unsent_names) == static_cast<std::size_t>(DatagramUnsent::count));

inline constexpr observe::MetricSpec datagrams_received{
    .name = "ringgate_datagrams_received_total", .help = "Datagrams received."};
inline constexpr observe::MetricSpec datagrams_dropped{
    .name = "ringgate_datagrams_dropped_total",
    .help = "Datagrams received and not handled, by reason.",
    .label = "reason",
    .values = datagram_drop_names};
inline constexpr observe::MetricSpec datagrams_forwarded{
    .name = "ringgate_datagrams_forwarded_total",
    .help = "Datagrams sent to their device's home shard."};
inline constexpr observe::MetricSpec datagrams_sent{.name = "ringgate_datagrams_sent_total",
                                                    .help = "Datagrams sent."};
inline constexpr observe::MetricSpec datagrams_unsent{
    .name = "ringgate_datagrams_unsent_total",
    .help = "Replies that no datagram left for, by reason.",
    .label = "reason",
    .values = datagram_unsent_names};
inline constexpr observe::MetricSpec datagram_links_opened{
    .name = "ringgate_datagram_links_opened_total",
    .help = "Addresses that sent a datagram and had no link."};
inline constexpr observe::MetricSpec datagram_strangers{
    .name = "ringgate_datagram_strangers",
    .help = "Links of addresses that nobody has authenticated from.",
    .kind = observe::MetricKind::gauge};
inline constexpr observe::MetricSpec datagram_receive_errors{
    .name = "ringgate_datagram_receive_errors_total",
    .help = "Receives of datagrams that failed; receiving rested a moment."};

struct DatagramCounters {
  explicit DatagramCounters(observe::CounterGroup& group)
      : received(group.counter(datagrams_received)),
        dropped(group.family<DatagramDrop>(datagrams_dropped)),
        forwarded(group.counter(datagrams_forwarded)), sent(group.counter(datagrams_sent)),
        unsent(group.family<DatagramUnsent>(datagrams_unsent)),
        opened(group.counter(datagram_links_opened)),
        strangers(group.gauge(datagram_strangers)),
        receive_errors(group.counter(datagram_receive_errors)) {}

  observe::Counter received;
  observe::Family<DatagramDrop> dropped;
  observe::Counter forwarded;
  observe::Counter sent;
  observe::Family<DatagramUnsent> unsent;
  observe::Counter opened;
  observe::Gauge strangers;
  observe::Counter receive_errors;
};

}  // namespace ringgate::net
