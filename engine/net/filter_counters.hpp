// What the encrypted links of one shard count.
#pragma once

#include "engine/net/filter.hpp"
#include "engine/observe/counter.hpp"

namespace ringgate::net {

inline constexpr std::string_view filter_fault_names[] = {
    "not_tls", "version", "nothing_in_common", "no_client_certificate", "bad_client_certificate",
    "peer_alert", "protocol", "flood", "timeout", "abandoned"};
static_assert(std::size(filter_fault_names) == static_cast<std::size_t>(FilterFault::count));
inline constexpr std::string_view handshake_result_names[] = {"full", "resumed", "failed"};
inline constexpr std::string_view tls_version_names[] = {"1.2", "1.3"};

inline constexpr observe::MetricSpec tls_handshakes{.name = "ringgate_tls_handshakes_total",
                                                    .help = "TLS handshakes, by their end.",
                                                    .label = "result",
                                                    .values = handshake_result_names};
inline constexpr observe::MetricSpec tls_versions{
    .name = "ringgate_tls_handshakes_by_version_total",
    .help = "TLS handshakes that succeeded, by version.",
    .label = "version",
    .values = tls_version_names};
inline constexpr observe::MetricSpec tls_failures{
    .name = "ringgate_tls_failures_total",
    .help = "TLS links that failed, in the handshake or later, by reason.",
    .label = "reason",
    .values = filter_fault_names};
inline constexpr observe::MetricSpec tls_links{.name = "ringgate_tls_links",
                                               .help = "Links whose TLS handshake has ended well.",
                                               .kind = observe::MetricKind::gauge};

inline constexpr observe::MetricSpec tls_under_way{
    .name = "ringgate_tls_handshakes_under_way",
    .help = "Links of TLS listeners whose handshake has not ended.",
    .kind = observe::MetricKind::gauge};
inline constexpr observe::MetricSpec tls_waits{
    .name = "ringgate_tls_accept_waits_total",
    .help = "Times accepting TLS waited because tls.handshakes_max were under way."};

struct FilterCounters {
  explicit FilterCounters(observe::CounterGroup& group)
      : handshakes(group.family<HandshakeResult>(tls_handshakes)),
        versions(group.family<TlsVersion>(tls_versions)),
        faults(group.family<FilterFault>(tls_failures)),
        live(group.gauge(tls_links)),
        under_way(group.gauge(tls_under_way)),
        waits(group.counter(tls_waits)) {}

  observe::Family<HandshakeResult> handshakes;
  observe::Family<TlsVersion> versions;
  observe::Family<FilterFault> faults;
  observe::Gauge live;
  observe::Gauge under_way;
  observe::Counter waits;
};

}  // namespace ringgate::net
