// What a proxy's relays share: its rules as armed, its counters, where it goes. Owned by Proxy.
#pragma once

#include <cstdint>

#include "tools/chaos/armed_rule.hpp"
#include "tools/chaos/tcp_connection.hpp"

namespace ringgate::chaos {

struct ProxyState {
  ArmedRules rules;
  Traffic traffic;
  ServerAddress target;
  std::size_t buffer_bytes = 0;
  std::size_t connections_max = 0;
  MonoNs udp_idle_ns = 0;

  std::uint64_t connections_total = 0;
  std::uint64_t refused = 0;        // accepted and reset: by a rule, or beyond connections_max
  std::uint64_t target_failed = 0;  // the server could not be reached
};

}  // namespace ringgate::chaos
