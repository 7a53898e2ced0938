// How much may come from addresses that nobody has authenticated from: bytes a second of each
// source and of all together. Since a stranger is never sent more bytes than came from its address,
// this also bounds what a forger makes us send to somebody else.
//
// A fixed table; where more sources speak than it has places, the one that was silent longest
// loses its account, and the bound of all together holds. One per shard, used only there.
#pragma once

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "engine/base/bytes.hpp"
#include "engine/base/clock.hpp"
#include "engine/base/limits.hpp"
#include "engine/net/link.hpp"

namespace ringgate::net {

// Of IP and UDP, which a datagram costs its receiver's network beside its bytes.
constexpr std::int64_t header_bytes(const PeerAddress& peer) {
  return peer.family == AF_INET ? 20 + 8 : 40 + 8;
}

// Mixes with a secret, so that nobody outside can aim at one place of a table. Not for anything
// else.
class AddressHash {
 public:
  explicit AddressHash(const std::array<std::uint64_t, 2>& secret) : secret_(secret) {}
  std::uint64_t of(std::uint64_t a, std::uint64_t b, std::uint64_t c) const {
    return fold(fold(a ^ secret_[0], b ^ secret_[1]) ^ c, secret_[0] | 1);
  }

 private:
  static std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
    __extension__ typedef unsigned __int128 Wide;
    const Wide product = static_cast<Wide>(a) * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
  }
  std::array<std::uint64_t, 2> secret_;
};

class StrangerLimits {
 public:
  explicit StrangerLimits(const AddressHash& hash)
      : hash_(hash), places_(std::size_t{sets} * ways) {}

  // Whether a datagram of `size_bytes` from there is handled; if so, it is accounted for.
  bool admit(const PeerAddress& from, std::size_t size_bytes, MonoNs now) {
    const MonoNs own = cost_ns(size_bytes, limits::stranger_source_bytes_per_s);
    const MonoNs common = cost_ns(size_bytes, limits::stranger_bytes_per_s);
    Place& place = place_of(source_of(from));
    const MonoNs own_after = std::max(place.paid_until_ns, now) + own;
    const MonoNs common_after = std::max(all_paid_until_ns_, now) + common;
    if (own_after - now > burst_ns || common_after - now > burst_ns) return false;
    place.paid_until_ns = own_after;
    all_paid_until_ns_ = common_after;
    return true;
  }
  static constexpr std::size_t memory_bytes = std::size_t{limits::stranger_sources_max} * 16;

 private:
  // Each bucket holds so much of its rate; whoever was silent so long has all of it.
  static constexpr MonoNs burst_ns = limits::stranger_burst_ms * ns_per_ms;
  static constexpr std::size_t ways = 4;
  static constexpr std::size_t sets = limits::stranger_sources_max / ways;
  static_assert((sets & (sets - 1)) == 0);
  struct Place {
    std::uint64_t source = 0;
    MonoNs paid_until_ns = 0;
  };
  static_assert(sizeof(Place) == 16);

  static MonoNs cost_ns(std::size_t size_bytes, std::uint64_t bytes_per_s) {
    return static_cast<MonoNs>(size_bytes * ns_per_s / bytes_per_s);
  }
  // An IPv4 address, or the network of an IPv6 one: a site has at least a /64 to itself.
  static std::uint64_t source_of(const PeerAddress& from) {
    static constexpr std::uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    const bool is_mapped = std::memcmp(from.ip, mapped, sizeof mapped) == 0;
    if (from.family == AF_INET || is_mapped) {
      const std::uint8_t* v4 = from.family == AF_INET ? from.ip : from.ip + sizeof mapped;
      return std::uint64_t{load_be32(v4)} | std::uint64_t{1} << 63;
    }
    return load_be64(from.ip) >> 1;
  }
  Place& place_of(std::uint64_t source) {
    Place* const set = &places_[(hash_.of(source, 0, 0) & (sets - 1)) * ways];
    Place* oldest = set;
    for (Place* place = set; place != set + ways; ++place) {
      if (place->source == source) return *place;
      if (place->paid_until_ns < oldest->paid_until_ns) oldest = place;
    }
    *oldest = {source, 0};
    return *oldest;
  }

  AddressHash hash_;
  std::vector<Place> places_;
  MonoNs all_paid_until_ns_ = 0;
};

}  // namespace ringgate::net
