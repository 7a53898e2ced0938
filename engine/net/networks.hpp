// Sets of networks, as lists of the configuration name them, and what a listener's lists say about
// an address. An IPv4 address that an IPv6 socket reports as ::ffff:a.b.c.d counts as IPv4.
// Immutable once made; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/config/settings.hpp"
#include "engine/net/link.hpp"

namespace ringgate::net {

class Networks {
 public:
  // "10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::1". Error: names the text and the cure.
  static Result<Networks> parse(std::span<const std::string> texts);

  bool empty() const { return v4_.empty() && v6_.empty(); }
  bool contains(const PeerAddress& address) const;

 private:
  using Key = std::array<std::uint8_t, 16>;
  // Both ends belong to it; sorted, and none touches the next.
  struct Range {
    Key first;
    Key last;
  };
  static bool within(const std::vector<Range>& ranges, const Key& key);
  static void merge(std::vector<Range>& ranges);

  std::vector<Range> v4_;  // in the first four bytes
  std::vector<Range> v6_;
};

// For KeySpec::check.
Result<void> check_network(std::string_view text);

// Why a link was refused before its protocol saw it. Counted as `reason`.
enum class Refusal : std::uint8_t {
  denied,          // by the listener's deny list
  not_allowed,     // not in its allow list
  proxy_header,    // a listed proxy's header is none, or broken
  proxy_timeout,   // it did not come in time
  proxy_unlisted,  // a header from who may not send one
  count,
};
inline constexpr std::string_view refusal_names[] = {"denied", "not_allowed", "proxy_header",
                                                     "proxy_timeout", "proxy_unlisted"};
static_assert(std::size(refusal_names) == static_cast<std::size_t>(Refusal::count));

// The lists of one listener section. They are about the peer's own address: what a proxy says it
// is, where a listed one says so.
struct AccessRules {
  Networks allow;    // empty: everybody
  Networks deny;     // wins over allow
  Networks proxies;  // must begin with a PROXY header

  bool empty() const { return allow.empty() && deny.empty() && proxies.empty(); }
  // Refusal::count: none.
  Refusal judge(const PeerAddress& address) const {
    if (deny.contains(address)) return Refusal::denied;
    if (!allow.empty() && !allow.contains(address)) return Refusal::not_allowed;
    return Refusal::count;
  }
};

// Keys allow, deny, proxy_from of a section that has RG_LISTENER_KEYS; null where all are empty.
std::shared_ptr<const AccessRules> access_rules(const config::Settings& settings,
                                                const std::string& section);

}  // namespace ringgate::net
