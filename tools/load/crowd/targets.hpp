// Where the crowds of a worker connect to, and from where. Cold; any thread.
#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.hpp"
#include "tools/common/sockets.hpp"
#include "tools/load/crowd/crowd.hpp"

namespace ringgate::load {

struct TargetAddress : tool::SocketAddress {
  std::string text;  // HOST:PORT, as it was given
};

// Error: names target.KEY and what is wrong.
Result<TargetAddress> resolve_target(const std::string& text, std::string_view key);
// The class's own, or on the loopback network, where it takes more than one, an address of this
// worker and class; empty: the kernel picks. Error: one is no address.
Result<std::vector<in_addr>> sources_of(const CrowdPlace& place, const TargetAddress& target);
// Of what the crowd leaves to chance.
std::uint64_t seed_of(const CrowdPlace& place);

}  // namespace ringgate::load
